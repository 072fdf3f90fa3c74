"""When and how long to wait before asking again.

Own lines rather than stamina: a wait depends on the server's Retry-After and on what is left until the deadline, each
attempt needs a new permit of the limiter, and one case (told to wait too long) must fail at once.
"""

import email.utils
import math
import random
from datetime import UTC, datetime

FIRST, LARGEST = 0.5, 20.0
"""Seconds: upper ends of the first and of the longest back-off."""

JITTER = 0.1
"""Of a wait that a server asks for: it tells all callers the same, and they must not come back at once."""

AGAIN = frozenset({408, 409, 425, 429})
"""Refusals of the moment, beside every 5xx."""


def worth_repeating(status: int) -> bool:
    return status in AGAIN or status >= 500


def backoff(attempt: int, chance: random.Random) -> float:
    """Seconds after failed attempt 1, 2, ...: exponential with full jitter, so that callers do not come back at once
    (AWS Architecture Blog, "Exponential Backoff And Jitter")."""
    return chance.uniform(0.0, min(LARGEST, FIRST * 2 ** min(attempt - 1, 16)))


def pause(attempt: int, asked: float | None, left: float, chance: random.Random) -> float:
    """Seconds after failed attempt 1, 2, ...: never less than the server asks, which may be 0, nor than the back-off.

    The jitter on top takes no wait past the deadline, which is ``left`` seconds away.
    """
    least = max(asked or 0.0, backoff(attempt, chance))
    return least if asked is None or least >= left else least + chance.uniform(0.0, min(JITTER * least, left - least))


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date (RFC 9110, section 10.2.3)."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = email.utils.parsedate_to_datetime(header)
        except ValueError:
            return None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        seconds = (when - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
