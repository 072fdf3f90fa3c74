"""``kithara study bloomwise | priors``: offline studies of language models.

Order of checks, so that whatever is wrong is said before anything is paid: study file, data, profile with key and URL,
prices, plan against the limits, then the probe of the server and what the study needs of it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
from rich.console import Group
from rich.table import Table
from tyro import conf

from common.errors import OperatorError
from contracts._base import Record
from contracts.llm import Plan
from contracts.studies import StudyReport
from deploy.commands import study_file, study_report
from deploy.commands.base import Answer, Reporting, data_root
from deploy.commands.study_progress import Shown, span
from deploy.commands.tables import table
from llm_studies.llm import loop

if TYPE_CHECKING:
    from llm_studies.llm.run import Outcome
    from llm_studies.llm.study import Study

DataFolder = Annotated[Path | None, conf.arg(metavar="DIR")]
PricesFile = Annotated[Path | None, conf.arg(metavar="FILE")]
RUNS = Path("runs")


class StudyRun(Record, frozen=True, kw_only=True):
    """The answer of ``kithara study ... --json``."""

    run: str
    """The run folder."""
    outcome: msgspec.Raw
    """How the run ended: ``llm_studies.llm.run:Outcome``."""
    report: StudyReport | None = None
    """Partial, as its first warning says, where the outcome is not complete; None for one shard, or without any item
    whose replies are all there."""


@dataclass(frozen=True, kw_only=True)
class _Study(Reporting):
    """The flags of a study."""

    config: Annotated[str, conf.arg(metavar="tiny|paper|FILE")] = "tiny"
    """A packaged study or a TOML study file. `tiny` runs on generated data against `kithara llm simulate`."""
    data: DataFolder = field(default_factory=data_root)
    """Folder with the data sets. Default: the environment's KITHARA_DATA."""
    out: Annotated[Path | None, conf.arg(metavar="DIR")] = None
    """The run folder; the same one again resumes. Default: runs/STUDY-CONFIG."""
    profile: Annotated[Path | None, conf.arg(metavar="FILE")] = None
    """A TOML profile of the model, in place of the study file's [profile]."""
    base_url: Annotated[str | None, conf.arg(metavar="URL")] = None
    """In place of the profile's base_url."""
    prices: PricesFile = None
    """A TOML price file: cost in the plan, and what limits.cost is counted in."""
    plan: bool = False
    """Stop after the plan: calls, tokens and cost; nothing is asked."""
    shard: Annotated[str, conf.arg(metavar="I/N")] = "0/1"
    """Do only the jobs of shard I of N (I from 0), within 1/N of [limits]; `study merge` joins the runs."""
    reuse: Annotated[tuple[Path, ...], conf.arg(metavar="DIR ...")] = ()
    """Earlier runs whose replies to the same calls are taken over and not paid again."""

    name: ClassVar[str]

    def answer(self) -> Answer:
        shard = _shard(self.shard)
        config = study_file.chosen(self.name, self.config, self.profile, self.base_url)
        study = study_report.made(self.name, config, self.data)
        return loop.run(self._plan(study, config, shard) if self.plan else self._run(study, config, shard))

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.out or RUNS / f"{study_file.WORDS[self.name]}-{Path(self.config).stem}"

    async def _plan(self, study: "Study", config: Any, shard: tuple[int, int]) -> Answer:
        from llm_studies.llm.journal import paid
        from llm_studies.llm.plan import affordable
        from llm_studies.llm.prices import price_of
        from llm_studies.llm.run import plan
        from llm_studies.llm.shards import share

        prices = study_report.price_file(self.prices, config)
        ahead = await plan(study, config.profile, prices=prices, folder=self.folder, shard=shard, reuse=self.reuse)
        spent, price = paid(self.folder), price_of(prices, config.profile.model)
        try:
            affordable(ahead, share(config.limits, shard), price, spent, shard)
        except OperatorError as error:
            return Answer(ahead, _planned(ahead, config), str(error))
        return Answer(ahead, _planned(ahead, config))

    async def _run(self, study: "Study", config: Any, shard: tuple[int, int]) -> Answer:
        from llm_studies.llm import folder
        from llm_studies.llm.client import Client
        from llm_studies.llm.run import execute

        async with Client(config.profile) as client:
            prices = study_report.price_file(self.prices, config)
            folder.claim(self.folder, study_file.text(self.name, config))
            with Shown(study_file.WORDS[self.name]) as shown:
                outcome = await execute(
                    study,
                    self.folder,
                    config.profile,
                    limits=config.limits,
                    prices=prices,
                    shard=shard,
                    reuse=self.reuse,
                    client=client,
                    progress=shown,
                )
        report = None
        if shard == (0, 1):
            found = (study, self.folder, config, prices)
            why = outcome.stopped
            report = await (study_report.reported(*found) if why is None else study_report.unfinished(*found, why))
        run = StudyRun(run=str(self.folder), outcome=msgspec.Raw(msgspec.json.encode(outcome)), report=report)
        return Answer(run, _ended(self.folder, outcome, report), _failure(outcome))


@dataclass(frozen=True, kw_only=True)
class Bloomwise(_Study):
    """Run BloomWise: a ladder of prompts and its baselines on word problems."""

    name: ClassVar[str] = "bloomwise"


@dataclass(frozen=True, kw_only=True)
class Priors(_Study):
    """Run the task-prior studies: how strongly a model's prior pulls its in-context answers."""

    name: ClassVar[str] = "icl_priors"


def _shard(text: str) -> tuple[int, int]:
    """``I/N`` as numbers. Raises OperatorError."""
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise OperatorError(f"--shard {text}: give I/N with I from 0 to N - 1, e.g. 0/4")
    return int(index), int(count)


def _failure(outcome: "Outcome") -> str | None:
    if outcome.failed:
        first = outcome.failures[0]
        return f"{outcome.failed} calls failed; run the same command again (first {first.job}: {first.error})"
    return None if outcome.waiting else outcome.stopped


def _planned(ahead: Plan, config: Any) -> Table:
    shown = table(f"{config.profile.model} at {config.profile.base_url}, at most", "", "")
    shown.add_row("calls", f"{ahead.calls:,}")
    shown.add_row("  of which known", f"{ahead.known:,}")
    shown.add_row("tokens in prompts", f"{ahead.prompt_tokens:,} (estimated)")
    shown.add_row("tokens in replies", f"{ahead.completion_tokens:,}")
    shown.add_row("cost", "no price file" if ahead.cost is None else f"{ahead.cost:,.2f} {ahead.currency}")
    return shown


def _ended(folder: Path, outcome: "Outcome", report: StudyReport | None) -> Any:
    took = f"{outcome.paid:,} calls paid, {outcome.reused:,} reused, in {span(outcome.seconds)}"
    if outcome.lost:
        took += f"; {outcome.lost:,} billed responses were no whole reply"
    if report is None:
        return f"{took}; {outcome.stopped or 'merge the shards for the report'}; {folder}"
    return Group(study_report.read(report, folder), took)
