"""The claims of arXiv 2403.17125 and 2410.13776, on a respondent whose prior, pull and noise are known.

No language model is asked: what is tested are the estimators and the machinery, on generated texts and, with data, on
published texts and labels. Verdicts come from ``common.claims.harness``.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from common.claims.harness import judge, run_paired
from common.claims.report import report
from common.errors import OperatorError
from contracts.claims import ClaimRow, ClaimsReport
from llm_studies.icl_priors import facts
from llm_studies.icl_priors.data import goemotions, hs_brexit
from llm_studies.icl_priors.generated import Sizes, generate
from llm_studies.icl_priors.statements import GRID, SEEN, estimator_statements, statements
from llm_studies.icl_priors.system import SYSTEM
from llm_studies.icl_priors.trials import Scene, trials
from llm_studies.simulate.gold import of_corpus


class Scale(NamedTuple):
    """How much is spent."""

    seeds: int
    items: int
    tests: int
    """Of exchanged labels behind a rate of false positives, per seed..."""
    respondents: int
    """...and respondents with a neutral prior."""
    repetitions: int
    """Of each cell of the recovery grid, per seed."""
    studies: int
    """Behind each figure of the artefact."""


QUICK = Scale(seeds=5, items=60, tests=40, respondents=8, repetitions=5, studies=2_000)
FULL = Scale(seeds=10, items=100, tests=400, respondents=40, repetitions=20, studies=20_000)
SHOTS, CANDIDATES = 25, 2_000


def claims(*, quick: bool, data: Path | None, seeds: int | None, out: Path | None, command: str) -> ClaimsReport:
    """On generated texts and, with ``data``, on GoEmotions and HS-Brexit; the published files' own figures are rows.

    Writes ``RESULTS.md`` and its figure into ``out`` when given. Raises OperatorError for fewer than two seeds, and
    when ``data`` lacks a file.
    """
    started = time.perf_counter()
    scale = QUICK if quick else FULL
    scale = scale._replace(seeds=scale.seeds if seeds is None else seeds)
    if scale.seeds < 2:
        raise OperatorError("one seed has no interval; give --seeds 2 or more")
    files = tuple(facts.published(data)) if data is not None else ()
    rows = tuple(row for scene in scenes(scale, data) for row in measure(scene, scale.seeds))
    grid = tuple(row for seed in range(scale.seeds) for row in facts.recovered(scale.repetitions, seed))
    seen = tuple(row for seed in range(scale.seeds) for row in facts.artefacts(scale.studies, seed))
    worst = tuple(summary(grid, seen, range(scale.seeds)))
    return report(
        system=SYSTEM.name,
        command=command,
        scale=described(scale, data),
        claims=(*judge(tuple(statements()), rows), *judge(tuple(estimator_statements()), worst)),
        rows=(*rows, *worst, *grid, *seen, *files),
        seconds=time.perf_counter() - started,
        out=out,
    )


def scenes(scale: Scale, data: Path | None) -> Iterator[Scene]:
    """Data sets cut to what is used: of GoEmotions the first texts of each split can be shown."""
    corpora = [(generate(0, Sizes(200, scale.items, 100)), SHOTS)]
    if data is not None:
        emotions = goemotions(data)
        cut = tuple(item for split in ("train", "dev", "test") for item in emotions.split(split)[:CANDIDATES])
        corpora += [(emotions._replace(items=cut), SHOTS), (hs_brexit(data), 45)]
    for corpus, shots in corpora:
        yield Scene(corpus, of_corpus(corpus), shots, scale.items, scale.tests, scale.respondents)


def measure(scene: Scene, seeds: int) -> tuple[ClaimRow, ...]:
    """Every condition under every seed. Progress goes to standard error."""
    console = Console(file=sys.stderr)
    name = scene.corpus.name
    if not console.is_terminal:
        return run_paired(trials(scene), range(seeds), name, lambda done: console.print(done, highlight=False))
    with console.status(name) as status:
        return run_paired(trials(scene), range(seeds), name, status.update)


def summary(grid: Iterable[ClaimRow], seen: Iterable[ClaimRow], seeds: Iterable[int]) -> Iterator[ClaimRow]:
    """The worst of the grid and the artefact at 7 annotators, as one row each per seed."""
    by_seed: Mapping[int, list[ClaimRow]] = {seed: [row for row in grid if row.seed == seed] for seed in seeds}
    flagged = {row.seed: row.values["flagged"] for row in seen if row.condition == "7 annotators"}
    for seed, rows in by_seed.items():
        naive = next(row.values["naive"] for row in rows if row.condition == "kappa 1.0, eps1 0.25")
        values = {
            "worst_kappa": max(row.values["kappa_error"] for row in rows),
            "worst_eps1": max(row.values["eps1_error"] for row in rows),
            "naive_at_one": naive,
        }
        yield ClaimRow(condition=GRID, data="estimators", seed=seed, values=values)
        yield ClaimRow(condition=SEEN, data="estimators", seed=seed, values={"flagged": flagged[seed]})


def described(scale: Scale, data: Path | None) -> str:
    published = "GoEmotions (first texts of dev, official labels) and HS-Brexit (six annotators)"
    read = published if data else "no other data"
    return (
        "**The respondent is simulated: no language model was asked, so these rows test the estimators and the "
        "machinery, not language models.** It reads the prompts, has a known latent prior, pull and noise, and its "
        f"replies go through the same parser as a model's. Scale: {scale.seeds} seeds, {scale.items} texts, {SHOTS} "
        "shots (45 on HS-Brexit), 3 demonstration sets per seed (the papers: 100 to 886 texts, up to 85 shots, 3 "
        f"seeds, real models); generated texts, {read}. Recovery: {scale.repetitions} repetitions per cell and seed. "
        f"False positives, per seed: {scale.tests} exchanges of labels, {scale.respondents} respondents of neutral "
        "prior; by construction at most 4.98 % of either are flagged, so a rate near it is settled by no number of "
        "seeds. Columns spec_...: the specification's figure beside ours. Content warning for the data sets: "
        "emotional, offensive and hateful language; no text is shown here, and attributes of annotators only for groups"
        " of three."
    )
