"""Limits of a process tree, and what it has used of them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import BadInput, LimitExceeded


@dataclass(frozen=True)
class Limits:
    """Most that a process and all its descendants may use together; None is without limit."""

    tokens: int | None = 200_000  # computed by the engine: prompts that were not cached, and answers
    seconds: float | None = 3600.0  # wall time of each process from its start
    pages: int | None = 1024  # context pages, resident or not
    calls: int | None = 20_000  # system calls
    children: int | None = 64  # processes started, living or not

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Limits":
        """From a manifest's table; 0 stands for no limit, an unknown name or a negative number is refused."""
        known = cls.__dataclass_fields__
        for name, value in data.items():
            if name not in known:
                raise BadInput(f"unknown limit {name!r}", hint=f"limits are {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise BadInput(f"limit {name} is {value!r}", hint="give a number; 0 means no limit")
        return replace(cls(), **{name: value or None for name, value in data.items()})

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain values by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass
class Usage:
    """What one process has used; owned by the event loop's thread."""

    tokens_in: int = 0  # prompt tokens, cached or not
    tokens_out: int = 0
    computed: int = 0  # tokens that the engine computed
    calls: int = 0
    pages: int = 0  # pages in the context now
    shown: int = 0  # most pages that the model saw in one prompt, those of a single call included
    faults: int = 0
    started: float = 0.0  # monotonic seconds
    ended: float | None = None
    first_token: float | None = None  # monotonic seconds

    def kept(self) -> dict[str, Any]:
        """What lasts of it, in plain values; `restored` takes it up again."""
        now = self.ended or time.monotonic()
        first = None if self.first_token is None else self.first_token - self.started
        return {**{name: getattr(self, name) for name in _LASTING}, "ran": now - self.started, "first_token_s": first}

    @classmethod
    def restored(cls, kept: Mapping[str, Any]) -> "Usage":
        """The usage of a process that goes on; the time in which it was not there does not count."""
        started = time.monotonic() - kept.get("ran", 0.0)
        first = kept.get("first_token_s")
        lasting = {name: int(kept.get(name, 0)) for name in _LASTING}
        return cls(**lasting, started=started, first_token=None if first is None else started + first)


_LASTING = ("tokens_in", "tokens_out", "computed", "calls", "pages", "shown", "faults")


@dataclass
class Account:
    """The bill of a process tree: one object shared by the root and all its descendants.

    A child whose own manifest is stricter has an account of its own whose charges also go to the ``parent``.
    """

    limits: Limits
    parent: "Account | None" = None
    used: dict[str, int] = field(default_factory=lambda: {"tokens": 0, "pages": 0, "calls": 0, "children": 0})
    service: float = 0.0  # of the root: tokens computed by weight, as the scheduler compares trees (see `Scheduler`)
    nice: int = 0  # of the root: how much the tree gives way to others of its class, -20 to 19 as in Linux

    def charge(self, what: str, amount: int) -> None:
        """Book ``amount`` everywhere, or raise `LimitExceeded` and book nothing. Negative amounts give back."""
        self._check(what, amount)
        self.book(what, amount)

    def spend(self, what: str, amount: int) -> None:
        """Book what has been used already, then raise `LimitExceeded` if it was too much."""
        self.book(what, amount)
        self._check(what, 0)

    def reached(self, what: str) -> bool:
        """Whether a further one would be refused."""
        return any((most := getattr(a.limits, what)) is not None and a.used[what] >= most for a in self._chain())

    def book(self, what: str, amount: int) -> None:
        """Book everywhere, whatever the limits say."""
        for account in self._chain():
            account.used[what] += amount

    def _check(self, what: str, amount: int) -> None:
        for account in self._chain():
            most = getattr(account.limits, what)
            if amount >= 0 and most is not None and account.used[what] + amount > most:
                raise LimitExceeded(
                    f"the limit of {most} {what} is reached",
                    hint=f"raise limits.{what} in the app's manifest",
                    limit=what,
                    most=most,
                    used=account.used[what],
                )

    def root(self) -> "Account":
        """The account of the whole tree."""
        return self._chain()[-1]

    def _chain(self) -> "list[Account]":
        found: list[Account] = []
        account: Account | None = self
        while account is not None:
            found.append(account)
            account = account.parent
        return found
