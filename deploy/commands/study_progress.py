"""What somebody who waits for a study sees: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from llm_studies.llm.run import Progress as State

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


class Shown:
    """Call it with every state of the run; use as a context."""

    def __init__(self, name: str) -> None:
        console = Console(stderr=True)
        self._terminal = console.is_terminal
        columns = (
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}"),
        )
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task(name, total=None, said="")
        self._told = time.monotonic()

    def __call__(self, state: "State") -> None:
        if self._terminal:
            self._bar.update(self._task, completed=state.done, total=state.total, said=said(state))
        elif state.done == state.total or time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            sys.stderr.write(f"{state.done} of {state.total} jobs, {said(state)}\n")

    def __enter__(self) -> Self:
        if self._terminal:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._terminal:
            self._bar.stop()


def said(state: "State") -> str:
    """Calls, cost and time left, where they are known."""
    parts = [f"{state.paid} calls"]
    if state.failed:
        parts.append(f"{state.failed} failed")
    if state.cost is not None:
        parts.append(f"{state.cost:.2f} {state.currency}")
    if state.eta is not None and state.done < state.total:
        parts.append(f"at most {span(state.eta)} left")
    return ", ".join(parts)


def span(seconds: float) -> str:
    """``48 s``, ``12 min``, ``3 h 05 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
