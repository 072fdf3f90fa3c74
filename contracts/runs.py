"""Training runs: the manifest beside the checkpoints, and the events written while training."""

from typing import Any, Literal

from contracts._base import Name, Positive, Record
from contracts.models import DataSource, Metric


class RunManifest(Record, frozen=True, kw_only=True):
    """``run.json``: what was run, on what, and how far it got. Export refuses a run without a valid one."""

    id: str
    system: Name
    command: str
    created: str
    """UTC, ISO 8601."""
    status: Literal["running", "finished"]
    config: dict[str, Any]
    data: tuple[DataSource, ...]
    seed: int
    software: dict[str, str]
    checkpoint: str | None = None
    """Path of the selected checkpoint, relative to the run."""
    selection: Metric | None = None
    """The validation figure that selected it."""
    metrics: tuple[Metric, ...] = ()
    """Filled by ``evaluate``."""
    properties: dict[str, float | int | str | bool] = {}


class Event(Record, frozen=True, kw_only=True, tag_field="event"):
    """One line of ``events.jsonl``."""

    time: float
    """Seconds since the Unix epoch."""


class RunStarted(Event, frozen=True, kw_only=True, tag="run-started"):
    """The first line of a run, and of each resumption."""

    run: str
    resumed_step: int = 0


class PhaseStarted(Event, frozen=True, kw_only=True, tag="phase-started"):
    """A new objective or a new set of trained parameters begins."""

    phase: str
    step: int
    epochs: Positive


class StepLogged(Event, frozen=True, kw_only=True, tag="step"):
    """Means over the steps since the last such line."""

    phase: str
    step: int
    values: dict[str, float]


class EpochEnded(Event, frozen=True, kw_only=True, tag="epoch"):
    """Figures at the end of an epoch."""

    phase: str
    epoch: int
    step: int
    values: dict[str, float]


class CheckpointSaved(Event, frozen=True, kw_only=True, tag="checkpoint"):
    """A checkpoint is whole on disk."""

    step: int
    path: str
    best: bool


class RunFinished(Event, frozen=True, kw_only=True, tag="run-finished"):
    """The last line of a completed run."""

    step: int
    seconds: float


TrainingEvent = RunStarted | PhaseStarted | StepLogged | EpochEnded | CheckpointSaved | RunFinished
