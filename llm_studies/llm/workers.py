"""Many jobs, few at once: workers take them from an iterator, so that memory does not grow with their number."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from common.errors import KitharaError, OperatorError
from llm_studies.llm.ask import Ask, CapReached
from llm_studies.llm.study import Job

HOPELESS = 20
"""Failed jobs without one call that succeeded, after which the server or the study is taken to be wrong."""

KEPT = 100
"""Failures that are told one by one; the others are counted."""


class Failed(NamedTuple):
    """A job without a result, and why."""

    job: str
    error: str


class Tally:
    """How far the jobs of a run are."""

    def __init__(self, tell: Callable[[], None], paid: Callable[[], int]) -> None:
        """``paid`` calls of this process succeeded: a job that is only replayed says nothing about the server."""
        self.started = time.monotonic()
        self.total = self.done = self.failed = 0
        self.failures: list[Failed] = []
        self.stopped: str | None = None
        self.tell, self.paid = tell, paid

    def fail(self, job: Job, error: KitharaError) -> None:
        """Raises OperatorError when nothing but failures came so far."""
        self.failed += 1
        if len(self.failures) < KEPT:
            self.failures.append(Failed(job.id, str(error)))
        if self.failed >= HOPELESS and not self.paid():
            raise OperatorError(f"{self.failed} jobs failed and no call succeeded; the last failed because {error}")


async def work_off(jobs: Iterable[Job], ask: Ask, workers: int, tally: Tally) -> None:
    """Run every job; one that fails does not stop the others.

    Raises OperatorError, or what a job raised unexpectedly, after its siblings were cancelled. A cap that is reached
    only keeps new jobs from starting: calls under way are paid for, and end in the journal.
    """
    queue = iter(jobs)

    async def worker() -> None:
        for job in queue:
            if tally.stopped:
                return
            try:
                await job.work(ask)
                tally.done += 1
            except CapReached as error:
                tally.stopped = str(error)
            except OperatorError:
                raise
            except KitharaError as error:
                tally.fail(job, error)
            tally.tell()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
    except* KitharaError as errors:
        raise _first(errors) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
