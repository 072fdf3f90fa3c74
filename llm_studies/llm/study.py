"""A study: work in stages over an ``Ask``, and a report that is the same function over a replay.

Running pays for the calls and keeps every reply in a journal; planning runs the same code on an ``Ask`` that counts;
reporting runs it on one that only looks up. So resuming, sharding and reporting cannot disagree about what was asked.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from contracts._base import Record
from contracts.studies import StudyLimits, StudyReport
from llm_studies.llm.ask import Ask

Capability = Literal["deterministic", "temperature", "system_role", "usage", "max_tokens"]
"""A field of ``contracts.llm.Honoured`` that a study of ours may need."""


def bounded(limits: StudyLimits) -> frozenset[Capability]:
    """What every study needs so that what it may spend is known: ``limits.cost`` is kept by what the server counts."""
    return frozenset({"max_tokens"}) if limits.cost is None else frozenset({"max_tokens", "usage"})


class Job(NamedTuple):
    """Calls that belong together and follow one another, e.g. the levels of a ladder on one problem."""

    id: str
    """Stable over runs."""
    work: Callable[[Ask], Awaitable[object]]
    item: str = ""
    """What it is about; a partial report has all jobs of an item or none. Empty: only later stages need its replies."""
    about: str = ""
    """Decides the shard, in place of the item, where two items may be one text and so ask the same calls."""


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
        """From the replies alone; ``account.Account.of(replay)`` counts them. Raises Missing where one is not there."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """What a study has besides when a run that did not end is to have a report of what is there, see ``partial``."""

    def restricted(self, items: frozenset[str], stages: int) -> Restricted:
        """The same requests about these items (``Job.item``), at least one, in the first ``stages`` stages alone."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """What a study has besides when it derives from replies what must not be derived twice, e.g. runs programmes."""

    def keep(self, folder: Path) -> None:
        """Read what is kept in the run ``folder``, and add to it what is derived from now on. Raises OperatorError."""
        ...


def keep(study: Study, folder: Path) -> None:
    """Before the study reads replies of the run ``folder``."""
    if isinstance(study, Keeping):
        study.keep(folder)


@runtime_checkable
class Repeating(Protocol):
    """What a study has besides when it may ask a request again at temperature 0 on purpose, to see how replies differ.

    Others are warned of such repeats, which on most servers are no new samples.
    """

    @property
    def controls_repeats(self) -> bool:
        """It does so, and reports what it finds."""
        ...


@runtime_checkable
class Predicting(Protocol):
    """What a study has besides when its predictions are kept as a table, see ``predictions``."""

    def rows(self, replay: Ask) -> AsyncIterator[Record]:
        """One line per prediction, always in the same order, and no text of an item. Raises Missing as ``report``."""
        ...
