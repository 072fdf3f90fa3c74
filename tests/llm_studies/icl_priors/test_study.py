"""The study as a whole: what is asked, that replays decide the report, and checks J and K at small size."""

import json
import os
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from sklearn.metrics import f1_score

from common.errors import OperatorError
from contracts.llm import ChatRequest, Profile, Reply, Usage
from contracts.studies import LabelPrediction, StudyLimits, StudyReport, Table
from llm_studies.icl_priors import study as study_module
from llm_studies.icl_priors.conditions import first_runs, prompt_runs
from llm_studies.icl_priors.config import Condition, Config, Data, Generated, Grid
from llm_studies.icl_priors.generated import Sizes, generate
from llm_studies.icl_priors.items import matrix
from llm_studies.icl_priors.study import PriorsStudy, make
from llm_studies.icl_priors.trials import FAITHFUL, Scene, aggregated, reinforced
from llm_studies.llm.ask import Ask, Missing
from llm_studies.llm.plan import PlanAsk, counted
from llm_studies.llm.tokens import prompt_tokens
from llm_studies.simulate.ask import SimulatedAsk
from llm_studies.simulate.config import Respondent
from llm_studies.simulate.gold import of_corpus
from llm_studies.simulate.respondent import SimulatedRespondent

ALL: tuple[Condition, ...] = (
    "icl", "prior:zero", "prior:random", "prior:distribution", "prior-prompt:examples", "prior-prompt:labels",
    "cot", "cot-shuffled", "repeat-control",
)  # fmt: skip
PEOPLE = ("aggregate", "A1", "A2", "A3", "A4", "A5", "A6")
SMALL = Generated(train=60, dev=10, test=40)
SMALL_GRID = Grid(conditions=ALL, shots=(5, 15), cot_shots=(5,), max_tokens=60)


def config(grid: Grid = SMALL_GRID, **fields: Any) -> Config:
    data = Data(generated=SMALL, annotators=PEOPLE)
    return Config(**{"data": data, "grid": grid, "rounds": 200, "shuffles": 20, **fields})


class Journal:
    """Replies once given; counts the calls that had to be paid."""

    def __init__(self, ask: Ask) -> None:
        self.ask, self.kept, self.asked = ask, {}, Counter()

    async def paid(self, request: ChatRequest, repeat: int = 0) -> Reply:
        self.asked[request, repeat] += 1
        if (request, repeat) not in self.kept:
            self.kept[request, repeat] = await self.ask(request, repeat)
        return self.kept[request, repeat]

    async def replay(self, request: ChatRequest, repeat: int = 0) -> Reply:
        if (request, repeat) not in self.kept:
            raise Missing("no such reply")
        return self.kept[request, repeat]


def simulated(**fields: Any) -> SimulatedAsk:
    settings = Respondent(**{"kappa": 0.5, "eps1": 0.1, "eps0": 0.02, **fields})
    return SimulatedAsk(SimulatedRespondent(settings, of_corpus(generate(0, Sizes(60, 10, 40)))))


async def carried_out(study: PriorsStudy, journal: Journal) -> StudyReport:
    for number in range(3):
        for job in await study.stage(number, journal.replay):
            await job.work(journal.paid)
    return await study.report(journal.replay)


def made(settings: Config) -> PriorsStudy:
    study = make(settings, None)
    assert isinstance(study, PriorsStudy)
    return study


def table(report: StudyReport, name: str) -> Table:
    return next(one for one in report.tables if one.name == name)


async def test_the_report_needs_exactly_what_the_stages_asked() -> None:
    journal = Journal(simulated())
    report = await carried_out(made(config()), journal)
    assert report.calls == len(journal.kept)
    assert report.usage == Usage(
        prompt_tokens=sum(reply.usage.prompt_tokens for reply in journal.kept.values()),
        completion_tokens=sum(reply.usage.completion_tokens for reply in journal.kept.values()),
    )
    assert {one.name for one in report.tables} == {
        "trivial", "similarity_js", "similarity_micro_f1", "similarity_macro_f1", "strength", "consistency",
        "reinforcement", "annotators", "annotator_labels", "relations", "groups", "paired", "repeat", "statuses",
        "answered", "pull", "pull_fit",
    }  # fmt: skip
    assert await made(config()).report(journal.replay) == report, "the same replies give the same report"


async def test_job_names_are_unique_and_stable() -> None:
    study, again = made(config()), made(config())
    names = [job.id for job in await study.stage(0, simulated())]
    assert len(set(names)) == len(names)
    assert names == [job.id for job in await again.stage(0, simulated())]


async def test_one_missing_reply_makes_no_report() -> None:
    journal = Journal(simulated())
    study = made(config(Grid(shots=(5,))))
    await carried_out(study, journal)
    journal.kept.popitem()
    with pytest.raises(Missing):
        await study.report(journal.replay)


async def test_a_plan_counts_the_worst_case() -> None:
    """Check L: as many distinct calls as a run can make at most; equal prompts of two annotators are one."""
    profile = Profile(base_url="http://127.0.0.1/v1", model="simulated")
    counting = PlanAsk(profile)
    study = made(config())
    await counted(study, counting)
    jobs = [len(await study.stage(number, simulated())) for number in range(3)]
    assert jobs[1] == 2 * 5 * SMALL.dev
    assert jobs[2] == 0
    journal = Journal(simulated())
    await carried_out(study, journal)
    prompts = {request for request, _ in journal.kept}
    planned = counting.plan(None, "")
    assert len(journal.kept) <= planned.calls <= sum(jobs)
    assert planned.prompt_tokens >= sum(prompt_tokens(request) for request in prompts)


async def test_the_plan_of_the_first_papers_grid_is_its_closed_form() -> None:
    """Check L, in distinct calls: 49 designs x items, and the 15 own priors for each text that a prior prompt shows."""
    conditions: tuple[Condition, ...] = (
        "icl", "prior:zero", "prior:distribution", "prior-prompt:examples", "prior-prompt:labels",
    )  # fmt: skip
    data = Data(generated=Generated(train=90, dev=12, test=60))
    study = made(Config(data=data, grid=Grid(conditions=conditions)))
    counting = PlanAsk(Profile(base_url="http://127.0.0.1/v1", model="simulated"))
    await counted(study, counting)
    assert counting.plan(None, "").calls == (9 + 9 + 15 + 15 + 1) * 12 + 15 * len(study.design.shown)


async def test_a_respondent_that_copies_the_truth_scores_one_everywhere() -> None:
    """kappa 0, no noise, perfect following: posterior = the labels of whoever labelled the demonstrations."""
    study = made(config(Grid(conditions=("icl", "prior:distribution"), shots=(15,))))
    mind = SimulatedRespondent(FAITHFUL, of_corpus(study.design.corpus))
    report = await carried_out(study, Journal(SimulatedAsk(mind)))
    rows = {row[1]: row for row in table(report, "annotators").rows if row[0] == "micro_f1"}
    assert {name: rows[name][3] for name in PEOPLE} == dict.fromkeys(PEOPLE, 1.0)
    strength = next(row for row in table(report, "strength").rows if row[0] == "JS")
    assert strength[2] == 1.0
    assert report.warnings == ()


async def test_similarities_are_those_of_the_predictions() -> None:
    """Against predictions computed here from the raw replies of a respondent without format noise."""
    study = made(config(Grid(conditions=("icl", "prior:distribution"), shots=(15,))))
    journal = Journal(simulated())
    report = await carried_out(study, journal)
    labels = study.design.form.labels
    said: dict[int, np.ndarray] = {}
    for run in study.first:
        if run.condition == "icl" and run.annotator == "aggregate":
            texts = [journal.kept[study.design.request(run, item), 0].text for item in study.design.queries]
            names = [{part.strip() for part in text.split("\n")[0].split(",")} for text in texts]
            said[run.seed] = np.array([[label in one for label in labels] for one in names])
    truth = matrix(study.design.queries, "aggregate")

    def micro(a: np.ndarray, b: np.ndarray) -> float:
        return 2 * (a & b).sum() / (a.sum() + b.sum())

    rows = {(row[1], row[2]): row for row in table(report, "similarity_micro_f1").rows}
    assert rows["icl", "truth"][3] == pytest.approx(np.mean([micro(one, truth) for one in said.values()]))
    pairs = [micro(said[a], said[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert rows["icl", "icl"][3:6] == (pytest.approx(np.mean(pairs)), pytest.approx(np.std(pairs)), 3)


async def test_gains_label_by_label_are_those_of_scikit_learn() -> None:
    """Section 6, last lines: the posterior is each annotator's own, the prior one for all."""
    study = made(config(Grid(conditions=("icl", "prior:distribution"), shots=(5, 15))))
    journal = Journal(simulated())
    shown = table(await carried_out(study, journal), "annotator_labels")
    results = await study.results(journal.replay)
    labels, rows = study.design.form.labels, {row[:2]: row[2:] for row in shown.rows}
    assert list(rows) == [(name, label) for name in PEOPLE for label in labels]

    def f1(condition: str, asked: str, truth: np.ndarray) -> np.ndarray:
        runs = [one.labels for one in results.of(condition, 15, asked)]
        assert len(runs) == 3
        return np.mean([f1_score(truth, run, average=None, zero_division=0) for run in runs], axis=0)

    for name in PEOPLE:
        truth = matrix(study.design.queries, name)
        prior, post = f1("prior:distribution", "aggregate", truth), f1("icl", name, truth)
        for i, label in enumerate(labels):
            expected = (truth[:, i].sum(), prior[i], post[i], post[i] - prior[i])
            assert rows[name, label] == pytest.approx(expected, abs=1e-12), (name, label)
    assert any(row[-1] for row in rows.values())


async def test_a_study_of_one_annotator_has_no_table_of_annotators() -> None:
    settings = replace(config(Grid(shots=(5,))), data=Data(generated=SMALL))
    found = {one.name for one in (await carried_out(made(settings), Journal(simulated()))).tables}
    assert not found & {"annotators", "annotator_labels", "paired"}


async def test_rows_are_the_predictions_that_the_report_is_made_of() -> None:
    study, journal = made(config()), Journal(simulated())
    await carried_out(study, journal)
    rows = [row async for row in study.rows(journal.replay)]
    assert len({(r.item, r.annotator, r.condition, r.shots, r.seed, r.label_seed) for r in rows}) == len(rows)
    assert rows == [row async for row in made(config()).rows(journal.replay)], "always in the same order"
    labels, queries = study.design.form.labels, [item.id for item in study.design.queries]
    by_run: dict[tuple[object, ...], dict[str, LabelPrediction]] = {}
    for row in rows:
        run = (row.condition, row.annotator, row.shots, row.seed, row.label_seed)
        by_run.setdefault(run, {})[row.item] = row
    outcomes = (await study.results(journal.replay)).outcomes
    assert set(by_run) == {one.run[:5] for one in outcomes}
    for one in outcomes:
        found = [by_run[one.run[:5]][item] for item in queries]
        assert [row.status for row in found] == list(one.statuses)
        assert [[label in row.labels for label in labels] for row in found] == one.labels.tolist()
    own = {row.item for row in rows if row.condition == "prior:own"}
    assert own == {*queries, *(item.id for item in study.design.shown)}
    paid = {(row.usage.prompt_tokens, row.usage.completion_tokens) for row in rows}
    assert paid == {(one.usage.prompt_tokens, one.usage.completion_tokens) for one in journal.kept.values()}
    written = b"\n".join(map(msgspec.json.encode, rows)).decode()
    assert not any(item.text in written for item in study.design.corpus.items), "no text of an item"


async def test_replies_without_an_answer_are_counted_and_warned_of() -> None:
    async def refusing(request: ChatRequest, repeat: int = 0) -> Reply:
        return Reply(text="", finish="content_filter", usage=Usage(prompt_tokens=1, completion_tokens=0))

    settings = config(Grid(conditions=("icl",), shots=(5,)), limits=StudyLimits(invalid=0.05))
    report = await carried_out(made(settings), Journal(refusing))
    statuses = table(report, "statuses")
    assert all(row[statuses.columns.index("refused")] == row[3] for row in statuses.rows)
    assert "100.0% of the replies have no answer" in report.warnings[0]
    assert "answered" not in {one.name for one in report.tables}, "no text is left without them"


async def test_a_server_of_two_minds_is_seen_by_the_repeat_control() -> None:
    honest = simulated()

    async def fickle(request: ChatRequest, repeat: int = 0) -> Reply:
        reply = await honest(request, repeat)
        return replace(reply, text="none" if repeat else "joy, fear")

    study = made(config(Grid(conditions=("icl", "repeat-control"), shots=(5,))))
    report = await carried_out(study, Journal(fickle))
    assert table(report, "repeat").rows[0][:2] == (5, 1.0)
    assert any("answers one prompt in two ways" in warning for warning in report.warnings)


def test_a_study_without_repeat_control_needs_a_deterministic_server() -> None:
    assert made(config(Grid())).needs == {"max_tokens", "deterministic"}
    assert made(config(Grid(conditions=("icl", "repeat-control")))).needs == {"max_tokens"}


def test_a_cap_on_cost_needs_a_server_that_counts() -> None:
    capped = replace(config(Grid()), limits=StudyLimits(cost=1.0))
    assert made(capped).needs == {"max_tokens", "deterministic", "usage"}


async def test_the_supervised_line(tmp_path: Path) -> None:
    settings = config(Grid(conditions=("icl",), shots=(5,)))
    queries = made(settings).design.queries
    labels = made(settings).design.form.labels

    def write(change: Callable[[list[dict[str, object]]], object] = lambda rows: None) -> Config:
        rows: list[dict[str, object]] = [
            {"id": item.id, "labels": [n for n, on in zip(labels, item.labels["aggregate"], strict=True) if on]}
            for item in queries
        ]
        change(rows)
        (tmp_path / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return replace(settings, reference=str(tmp_path / "said.jsonl"))

    report = await carried_out(made(write()), Journal(simulated()))
    assert [row[2] for row in table(report, "reference").rows if row[0] != "macro-F1"] == [1.0, 1.0]
    with pytest.raises(OperatorError, match="has no prediction for generated-dev-"):
        make(write(lambda rows: rows.pop()), None)
    with pytest.raises(OperatorError, match="label 'envy'"):
        make(write(lambda rows: rows[0].update(labels=["envy"])), None)
    with pytest.raises(OperatorError, match="No such file"):
        make(replace(settings, reference=str(tmp_path / "absent")), None)


async def test_groups_of_fewer_than_three_raters_are_never_shown() -> None:
    settings = config(Grid(shots=(5,)))
    few = replace(settings, data=replace(settings.data, annotators=("aggregate", "A1", "A2", "A4", "A5", "A6")))
    for one, shown in ((settings, True), (few, False)):
        report = await carried_out(made(one), Journal(simulated()))
        notes = [found.note for found in report.tables if found.name == "groups"]
        assert len(notes) == shown
        assert all("larger of two permutation tests" in note for note in notes), "as group_gap does"
        assert any("minority" in str(found) for found in report.tables) is shown


PACKAGED = {file.stem: file for file in (Path(study_module.__file__).parent / "configs").glob("*.toml")}


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_packaged_studies_are_valid_and_all_but_tiny_say_which_data_they_want(name: str) -> None:
    settings = msgspec.convert(tomllib.loads(PACKAGED[name].read_text()), Config)
    assert settings.profile is not None
    if name == "tiny":
        assert set(made(settings).design.config.grid.conditions) == set(ALL)
    else:
        with pytest.raises(OperatorError, match="give --data"):
            make(settings, None)


def test_the_packaged_grid_of_the_first_paper() -> None:
    """49 designs (check L) and the repeat control."""
    settings = msgspec.convert(tomllib.loads(PACKAGED["paper"].read_text()), Config)
    assert len(first_runs(settings.grid, ("aggregate",))) + len(prompt_runs(settings.grid)) == 49 + 1


def test_reasons_for_goemotions_come_from_the_official_demonstrations() -> None:
    root = os.environ.get("KITHARA_DATA", "")
    if not root or not (Path(root) / "annotator_level").is_dir() or not (Path(root) / "emotion_text").is_dir():
        pytest.skip("set KITHARA_DATA to a folder with annotator_level and emotion_text")
    settings = Config(data=Data(name="goemotions", items=20), grid=Grid(conditions=("cot",), cot_shots=(5, 15)))
    study = make(settings, Path(root))
    assert isinstance(study, PriorsStudy)
    demos = study.design.demos(study.first[-1], study.design.queries[0])
    assert len(demos) == 15
    assert all(demo.rationale for demo in demos)


def scene(items: int = 40) -> Scene:
    corpus = generate(0, Sizes(120, items, 80))
    return Scene(corpus, of_corpus(corpus), 25, items, 1, 1)


def test_aggregation_collapse() -> None:
    """Check J: kappa 0: own labels beat the aggregate's on the annotator's truth; kappa 1: no difference at all."""
    follows, copies = (aggregated(scene(), replace(FAITHFUL, kappa=kappa), 0) for kappa in (0.0, 1.0))
    assert follows["annotator_prompts"] == 1.0
    assert follows["aggregate_prompts"] < 0.9
    assert copies["annotator_prompts"] == copies["aggregate_prompts"]


def test_reinforcement_accuracy() -> None:
    """Check K: kappa 1: exactly as near to the own prior as the latent prior; kappa 0: as near as ICL to the truth."""
    heard = replace(FAITHFUL, kappa=1.0, eps1=0.1, eps0=0.01, informed=0.4)
    copies = reinforced(scene(), heard, 0)
    assert copies["to_own_prior"] == pytest.approx(copies["latent_to_own_prior"], abs=1e-9)
    assert copies["to_own_prior"] < 1
    assert copies["icl_to_truth"] < copies["to_own_prior"], "it is easier to reproduce the prior than the truth"
    follows = reinforced(scene(), FAITHFUL, 0)
    assert follows["to_own_prior"] == follows["icl_to_truth"] == 1.0
