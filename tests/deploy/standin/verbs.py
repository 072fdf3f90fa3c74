"""Verbs that write down what they got, and chatter on stdout as libraries do."""

import os
import subprocess
from pathlib import Path

import msgspec

from common.errors import Invalid, OperatorError
from contracts._base import Record
from contracts.claims import ClaimResult, ClaimsReport
from contracts.models import Interval, Metric
from contracts.problem import FieldError
from contracts.runs import RunManifest

from .config import Config


class Got(Record, kw_only=True):
    """A flat answer and a nested one."""

    quick: bool = False
    figures: dict[str, float] = {}


def _chatter() -> None:
    print("chatter of Python")  # noqa: T201
    os.write(1, b"chatter of native code\n")
    subprocess.run(["echo", "chatter of a child"], check=True)


def train(config: Config, data: Path | None, out: Path, resume: Path | None, command: str) -> Path:
    """Writes its arguments into the run folder."""
    _chatter()
    run = resume or out / "standin" / "one"
    run.mkdir(parents=True, exist_ok=True)
    manifest = RunManifest(
        id="one", system="standin", command=command, created="2026-01-01T00:00:00Z", status="finished", data=(),
        config=msgspec.to_builtins(config), seed=0, software={}, properties={"data": str(data)},
    )  # fmt: skip
    (run / "run.json").write_bytes(msgspec.json.encode(manifest))
    return run


def evaluate(run: Path, data: Path | None) -> RunManifest:
    """Reads the run's manifest and adds one figure."""
    _chatter()
    if not (run / "run.json").exists():
        raise OperatorError(f"{run} holds no run.json\n  train first")
    manifest = msgspec.json.decode((run / "run.json").read_bytes(), type=RunManifest)
    metric = Metric(name="accuracy", split="test", value=0.75, n=4, interval=Interval(low=0.25, high=1.0))
    return msgspec.structs.replace(manifest, metrics=(metric,))


def claims(quick: bool, data: Path | None, seeds: int | None, out: Path | None, command: str) -> ClaimsReport:
    """One claim."""
    if seeds == 13:
        raise KeyboardInterrupt
    claim = ClaimResult(
        claim="it holds", paper="Table 1", data=str(data), seeds=seeds or 3, control="none", unit="points", effect=1.5,
        interval=Interval(low=0.5, high=2.5), threshold=0.0, p_value=0.01, p_holm=0.01, verdict="holds",
    )  # fmt: skip
    return ClaimsReport(
        system="standin", command=command, created="2026-01-01T00:00:00Z", scale="quick" if quick else "full",
        claims=(claim,), rows=(), seconds=0.0, rounds=10,
    )  # fmt: skip


def predict(file: Path, models: Path, model: str | None) -> Got:
    """Refuses what is empty."""
    size = file.stat().st_size
    if size == 0:
        raise Invalid("not a picture", errors=(FieldError(field="file", message="is empty"),))
    return Got(figures={"bytes": float(size)})


def bench(quick: bool) -> Got:
    """Its figure is its argument."""
    return Got(quick=quick, figures={"ratio": 2.0})
