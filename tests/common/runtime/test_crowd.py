"""The clock and the loop are driven by hand, so nothing here depends on the machine's speed."""

from collections.abc import Callable
from typing import Any

import pytest

from common.runtime import crowd
from common.runtime.crowd import PATIENCE, QUIET, Crowd


class Handle:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call, self.cancelled = call, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Remembers what was scheduled; ``step`` lets time pass until the next of it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.scheduled: list[tuple[float, Handle]] = []

    def monotonic(self) -> float:
        return self.now

    def call_soon(self, call: Callable[[], None]) -> Handle:
        return self.call_later(0.0, call)

    def call_later(self, delay: float, call: Callable[[], None]) -> Handle:
        handle = Handle(call)
        self.scheduled.append((self.now + delay, handle))
        return handle

    def step(self) -> None:
        self.now, handle = self.scheduled.pop(0)
        if not handle.cancelled:
            handle.call()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(crowd.time, "monotonic", loop.monotonic)
    return loop


def crowd_of(loop: Any, resumed: list[float], callers: int) -> Crowd:
    about = Crowd(loop, lambda: resumed.append(loop.now))
    about.finished(callers, 0, seconds=0.01, overhead=0.004)
    return about


def test_a_lone_caller_never_waits(loop: Loop) -> None:
    about = crowd_of(loop, [], callers=1)
    assert not about.worth_waiting(1)
    assert not loop.scheduled


def test_waits_until_everybody_is_back(loop: Loop) -> None:
    about = crowd_of(loop, [], callers=3)
    waited = [about.worth_waiting(queued) for queued in (1, 2, 3)]
    assert waited == [True, True, False]
    assert all(handle.cancelled for _, handle in loop.scheduled)


def test_a_quiet_moment_ends_the_wait(loop: Loop) -> None:
    resumed: list[float] = []
    about = crowd_of(loop, resumed, callers=3)
    assert about.worth_waiting(1)
    loop.step()
    about.arrived()
    loop.step()
    assert not resumed
    loop.step()
    assert resumed == [pytest.approx(100.0 + 2 * QUIET * 0.004)]
    assert not about.worth_waiting(2)


def test_patience_ends_however_many_keep_coming(loop: Loop) -> None:
    resumed: list[float] = []
    about = crowd_of(loop, resumed, callers=10_000)
    assert about.worth_waiting(1)
    loop.step()
    for _ in range(100):
        about.arrived()
        if loop.scheduled:
            loop.step()
    assert len(resumed) == 1
    assert resumed[0] - 100.0 <= (PATIENCE + QUIET) * 0.004 + 1e-9


def test_callers_who_stay_away_are_not_waited_for(loop: Loop) -> None:
    about = crowd_of(loop, [], callers=32)
    loop.now += 0.02
    assert not about.worth_waiting(1)


def test_who_queues_already_is_enough_when_few_were_answered(loop: Loop) -> None:
    about = Crowd(loop, lambda: None)  # type: ignore[arg-type]
    about.finished(8, 24, seconds=0.01, overhead=0.004)
    assert not about.worth_waiting(24)
    about.finished(8, 3, seconds=0.01, overhead=0.004)
    assert about.worth_waiting(10)
    assert not about.worth_waiting(11)
