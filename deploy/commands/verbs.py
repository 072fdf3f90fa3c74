"""``kithara evaluate | export | claims | predict SYSTEM``: thin, typed doors to the verbs of a system."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from rich.table import Table
from tyro import conf

from common.errors import OperatorError
from common.system import system
from contracts._base import Positive, Record
from contracts.claims import ClaimsReport
from contracts.models import Interval
from contracts.runs import RunManifest
from deploy.commands.base import DATA, Answer, Reporting, data_root, existing
from deploy.commands.models import models_root
from deploy.commands.tables import fields, table

SystemName = Annotated[str, conf.Positional, conf.arg(metavar="SYSTEM")]
RunFolder = Annotated[Path, conf.arg(metavar="DIR")]
DataFolder = Annotated[Path | None, conf.arg(metavar="DIR")]
ModelsFolder = Annotated[Path | None, conf.arg(metavar="DIR")]


class Published(Record, frozen=True, kw_only=True):
    """The answer of ``kithara export --json``."""

    model: str
    version: Positive
    folder: str


@dataclass(frozen=True, kw_only=True)
class Evaluate(Reporting):
    """Measure a run on the test split of its data."""

    extra: ClassVar[str] = "train"

    system: SystemName
    run_folder: Annotated[RunFolder, conf.arg(name="run")]
    """The run folder that `kithara train` printed."""
    data: DataFolder = field(default_factory=data_root)
    """Folder with the data sets. Default: the environment's KITHARA_DATA."""

    def answer(self) -> Answer:
        evaluate = system(self.system).load("evaluate")
        manifest: RunManifest = evaluate(run=self.run_folder, data=existing(self.data, DATA))
        return Answer(manifest, _metrics(manifest))


@dataclass(frozen=True, kw_only=True)
class Export(Reporting):
    """Turn a run into ONNX, prove it equal to the trained model, publish it as a new version."""

    extra: ClassVar[str] = "train"

    system: SystemName
    run_folder: Annotated[RunFolder, conf.arg(name="run")]
    """The run folder that `kithara train` printed."""
    models: ModelsFolder = None
    """The model repository. Default: the one that `kithara serve` reads."""

    def answer(self) -> Answer:
        export = system(self.system).load("export")
        version = export(run=self.run_folder, models=models_root(self.models))
        card = version.card
        published = Published(model=card.name, version=card.version, folder=str(version.folder))
        return Answer(published, f"published {version.label} in {version.folder}")


@dataclass(frozen=True, kw_only=True)
class Claims(Reporting):
    """Re-test the claims of the system's paper, with controls and intervals."""

    extra: ClassVar[str] = "train"

    system: SystemName
    quick: bool = False
    """Smaller and sooner: the machinery at work, not evidence."""
    seeds: Annotated[int | None, conf.arg(metavar="N")] = None
    """Paired repetitions of each comparison. Default: the system's own number."""
    data: DataFolder = field(default_factory=data_root)
    """Folder with the data sets. Default: the environment's KITHARA_DATA."""
    out: Annotated[Path | None, conf.arg(metavar="DIR")] = None
    """Where report and figures are written. Default: nowhere."""

    def answer(self) -> Answer:
        if self.seeds is not None and self.seeds < 1:
            raise OperatorError(f"--seeds {self.seeds}: give at least 1")
        claims = system(self.system).load("claims")
        report: ClaimsReport = claims(
            quick=self.quick,
            data=existing(self.data, DATA),
            seeds=self.seeds,
            out=self.out,
            command=self._command(),
        )
        return Answer(report, _verdicts(report))

    def _command(self) -> str:
        """The command line that repeats this on any machine; where the data lie is that machine's own."""
        data = ["--data", "DIR"] if self.data else []
        seeds = [] if self.seeds is None else ["--seeds", str(self.seeds)]
        return shlex.join(["kithara", "claims", self.system, *(["--quick"] if self.quick else []), *seeds, *data])


@dataclass(frozen=True, kw_only=True)
class Predict(Reporting):
    """Answer one file with a published model, without a server."""

    system: SystemName
    file: Annotated[Path, conf.Positional, conf.arg(metavar="FILE")]
    models: ModelsFolder = None
    """The model repository. Default: the one that `kithara serve` reads."""
    model: Annotated[str | None, conf.arg(metavar="NAME[@VERSION]")] = None
    """Default: the system's own model."""

    def answer(self) -> Answer:
        predict = system(self.system).load("predict")
        record: Record = predict(file=self.file, models=models_root(self.models), model=self.model)
        return Answer(record, fields(record))


def _metrics(manifest: RunManifest) -> Table:
    shown = table(f"{manifest.system} run {manifest.id}", "metric", "split", "value", "95 % interval", "n")
    for metric in manifest.metrics:
        shown.add_row(metric.name, metric.split, f"{metric.value:.4f}", _interval(metric.interval), str(metric.n))
    return shown


def _verdicts(report: ClaimsReport) -> Table:
    shown = table(f"claims of {report.system} ({report.scale})", "claim", "control", "effect", "interval", "verdict")
    for claim in report.claims:
        effect = f"{claim.effect:+.3g} {claim.unit}"
        shown.add_row(claim.claim, claim.control, effect, _interval(claim.interval), claim.verdict)
    return shown


def _interval(interval: Interval | None) -> str:
    return f"[{interval.low:.4g}, {interval.high:.4g}]" if interval else ""
