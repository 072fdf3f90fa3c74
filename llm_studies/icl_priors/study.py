"""Both papers' designs as one study: stage 0 asks for posteriors and priors, stage 1 shows the model its own priors."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.studies import StudyReport
from llm_studies.icl_priors.conditions import REPEAT, Run, first_runs, prompt_runs, supplier
from llm_studies.icl_priors.config import Config
from llm_studies.icl_priors.design import Design, load
from llm_studies.icl_priors.items import Item, Vector
from llm_studies.icl_priors.outcomes import Ledger, outcome, own_predictions
from llm_studies.icl_priors.references import load_reference
from llm_studies.icl_priors.report import report
from llm_studies.icl_priors.results import Results
from llm_studies.llm.ask import Ask
from llm_studies.llm.study import Capability, Job, Study


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
        greedy: set[Capability] = set() if REPEAT in config.grid.conditions else {"deterministic"}
        self.needs: frozenset[Capability] = frozenset({"max_tokens", *greedy})
        for run in (*self.first, *self.second):
            design.chosen(run)
        self.reference = load_reference(config.reference, design)

    async def stage(self, number: int, replay: Ask) -> Sequence[Job]:
        if number == 0:
            return [self._job(run, item, None) for run in self.first for item in self.design.texts(run)]
        if number == 1:
            told = {run: await own_predictions(self.design, supplier(run), replay, Ledger()) for run in self.second}
            return [self._job(run, item, told[run]) for run in self.second for item in self.design.queries]
        return ()

    async def report(self, replay: Ask) -> StudyReport:
        return report(await self.results(replay))

    async def results(self, replay: Ask) -> Results:
        """Every run's predictions. Raises Missing where a reply was never given."""
        ledger = Ledger()
        found = [await outcome(self.design, run, replay, ledger) for run in self.first]
        for run in self.second:
            told = await own_predictions(self.design, supplier(run), replay, ledger)
            found.append(await outcome(self.design, run, replay, ledger, told))
        return Results(self.design, tuple(found), ledger, self.reference)

    def _job(self, run: Run, item: Item, told: Mapping[str, Vector] | None) -> Job:
        async def work(ask: Ask) -> object:
            return await ask(self.design.request(run, item, told), run.repeat)

        return Job(f"{run.id}/{item.id}", work)
