"""Deadlines on a clock that is moved by hand."""

from typing import Any

import pytest

from common.runtime import deadlines
from common.runtime.deadlines import Deadlines


class Member:
    def __init__(self, until: float) -> None:
        self.until = until


class Timer:
    def __init__(self, at: float, call: Any) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """``pass_`` moves the clock and rings what is due; ``timers`` holds every timer ever set."""

    def __init__(self) -> None:
        self.now = 50.0
        self.timers: list[Timer] = []

    def monotonic(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Any) -> Timer:
        self.timers.append(Timer(self.now + delay, call))
        return self.timers[-1]

    def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [t for t in self.timers if not t.cancelled and t.at <= end]:
            first = min(due, key=lambda t: t.at)
            first.cancelled, self.now = True, max(self.now, first.at)
            first.call()
        self.now = end


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(deadlines.time, "monotonic", loop.monotonic)
    return loop


def test_each_member_is_late_at_its_own_time_in_whatever_order_they_came(loop: Loop) -> None:
    late: list[tuple[float, float]] = []
    watch: Deadlines[Member] = Deadlines(loop, lambda m: late.append((m.until, loop.now)))  # type: ignore[arg-type]
    for until in (53.0, 51.0, 52.0, 51.0):
        watch.add(Member(until))
    loop.pass_(10.0)
    assert late == [(51.0, 51.0), (51.0, 51.0), (52.0, 52.0), (53.0, 53.0)]


def test_who_is_discarded_is_never_late_and_costs_no_timer_of_its_own(loop: Loop) -> None:
    late: list[float] = []
    watch: Deadlines[Member] = Deadlines(loop, lambda m: late.append(m.until))  # type: ignore[arg-type]
    for step in range(100):
        member = Member(80.0 + step)
        watch.add(member)
        watch.discard(member)
    last = Member(90.0)
    watch.add(last)
    loop.pass_(100.0)
    assert late == [90.0]
    assert len(loop.timers) == 2


def test_a_member_added_while_others_ring_is_watched(loop: Loop) -> None:
    late: list[float] = []

    def ring(member: Member) -> None:
        late.append(loop.now)
        if len(late) == 1:
            watch.add(Member(60.0))

    watch: Deadlines[Member] = Deadlines(loop, ring)  # type: ignore[arg-type]
    watch.add(Member(55.0))
    watch.add(Member(70.0))
    loop.pass_(100.0)
    assert late == [55.0, 60.0, 70.0]
