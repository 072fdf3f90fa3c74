import pytest

from contracts.llm import Profile
from llm_studies.llm.limits import Limiter


def limiter(clock: list[float], **limits: float) -> Limiter:
    return Limiter(Profile(base_url="http://a/v1", model="m", **limits), lambda: clock[0])  # pyright: ignore


def test_requests_are_spaced_evenly_in_the_order_of_their_reservation() -> None:
    now = [100.0]
    found = limiter(now, requests_per_minute=30)
    assert [found.reserve(1) for _ in range(4)] == [0.0, 2.0, 4.0, 6.0]
    now[0] += 5.0
    assert found.reserve(1) == pytest.approx(3.0)
    now[0] += 100.0
    assert found.reserve(1) == 0.0  # what was not used is not saved up


def test_tokens_are_spaced_by_what_was_reserved_before() -> None:
    found = limiter([0.0], tokens_per_minute=600)
    assert [found.reserve(tokens) for tokens in (100, 50, 10)] == pytest.approx([0.0, 10.0, 15.0])


def test_the_stricter_limit_holds() -> None:
    found = limiter([0.0], requests_per_minute=60, tokens_per_minute=6000)
    assert [found.reserve(tokens) for tokens in (50, 200, 1)] == pytest.approx([0.0, 1.0, 3.0])


def test_without_limits_nobody_waits() -> None:
    found = limiter([0.0])
    assert {found.reserve(10**9) for _ in range(10)} == {0.0}


async def test_acquire_sleeps_as_long_as_was_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("llm_studies.llm.limits.asyncio.sleep", sleep)
    found = limiter([0.0], requests_per_minute=60)
    for _ in range(3):
        await found.acquire(1)
    assert slept == [1.0, 2.0]
