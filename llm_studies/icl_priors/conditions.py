"""Conditions, and the runs that they are made of (specification, sections 1, 2.3 and 5).

A run is one prompt design over all queries. The runs ``prior:own`` are those whose predictions label the
demonstrations of prior prompts: made with demonstrations from a third split, for the queries and for every text that
a prior prompt shows.
"""

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import NamedTuple

from llm_studies.icl_priors.config import Grid
from llm_studies.icl_priors.demos import Labelling
from llm_studies.icl_priors.items import AGGREGATE

ICL, ZERO, RANDOM, DISTRIBUTION = "icl", "prior:zero", "prior:random", "prior:distribution"
OWN, PROMPT, EXAMPLES, LABELS = "prior:own", "prior-prompt", "prior-prompt:examples", "prior-prompt:labels"
COT, SHUFFLED, REPEAT = "cot", "cot-shuffled", "repeat-control"


class Kind(NamedTuple):
    """How the prompts of a condition are made."""

    labelling: Labelling = "true"
    reasons: bool = False
    """Demonstrations carry rationales, and the reply is to begin with one."""
    exchanged: bool = False
    """...each with another one's."""


KINDS = MappingProxyType(
    {
        ICL: Kind(),
        ZERO: Kind(),
        RANDOM: Kind("random"),
        DISTRIBUTION: Kind("distribution"),
        OWN: Kind("distribution"),
        PROMPT: Kind("preds"),
        COT: Kind(reasons=True),
        SHUFFLED: Kind(reasons=True, exchanged=True),
        REPEAT: Kind(),
    }
)


class Run(NamedTuple):
    """One prompt design; with an item, one call."""

    condition: str
    annotator: str
    """Whose labels the demonstrations carry."""
    shots: int
    seed: int
    label_seed: int
    repeat: int = 0

    @property
    def id(self) -> str:
        return f"{self.condition}/{self.annotator}/{self.shots}/{self.seed}.{self.label_seed}"

    @property
    def kind(self) -> Kind:
        return KINDS[self.condition]


def first_runs(grid: Grid, annotators: Sequence[str]) -> tuple[Run, ...]:
    """Stage 0: everything that needs no prediction of the model. Priors are run under the aggregate's labels alone, as
    in arXiv 2410.13776."""
    return tuple(_first(grid, annotators))


def prompt_runs(grid: Grid) -> tuple[Run, ...]:
    """Stage 1: prompts whose demonstrations carry the model's own prior predictions."""
    return tuple(Run(PROMPT, AGGREGATE, k, *pair) for k in grid.shots for pair in _pairs(grid))


def supplier(run: Run) -> Run:
    """The run whose predictions label the demonstrations of a prior prompt."""
    return run._replace(condition=OWN)


def examples(runs: Sequence[Run]) -> list[Run]:
    """Of runs with two seeds, those whose demonstrations differ, each with labels of its own."""
    return [run for run in runs if run.seed == run.label_seed]


def labels(runs: Sequence[Run], grid: Grid) -> list[Run]:
    """Of runs with two seeds, those on the first seed's demonstrations, which differ in labels alone."""
    return [run for run in runs if run.seed == grid.seeds[0] and run.label_seed in grid.label_seeds]


def _first(grid: Grid, annotators: Sequence[str]) -> Iterator[Run]:
    seeds = grid.seeds if grid.retrieval == "random" else grid.seeds[:1]
    for condition in grid.conditions:
        match condition:
            case "icl" | "cot" | "cot-shuffled":
                shots = grid.shots if condition == ICL else grid.cot_shots
                yield from (Run(condition, a, k, s, s) for a in annotators for k in shots for s in seeds)
            case "prior:random" | "prior:distribution":
                yield from (Run(condition, AGGREGATE, k, s, s) for k in grid.shots for s in grid.seeds)
            case "prior:zero":
                yield Run(ZERO, AGGREGATE, 0, 0, 0)
            case "repeat-control":
                yield Run(REPEAT, annotators[0], max(grid.shots), seeds[0], seeds[0], repeat=1)
            case "prior-prompt:examples" | "prior-prompt:labels":
                pass
    yield from (supplier(run) for run in prompt_runs(grid))


def _pairs(grid: Grid) -> list[tuple[int, int]]:
    """(demonstration seed, label seed); one that both flavours need stands there once."""
    found = [(seed, seed) for seed in grid.seeds] if EXAMPLES in grid.conditions else []
    if LABELS in grid.conditions:
        found += [(grid.seeds[0], seed) for seed in grid.label_seeds]
    return list(dict.fromkeys(found))
