import random
from datetime import UTC, datetime

import pytest

from llm_studies.llm import retries


def test_retry_after_in_seconds_and_as_a_date() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retries.retry_after("2.5") == 2.5
    assert retries.retry_after("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30.0
    assert retries.retry_after("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0.0
    assert retries.retry_after("-3") == 0.0


@pytest.mark.parametrize("header", [None, "", "soon", "nan", "inf"])
def test_what_is_no_retry_after_is_none(header: str | None) -> None:
    assert retries.retry_after(header) is None


def test_backoff_is_exponential_with_full_jitter_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST", 0.5)
    monkeypatch.setattr(retries, "LARGEST", 20.0)
    chance = random.Random(1)
    for attempt, upper in [(1, 0.5), (2, 1.0), (4, 4.0), (7, 20.0), (99, 20.0)]:
        waits = [retries.backoff(attempt, chance) for _ in range(2000)]
        assert 0.0 <= min(waits) < 0.01 * upper
        assert 0.99 * upper < max(waits) <= upper
        assert sum(waits) / 2000 == pytest.approx(upper / 2, rel=0.05)  # uniform: 4.4 standard errors


@pytest.mark.parametrize("asked", [0.0, 0.01, 5.0])
def test_a_wait_that_is_asked_for_is_kept_with_jitter_and_within_the_deadline(asked: float) -> None:
    chance = random.Random(2)
    waits = [retries.pause(3, asked, 60.0, chance) for _ in range(500)]
    assert min(waits) > asked
    assert max(waits) <= 1.1 * max(asked, retries.FIRST * 4)
    assert len(set(waits)) == 500
    close = [retries.pause(1, 5.0, 5.1, chance) for _ in range(500)]
    assert 5.0 < min(close) < max(close) <= 5.1
    assert max(close) > 5.09


def test_a_wait_that_nobody_asks_for_is_the_backoff() -> None:
    assert retries.pause(4, None, 60.0, random.Random(3)) == retries.backoff(4, random.Random(3))


@pytest.mark.parametrize(
    ("status", "again"),
    [
        (400, False),
        (401, False),
        (404, False),
        (408, True),
        (409, True),
        (422, False),
        (429, True),
        (500, True),
        (503, True),
    ],
)
def test_statuses_worth_another_attempt(status: int, again: bool) -> None:
    assert retries.worth_repeating(status) == again
