"""Runs, pools and counts: check C (no leakage) and check L (the budget in closed form)."""

from typing import Any

import pytest

from common.errors import OperatorError
from llm_studies.icl_priors.conditions import (
    COT,
    DISTRIBUTION,
    ICL,
    OWN,
    PROMPT,
    REPEAT,
    SHUFFLED,
    Run,
    examples,
    first_runs,
    labels,
    prompt_runs,
    supplier,
)
from llm_studies.icl_priors.config import Condition, Config, Data, Generated, Grid
from llm_studies.icl_priors.design import Design, ids_digest, load
from llm_studies.icl_priors.items import AGGREGATE, Item, text_digest

P1: tuple[Condition, ...] = (
    "icl",
    "prior:zero",
    "prior:distribution",
    "prior-prompt:examples",
    "prior-prompt:labels",
)
SMALL = Generated(train=90, dev=12, test=60)


def design(grid: Grid | None = None, **data: Any) -> Design:
    config = Config(data=Data(generated=SMALL, **data), grid=grid or Grid(conditions=P1))
    return Design(config, load(config, None))


def test_the_grid_of_the_first_paper_has_its_closed_form() -> None:
    """Check L: (3 shots x 3 seeds ICL + 3 x 3 priors + 3 x 5 own priors + 3 x 5 prior prompts + zero-shot) x items,
    and the own priors once more for each text that a prior prompt shows."""
    made = design()
    first, second = first_runs(made.config.grid, (AGGREGATE,)), prompt_runs(made.config.grid)
    items = len(made.queries)
    calls = sum(len(made.texts(run)) for run in first) + len(second) * items
    assert calls == (3 * 3 + 3 * 3 + 3 * 5 + 3 * 5 + 1) * items + 3 * 5 * len(made.shown)
    assert 25 < len(made.shown) <= 3 * 25
    assert len(set(first) | set(second)) == len(first) + len(second), "no design twice"


def test_flavours_share_the_first_run() -> None:
    grid = Grid(conditions=P1, shots=(5,))
    runs = prompt_runs(grid)
    assert [(run.seed, run.label_seed) for run in examples(runs)] == [(0, 0), (1, 1), (2, 2)]
    assert [(run.seed, run.label_seed) for run in labels(runs, grid)] == [(0, 0), (0, 1), (0, 2)]
    assert {supplier(run).condition for run in runs} == {OWN}


def test_every_annotator_is_asked_and_priors_carry_the_aggregate() -> None:
    grid = Grid(conditions=("icl", "prior:distribution", "repeat-control"), shots=(5,), seeds=(0, 1))
    runs = first_runs(grid, ("A1", AGGREGATE))
    assert [(run.condition, run.annotator, run.seed) for run in runs] == [
        (ICL, "A1", 0), (ICL, "A1", 1), (ICL, AGGREGATE, 0), (ICL, AGGREGATE, 1),
        (DISTRIBUTION, AGGREGATE, 0), (DISTRIBUTION, AGGREGATE, 1), (REPEAT, "A1", 0),
    ]  # fmt: skip


def test_nothing_leaks() -> None:
    """Check C: no query among demonstrations, by id and by text; own priors are shown a third split."""
    made = design()
    asked = {text_digest(item.text) for item in made.queries}
    for run in (*first_runs(made.config.grid, (AGGREGATE,)), *prompt_runs(made.config.grid)):
        shown = {text_digest(item.text) for item in made.chosen(run)}
        assert not shown & asked
        assert {item.split for item in made.chosen(run)} <= {"test" if run.condition == OWN else "train"}
    own = Run(OWN, AGGREGATE, 25, 0, 0)
    labelled = {text_digest(item.text) for item in made.texts(own)}
    assert not {text_digest(item.text) for item in made.chosen(own)} & labelled
    assert {item.id for item in made.shown} <= {item.id for item in made.texts(own)}


def test_all_queries_of_a_run_see_the_same_demonstrations() -> None:
    made = design()
    for run in first_runs(made.config.grid, (AGGREGATE,)):
        assert len({made.demos(run, item) for item in made.queries}) == 1


def test_conditions_of_a_seed_show_the_same_texts() -> None:
    """So that ICL and prior differ in labels alone; annotators likewise."""
    made = design(Grid(), annotators=("aggregate", "A1", "A2"))
    runs = [Run(ICL, who, 5, 1, 1) for who in (AGGREGATE, "A1", "A2")] + [Run(DISTRIBUTION, AGGREGATE, 5, 1, 1)]
    shown = [made.demos(run, made.queries[0]) for run in runs]
    assert len({tuple(demo.text for demo in demos) for demos in shown}) == 1
    assert len({tuple(demo.labels for demo in demos) for demos in shown}) > 1


def test_similar_texts_are_shown_for_each_query_and_priors_stay_random() -> None:
    made = design(Grid(retrieval="similar", shots=(5,)))
    runs = first_runs(made.config.grid, (AGGREGATE,))
    assert [run for run in runs if run.condition == ICL] == [Run(ICL, AGGREGATE, 5, 0, 0)]
    assert len({made.demos(runs[0], item) for item in made.queries}) == len(made.queries)
    assert len({made.demos(runs[1], item) for item in made.queries}) == 1


def test_reasons_come_with_the_labels_of_their_annotator() -> None:
    made = design(Grid(conditions=("cot", "cot-shuffled"), cot_shots=(5,)))
    item = made.queries[0]
    plain, exchanged = (made.demos(Run(name, AGGREGATE, 5, 0, 0), item) for name in (COT, SHUFFLED))
    assert [demo.labels for demo in plain] == [demo.labels for demo in exchanged]
    assert sorted(demo.rationale for demo in plain) == sorted(demo.rationale for demo in exchanged)
    assert plain != exchanged
    request = made.request(Run(COT, AGGREGATE, 5, 0, 0), item)
    assert request.messages[0].content.endswith("Reasoning:")
    assert request.max_tokens == made.config.grid.cot_max_tokens


def test_repeat_control_is_the_identical_prompt() -> None:
    made = design()
    runs = Run(ICL, AGGREGATE, 25, 0, 0), Run(REPEAT, AGGREGATE, 25, 0, 0, repeat=1)
    first, again = (made.request(run, made.queries[0]) for run in runs)
    assert first == again


def test_prior_prompts_show_the_suppliers_predictions() -> None:
    made = design()
    run = Run(PROMPT, AGGREGATE, 5, 0, 1)
    predictions = {item.id: (True,) + (False,) * 6 for item in made.shown}
    assert made.request(run, made.queries[0], predictions).messages[0].content.count("Emotion(s): joy\n") == 5


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"queries": ("train",)}, "must be different splits"),
        ({"third": "train"}, "must be different splits"),
        ({"queries": ("dev", "test")}, "must be different splits"),
        ({"annotators": ("Nobody",)}, "has no 'Nobody'"),
        ({"ids": "no-such-file"}, "cannot be read"),
    ],
)
def test_studies_that_cannot_be_are_refused_before_any_call(data: dict[str, Any], said: str) -> None:
    with pytest.raises(OperatorError, match=said):
        design(**data)


def test_without_prior_prompts_the_third_split_may_be_asked() -> None:
    made = design(Grid(), queries=("dev", "test"))
    assert {item.split for item in made.queries} == {"dev", "test"}


def test_too_many_shots_are_refused() -> None:
    made = design(Grid(shots=(95,)))
    with pytest.raises(OperatorError, match="shots: 95"):
        made.chosen(Run(ICL, AGGREGATE, 95, 0, 0))


@pytest.mark.parametrize(
    "grid",
    [
        {"conditions": ("repeat-control",)},
        {"shots": (5, 5)},
        {"retrieval": "similar", "conditions": ("icl", "prior-prompt:labels")},
    ],
)
def test_grids_that_contradict_themselves_are_refused(grid: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"conditions|shots|retrieval"):
        Grid(**grid)


def test_strict_leaves_out_what_stands_in_the_demonstrations_split(tmp_path) -> None:
    made = design()
    twin = made.queries[0]
    corpus = made.corpus._replace(items=(*made.corpus.items, Item("twin", "train", twin.text, twin.labels)))
    loose, strict = (
        Design(Config(data=Data(generated=SMALL, items=5, strict=strict)), corpus).queries for strict in (False, True)
    )
    assert loose[1:] == strict
    file = tmp_path / "ids"
    file.write_text(f"{made.queries[3].id}\n{made.queries[1].id}\n")
    named = Design(Config(data=Data(generated=SMALL, ids=str(file))), corpus).queries
    assert named == (made.queries[3], made.queries[1])
    assert ids_digest(named) != ids_digest(named[::-1])
    file.write_text("twin\n")
    with pytest.raises(OperatorError, match="names twin"):
        design(ids=str(file))
