"""A circuit breaker: a server that keeps failing is left alone for a while, then tried with one request.

    closed ── `most` failures in a row ──▶ open ── its rest is over ──▶ half-open
       ▲                                     ▲                             │
       └──────── the one request went well ──┼─────────────────────────────┤
                                             └── it failed: twice the rest ┘

Nygard, Release It! (2007), chapter 5.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from ..faults import Remote, Resting, Told

Clock = Callable[[], float]


class Breaker:
    """Of one server. Owned by one thread. Times are seconds of ``clock``."""

    def __init__(
        self, name: str, *, most: int = 5, rest: float = 5.0, longest: float = 120.0, clock: Clock = time.monotonic
    ) -> None:
        self.name = name
        self.failures = 0  # in a row
        self.why = ""  # the last one
        self._most = most
        self._least_rest = self._rest = rest
        self._longest = longest
        self._clock = clock
        self._until: float | None = None  # when open: the end of its rest
        self._trying = False  # half-open: the one request is under way

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """How it stands now."""
        if self._until is None:
            return "closed"
        return "open" if self._clock() < self._until else "half-open"

    @property
    def left(self) -> float:
        """Seconds until the next request is let through; 0 where one is now."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    @property
    def admits(self) -> bool:
        """Whether a request would be let through now."""
        state = self.state
        return state == "closed" or (state == "half-open" and not self._trying)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One request; how the block ends tells how it went. Raises `Resting` where it is not let through.

        A `Remote` fault counts against the server, unless it told it to us (`Told`): then it is alive. What is
        cancelled, or fails for another reason, tells nothing.
        """
        if not self.admits:
            raise self._resting()
        tries = self._trying = self._until is not None
        try:
            yield
        except Told:
            self._good()
            raise
        except Remote as fault:
            self._bad(fault.message)
            raise
        else:
            self._good()
        finally:
            if tries:
                self._trying = False

    def _good(self) -> None:
        self.failures, self._until, self._rest = 0, None, self._least_rest

    def _bad(self, why: str) -> None:
        self.failures, self.why = self.failures + 1, why
        if self._until is not None:  # half-open, and it failed again
            self._rest = min(self._rest * 2, self._longest)
        if self.failures >= self._most:
            self._until = self._clock() + self._rest

    def _resting(self) -> Resting:
        times = f"{self.failures} times in a row"
        hint = f"it is tried again in {self.left:.0f} s" if self.left else "it is being tried right now"
        return Resting(f"{self.name} failed {times}: {self.why}", hint=hint, seconds=self.left)
