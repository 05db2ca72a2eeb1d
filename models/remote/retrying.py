"""Asking again: how often, and how long to wait in between."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Retries:
    """Exponential backoff with full jitter: a wait is drawn evenly from 0 to ``first`` x 2^n seconds.

    Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). What a server asks for is waited for in
    full, unless that is more than ``patience`` seconds: then the call fails, and says so.
    """

    most: int = 4  # attempts in all
    first: float = 0.5
    longest: float = 8.0
    patience: float = 30.0
    random: random.Random = field(default_factory=random.Random)

    def pause(self, failed: int, wait: float | None = None) -> float | None:
        """Seconds to wait after so many failed attempts (1 or more); None: give up."""
        if failed >= self.most or (wait is not None and wait > self.patience):
            return None
        drawn = self.random.uniform(0, min(self.first * 2 ** (failed - 1), self.longest))
        return drawn if wait is None else wait + drawn * 0.1  # not all at the very same moment


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, as a number or as a date (RFC 9110, 10.2.3); None for neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
