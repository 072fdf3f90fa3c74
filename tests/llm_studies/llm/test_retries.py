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
