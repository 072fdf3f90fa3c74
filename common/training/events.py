"""``events.jsonl``: one typed event per line, appended while training."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console

from common.errors import OperatorError
from contracts.runs import EpochEnded, PhaseStarted, RunFinished, RunStarted, TrainingEvent


class Events:
    """Appends to a file, and tells whoever watches: a readable line on a terminal, the event itself elsewhere."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._console = Console(stderr=True)
        _drop_torn_line(path)

    def write(self, event: TrainingEvent) -> None:
        line = msgspec.json.encode(event)
        with self._path.open("ab") as file:
            file.write(line + b"\n")
        if not self._console.is_terminal:
            sys.stderr.write(line.decode() + "\n")
        elif (said := _say(event)) is not None:
            self._console.print(said, highlight=False)


def read(path: Path) -> Iterator[TrainingEvent]:
    """The events of a run, in order. Raises OperatorError naming the line that does not decode."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            yield msgspec.json.decode(line, type=TrainingEvent)
        except msgspec.MsgspecError as error:
            raise OperatorError(f"{path}, line {number}: {error}; remove the line") from error


def _say(event: TrainingEvent) -> str | None:
    match event:
        case RunStarted():
            return f"run {event.run}" + (f", resumed at step {event.resumed_step}" if event.resumed_step else "")
        case PhaseStarted():
            return f"phase {event.phase}: {event.epochs} epochs"
        case EpochEnded():
            values = "  ".join(f"{name} {value:.4f}" for name, value in event.values.items())
            return f"  {event.phase} epoch {event.epoch}  {values}"
        case RunFinished():
            return f"finished after {event.step} steps, {event.seconds:.1f} s"
        case _:
            return None


def _drop_torn_line(path: Path) -> None:
    """A kill in the middle of a write leaves a line without its end; what follows it must not be glued to it."""
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)
