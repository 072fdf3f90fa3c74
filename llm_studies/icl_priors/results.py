"""Predictions of a whole study, by condition, annotator and shots."""

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np

from llm_studies.icl_priors import conditions
from llm_studies.icl_priors.conditions import COT, ICL, PROMPT, REPEAT, SHUFFLED
from llm_studies.icl_priors.design import Design
from llm_studies.icl_priors.items import AGGREGATE, matrix
from llm_studies.icl_priors.outcomes import Outcome
from llm_studies.icl_priors.ruler import Ruler, Side
from llm_studies.llm.account import Account


class Results:
    """Predictions by condition, annotator and shots."""

    def __init__(
        self, design: Design, outcomes: tuple[Outcome, ...], account: Account, reference: np.ndarray | None
    ) -> None:
        self.design, self.outcomes, self.account, self.reference = design, outcomes, account, reference
        self.grid = design.config.grid
        self.main = AGGREGATE if AGGREGATE in design.config.data.annotators else design.config.data.annotators[0]
        """Whose labels are the truth of the tables that show one."""

    @cached_property
    def ruler(self) -> Ruler:
        return Ruler(len(self.design.queries), self.design.config.rounds, self.design.config.shuffles)

    @cached_property
    def truths(self) -> Mapping[str, np.ndarray]:
        names = dict.fromkeys((*self.design.config.data.annotators, AGGREGATE))
        return {name: matrix(self.design.queries, name) for name in names}

    @property
    def truth(self) -> Side:
        return Side("truth", [self.truths[self.main]])

    def of(self, condition: str, shots: int, annotator: str) -> list[Outcome]:
        return [one for one in self.outcomes if one.run[:3] == (condition, annotator, shots)]

    def sides(self, condition: str) -> dict[int, Side]:
        """By shots, under the main annotator's labels; priors are always the aggregate's."""
        who = self.main if condition in (ICL, COT, SHUFFLED, REPEAT) else AGGREGATE
        shots = sorted({one.run.shots for one in self.outcomes if one.run.condition == condition})
        return {k: Side(condition, [one.labels for one in self.of(condition, k, who)], k) for k in shots}

    def flavours(self, condition: str) -> Iterator[tuple[int, Side, list[conditions.Run]]]:
        """Runs with two seeds, those that differ in demonstrations and those that differ in labels apart."""
        for shots in self.sides(condition):
            runs = {one.run: one.labels for one in self.of(condition, shots, AGGREGATE)}
            kinds = {"examples": conditions.examples(list(runs)), "labels": conditions.labels(list(runs), self.grid)}
            for flavour, members in kinds.items():
                if f"{PROMPT}:{flavour}" in self.grid.conditions:
                    yield shots, Side(f"{condition}:{flavour}", [runs[run] for run in members], shots), members
