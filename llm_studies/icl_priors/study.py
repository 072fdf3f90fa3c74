"""Both papers' designs as one study: stage 0 asks for posteriors and priors, stage 1 shows the model its own priors."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from contracts.studies import LabelPrediction, StudyReport
from llm_studies.icl_priors.conditions import OWN, PROMPT, REPEAT, Run, first_runs, prompt_runs, supplier
from llm_studies.icl_priors.config import Config
from llm_studies.icl_priors.design import Design, load
from llm_studies.icl_priors.items import Item, Vector
from llm_studies.icl_priors.outcomes import outcome, own_predictions, prediction
from llm_studies.icl_priors.references import load_reference
from llm_studies.icl_priors.report import report
from llm_studies.icl_priors.results import Results
from llm_studies.llm.account import Account
from llm_studies.llm.ask import Ask
from llm_studies.llm.study import Capability, Job, Restricted, Study, bounded

TOGETHER = 10
"""Texts about which every run asks before the next ones: so a study that is stopped has whole texts, and a server that
caches the beginnings of prompts still sees each one several times on end."""


def make(config: Config, data: Path | None) -> Study:
    """Reads everything that the study needs, so that what is wrong with it shows before any call is paid.

    Raises OperatorError for data, annotators, splits, shots or a reference that cannot be.
    """
    return PriorsStudy(config, Design(config, load(config, data)))


class PriorsStudy:
    name = "icl_priors"

    def __init__(self, config: Config, design: Design) -> None:
        self.config, self.design = config, design
        self.first = first_runs(config.grid, config.data.annotators)
        self.second = prompt_runs(config.grid)
        # Greedy decoding: a server that answers one text twice differently is measured (repeat control) or refused.
        self.controls_repeats = REPEAT in config.grid.conditions
        greedy: set[Capability] = set() if self.controls_repeats else {"deterministic"}
        self.needs: frozenset[Capability] = bounded(config.limits) | greedy
        for run in (*self.first, *self.second):
            design.chosen(run)
        self.reference = load_reference(config.reference, design)

    async def stage(self, number: int, replay: Ask) -> Sequence[Job]:
        if number == 0:
            own = [
                self._job(run, item)._replace(item="")
                for item in self.design.shown
                for run in self.first
                if run.condition == OWN
            ]
            return [*self._jobs(self.first, {}), *own]
        if number == 1:
            told = {run: await own_predictions(self.design, supplier(run), replay) for run in self.second}
            return self._jobs(self.second, told)
        return ()

    def restricted(self, items: frozenset[str], stages: int) -> Restricted:
        grid = self.config.grid
        left_out = tuple(one for one in grid.conditions if one.startswith(PROMPT)) if stages < 2 else ()
        kept = tuple(one for one in grid.conditions if one not in left_out)
        config = replace(self.config, grid=replace(grid, conditions=kept))
        return Restricted(PriorsStudy(config, self.design.restricted(items, config)), left_out)

    async def report(self, replay: Ask) -> StudyReport:
        return report(await self.results(replay))

    async def rows(self, replay: Ask) -> AsyncIterator[LabelPrediction]:
        """Run by run, each with every text that it labels; those that prior prompts show are among the own priors'."""
        for run in self.first:
            for item in self.design.texts(run):
                yield await prediction(self.design, run, item, replay)
        for run in self.second:
            told = await own_predictions(self.design, supplier(run), replay)
            for item in self.design.queries:
                yield await prediction(self.design, run, item, replay, told)

    async def results(self, replay: Ask) -> Results:
        """Every run's predictions. Raises Missing where a reply was never given."""
        account = Account.of(replay)
        found = [await outcome(self.design, run, account) for run in self.first]
        for run in self.second:
            told = await own_predictions(self.design, supplier(run), account)
            found.append(await outcome(self.design, run, account, told))
        return Results(self.design, tuple(found), account, self.reference)

    def _jobs(self, runs: Sequence[Run], told: Mapping[Run, Mapping[str, Vector]]) -> list[Job]:
        queries = self.design.queries
        blocks = [queries[i : i + TOGETHER] for i in range(0, len(queries), TOGETHER)]
        return [self._job(run, item, told.get(run)) for block in blocks for run in runs for item in block]

    def _job(self, run: Run, item: Item, told: Mapping[str, Vector] | None = None) -> Job:
        async def work(ask: Ask) -> object:
            return await ask(self.design.request(run, item, told), run.repeat)

        return Job(f"{run.id}/{item.id}", work, item.id)
