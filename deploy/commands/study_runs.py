"""``kithara study merge | report``: what needs the replies of a run, and asks nothing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from tyro import conf

from contracts._base import Record
from contracts.studies import StudyReport
from deploy.commands import study_file, study_report
from deploy.commands.base import Answer, Reporting, data_root
from llm_studies.llm import loop

if TYPE_CHECKING:
    from llm_studies.llm.study import Study

DataFolder = Annotated[Path | None, conf.arg(metavar="DIR")]
PricesFile = Annotated[Path | None, conf.arg(metavar="FILE")]


class Merged(Record, frozen=True, kw_only=True):
    """The answer of ``kithara study merge --json``."""

    run: str
    rows: int
    """Calls that were copied."""
    report: StudyReport | None = None
    """None while a later stage of the study is still to be run."""


@dataclass(frozen=True, kw_only=True)
class Merge(Reporting):
    """Join the shards of a study into one run, and report it where all its replies are there.

    The exit status is 0 when they were joined. Where replies are still missing (of a stage that needs every shard's, or
    of calls that failed) there is no report yet, null with --json; `kithara study bloomwise|priors --config FILE --out
    DIR`, with the study's own FILE and the joined DIR, asks for the rest, makes the report, and is 0 only then.
    """

    runs: Annotated[tuple[Path, ...], conf.Positional, conf.arg(metavar="RUN")]
    out: Annotated[Path, conf.arg(metavar="DIR")]
    """The run folder that is made."""
    data: DataFolder = field(default_factory=data_root)
    """Folder with the data sets. Default: the environment's KITHARA_DATA."""
    prices: PricesFile = None
    """A TOML price file, for the cost in the report."""

    def answer(self) -> Answer:
        name, config = study_file.of_run(self.runs[0])
        return loop.run(self._merge(study_report.made(name, config, self.data), config))

    async def _merge(self, study: "Study", config: Any) -> Answer:
        from llm_studies.llm.ask import Missing
        from llm_studies.llm.run import merge

        prices = study_report.price_file(self.prices, config)
        rows = await merge(self.runs, self.out)
        merged = Merged(run=str(self.out), rows=rows)
        try:
            report = await study_report.reported(study, self.out, config, prices)
        except Missing:
            todo = f"kithara study {study_file.WORDS[study.name]} --config FILE --out {self.out}"
            said = f"{rows} calls in {self.out}; no report yet, replies are still missing; ask for them with: {todo}"
            return Answer(merged, said)
        return Answer(msgspec.structs.replace(merged, report=report), study_report.read(report, self.out))


@dataclass(frozen=True, kw_only=True)
class Report(Reporting):
    """Write the report of a run anew from its replies; nothing is asked. Of a run that did not end, a partial one."""

    run_folder: Annotated[Path, conf.Positional, conf.arg(name="run", metavar="RUN")]
    data: DataFolder = field(default_factory=data_root)
    """Folder with the data sets. Default: the environment's KITHARA_DATA."""
    prices: PricesFile = None
    """A TOML price file, for the cost in the report."""

    def answer(self) -> Answer:
        name, config = study_file.of_run(self.run_folder)
        return loop.run(self._report(study_report.made(name, config, self.data), config))

    async def _report(self, study: "Study", config: Any) -> Answer:
        from llm_studies.llm.ask import Missing

        prices, failure = study_report.price_file(self.prices, config), None
        try:
            report = await study_report.reported(study, self.run_folder, config, prices)
        except Missing as error:
            failure = str(error)
            report = await study_report.unfinished(study, self.run_folder, config, prices, failure)
            if report is None:
                raise
        return Answer(report, study_report.read(report, self.run_folder), failure)
