"""Plan, run, report and merge a study: the same study code on four kinds of ``Ask``."""

import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from common.errors import OperatorError
from contracts._base import Record
from contracts.llm import Honoured, Plan, Price, Prices, Profile, Usage
from contracts.studies import StudyLimits, StudyReport
from llm_studies.llm import folder as files
from llm_studies.llm.account import Account
from llm_studies.llm.ask import Ask, Missing
from llm_studies.llm.budget import Budget
from llm_studies.llm.client import Client
from llm_studies.llm.journal import Index, Journal
from llm_studies.llm.merge import merge
from llm_studies.llm.paying import PayingAsk, Plain
from llm_studies.llm.plan import PlanAsk, affordable, counted
from llm_studies.llm.prices import cost, price_of
from llm_studies.llm.probe import probed, require
from llm_studies.llm.replay import Replay
from llm_studies.llm.shards import WHOLE, Shard, in_shard, share
from llm_studies.llm.study import Repeating, Study, keep
from llm_studies.llm.workers import Tally, work_off

UNLIMITED = StudyLimits()

__all__ = ["Outcome", "Progress", "execute", "merge", "plan", "report"]


class Progress(NamedTuple):
    """Where a run is, told after every job."""

    done: int
    """Jobs that ended, with those that failed."""
    failed: int
    total: int
    """Jobs of the stages begun so far."""
    paid: int
    """Calls of this process."""
    usage: Usage
    """Of every call that the run folder paid for, earlier processes' too."""
    cost: float | None
    currency: str
    eta: float | None
    """Seconds until every call of the plan is made, at most, at the speed of those really made."""


class FailedJob(Record, frozen=True, kw_only=True):
    """A job without a result; the same command asks its calls again."""

    job: str
    error: str


class Outcome(Record, frozen=True, kw_only=True):
    """How a run ended."""

    study: str
    complete: bool
    """Every job of every stage has its replies: the report can be made."""
    stages: int
    jobs: int
    """Of this shard."""
    failed: int
    failures: tuple[FailedJob, ...] = ()
    """The first of them."""
    paid: int
    """Calls that this process paid for."""
    reused: int
    """Replies taken from other runs."""
    calls: int
    """Replies that the run folder paid for in all..."""
    lost: int = 0
    """...and responses that it was billed for and that were no whole reply."""
    usage: Usage
    """Of both, as the cost."""
    cost: float | None = None
    currency: str = ""
    seconds: float
    stopped: str | None = None
    """Why the run ended before the study did, and what to do."""
    waiting: bool = False
    """For the other shards: this one can do no more before they are merged."""


async def plan(
    study: Study,
    profile: Profile,
    *,
    prices: Prices | None = None,
    folder: Path | None = None,
    shard: Shard = WHOLE,
    reuse: Sequence[Path] = (),
) -> Plan:
    """What the shard will ask at most; what ``folder`` and ``reuse`` hold need not be paid. Raises OperatorError."""
    price = price_of(prices, profile.model)
    async with AsyncExitStack() as stack:
        own = [folder] if folder is not None and files.journals(folder) else []
        for place in own:  # what the replies of a resumed run go on to ask may depend on what is kept
            keep(study, place)
        known = [stack.enter_context(Index.of(place)) for place in (*own, *reuse)]
        ask = PlanAsk(profile, lambda key: next((row for index in known if (row := index.find(key))), None))
        await counted(study, ask, shard)
        return ask.plan(price, prices.currency if prices else "")


async def execute(
    study: Study,
    folder: Path,
    profile: Profile,
    *,
    limits: StudyLimits = UNLIMITED,
    prices: Prices | None = None,
    shard: Shard = WHOLE,
    reuse: Sequence[Path] = (),
    client: Ask | None = None,
    probe: Honoured | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Outcome:
    """Run a study, or go on with it: what the folder's journals hold is never paid again.

    Shards do not know of one another, so each keeps to its share of the limits, see ``shards.share``. ``client`` stands
    in for the profile's server, which is then not probed. A failed call fails its job only, see ``Outcome``. Raises
    OperatorError, before any paid call where that can be known, and leaves the journal whole.
    """
    if not 0 <= shard[0] < shard[1]:
        raise OperatorError(f"shard {shard[0]}/{shard[1]}: give --shard i/n with i from 0 to n - 1")
    price, limits = price_of(prices, profile.model), share(limits, shard)
    async with AsyncExitStack() as stack:
        known = [stack.enter_context(Index.of(place)) for place in reuse]
        journal = Journal(folder, shard)
        stack.push_async_callback(journal.aclose)
        keep(study, folder)
        ahead = await plan(study, profile, prices=prices, folder=folder, shard=shard, reuse=reuse)
        files.save(folder, files.PLAN, ahead)
        affordable(ahead, limits, price, journal.paid, shard)
        asked = client or await stack.enter_async_context(Client(profile))
        if isinstance(asked, Client) and ahead.calls > ahead.known:
            require(await probed(asked, folder, probe), study.needs)
        elif probe is not None:
            require(probe, study.needs)
        caller = asked if isinstance(asked, Client) else Plain(asked)
        ask = PayingAsk(
            profile, caller, journal, known, Budget(limits, price, journal.paid), repeating=repeating(study)
        )
        run = _Run(study, profile, journal, ask, price, prices.currency if prices else "", ahead, progress)
        await run.stages(shard)
        return run.outcome()


class _Run:
    """One process's way through the stages."""

    def __init__(
        self,
        study: Study,
        profile: Profile,
        journal: Journal,
        ask: PayingAsk,
        price: Price | None,
        currency: str,
        ahead: Plan,
        progress: Callable[[Progress], None],
    ) -> None:
        self._study, self._profile, self._journal, self._ask = study, profile, journal, ask
        self._price, self._currency, self._ahead, self._progress = price, currency if price else "", ahead, progress
        self._tally = Tally(self._tell, lambda: ask.paid)
        self._stages = 0
        self._waiting = False

    async def stages(self, shard: Shard) -> None:
        tally = self._tally
        while not tally.stopped:
            try:
                jobs = await self._study.stage(self._stages, Replay(self._profile, self._journal))
            except Missing:
                if shard[1] == 1 and not tally.failed:
                    raise
                tally.stopped = _unfinished(self._stages, shard)
                self._waiting = shard[1] > 1
                return
            if not jobs:
                return
            tally.total += sum(in_shard(job, shard) for job in jobs)
            mine = (job for job in jobs if in_shard(job, shard))
            await work_off(mine, self._ask, self._profile.concurrency, tally)
            self._stages += 1

    def outcome(self) -> Outcome:
        tally, paid = self._tally, self._journal.paid
        return Outcome(
            study=self._study.name,
            complete=not tally.failed and not tally.stopped,
            stages=self._stages,
            jobs=tally.total,
            failed=tally.failed,
            failures=tuple(FailedJob(job=one.job, error=one.error) for one in tally.failures),
            paid=self._ask.paid,
            reused=self._ask.reused,
            calls=paid.calls,
            lost=paid.lost,
            usage=paid.usage,
            cost=self._cost(),
            currency=self._currency,
            seconds=time.monotonic() - tally.started,
            stopped=tally.stopped
            or (f"{tally.failed} jobs failed; run the same command again" if tally.failed else None),
            waiting=self._waiting,
        )

    def _cost(self) -> float | None:
        return None if self._price is None else cost(self._journal.paid.usage, self._price)

    def _tell(self) -> None:
        tally = self._tally
        self._progress(
            Progress(
                tally.done + tally.failed, tally.failed, tally.total, self._ask.paid,
                self._journal.paid.usage, self._cost(), self._currency, self._eta(),
            )
        )  # fmt: skip

    def _eta(self) -> float | None:
        made = self._ask.paid + self._ask.failed
        if self._ask.began is None or not made:
            return None
        ahead = max(0, self._ahead.calls - self._ahead.known - made)
        return (time.monotonic() - self._ask.began) / made * ahead


def _unfinished(stage: int, shard: Shard) -> str:
    if shard[1] == 1:
        return f"stage {stage} needs replies of jobs that failed; run the same command again"
    return (
        f"stage {stage} needs every shard's replies; merge the {shard[1]} runs, then run the study in the merged folder"
    )


def repeating(study: Study) -> bool:
    """Whether repeats at temperature 0 are what the study wants."""
    return isinstance(study, Repeating) and study.controls_repeats


async def report(study: Study, folder: Path, profile: Profile, *, prices: Prices | None = None) -> StudyReport:
    """The study's report over the folder's journals, with what its replies cost. Raises Missing, OperatorError."""
    price = price_of(prices, profile.model)
    with Index.of(folder) as index:
        keep(study, folder)
        account = Account(Replay(profile, index))
        found = await study.report(account)
        return msgspec.structs.replace(
            found,
            cost=None if price is None else cost(found.usage, price),
            currency=prices.currency if prices and price else "",
            warnings=(*found.warnings, *account.warnings(repeating=repeating(study))),
        )
