"""A study: work in stages over an ``Ask``, and a report that is the same function over a replay.

Running pays for the calls and keeps every reply in a journal; planning runs the same code on an ``Ask`` that counts;
reporting runs it on one that only looks up. So resuming, sharding and reporting cannot disagree about what was asked.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from contracts._base import Record
from contracts.studies import StudyReport
from llm_studies.llm.ask import Ask

Capability = Literal["deterministic", "temperature", "seed", "stop", "system_role", "usage", "max_tokens"]
"""A field of ``contracts.llm.Honoured`` that a study may need."""


class Job(NamedTuple):
    """Calls that belong together and follow one another, e.g. the levels of a ladder on one problem."""

    id: str
    """Stable over runs; its digest decides the shard."""
    work: Callable[[Ask], Awaitable[object]]
    item: str = ""
    """What it is about; a partial report has all jobs of an item or none. Empty: only later stages need its replies."""


class Restricted(NamedTuple):
    """A study over fewer items."""

    study: "Study"
    left_out: tuple[str, ...]
    """Methods or conditions that belong to later stages."""


class Study(Protocol):
    """What the machinery needs of ``bloomwise`` or ``icl_priors``, made from a study file and its data."""

    name: str

    @property
    def needs(self) -> frozenset[Capability]:
        """A server that ignores one of these is refused before the study starts."""
        ...

    async def stage(self, number: int, replay: Ask) -> Sequence[Job]:
        """The jobs of stage 0, 1, ... An empty stage ends the study.

        A later stage may read replies of earlier ones through ``replay``: all of them are there, or, in a plan, stand
        for the worst case (as long as may be, without anything to be read, cut off).
        """
        ...

    async def report(self, replay: Ask) -> StudyReport:
        """From the replies alone. Raises Missing where one was never given."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """What a study has besides when a run that did not end is to have a report of what is there, see ``partial``."""

    def restricted(self, items: frozenset[str], stages: int) -> Restricted:
        """The same requests about these items (``Job.item``), at least one, in the first ``stages`` stages alone."""
        ...


@runtime_checkable
class Predicting(Protocol):
    """What a study has besides when its predictions are kept as a table, see ``predictions``."""

    def rows(self, replay: Ask) -> AsyncIterator[Record]:
        """One line per prediction, always in the same order, and no text of an item. Raises Missing as ``report``."""
        ...
