"""What the decision about a step is made from, and what it says: plain values, no clock, no engine, no state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

INTERACTIVE = 0


class Place(IntEnum):
    """Where a sequence's state is; the smaller, the sooner it can compute."""

    STREAM = 0
    SAVED = 1  # in memory or on disk
    NEW = 2


@dataclass(frozen=True)
class View:
    """What the decision knows of one sequence."""

    key: int
    tree: int  # its process tree
    priority: int  # 0 interactive, 1 normal, 2 batch
    service: float  # tokens computed for its tree by weight, counted from when the tree last became active
    arrival: int
    place: Place
    left: int  # tokens still to be prefilled; 0 means that it decodes
    ran: int = 0  # tokens computed since it got its stream, or since its answer began there
    passed: float = 0.0  # milliseconds since something of it was last computed, or since it came
    started: bool = False  # something of the answer under way was shown
    width: int = 1  # tokens that it wants in a decode step
    adapter: str = ""
    awaits: int | None = None  # who computes a prefix that this one will copy
    most: int | None = None  # most tokens of one cut

    @property
    def broken(self) -> bool:
        """Put out in the middle of an answer."""
        return self.started and self.place is not Place.STREAM


@dataclass(frozen=True)
class Costs:
    """What steps cost on this machine, in milliseconds."""

    decode_base: float = 4.0
    decode_each: float = 3.5
    prefill_each: float = 1.2

    def decode(self, tokens: int) -> float:
        """A decode step of so many tokens."""
        return self.decode_base + self.decode_each * tokens


@dataclass(frozen=True)
class Budget:
    """What the engine has to give."""

    streams: int
    grain: int  # least tokens of a cut, see `EngineInfo`
    batch: int  # most tokens in one step
    quantum: int = 512  # tokens for which a sequence keeps its stream against others of its class
    reserve: int = 0  # streams of these that only the interactive class may take


@dataclass(frozen=True)
class Last:
    """What came before."""

    prefilled: float = 0.0  # milliseconds of prefill since the last decode step
    adapter: str = ""


NOTHING = Last()


@dataclass(frozen=True)
class Turn:
    """The decision: who gets a stream, who leaves one for it, and how many tokens of whom are computed now."""

    parts: tuple[tuple[int, int], ...]
    prefill: bool
    place: tuple[tuple[int, int | None], ...] = ()  # newcomer, and its victim where no stream is free
    adapter: str = ""


def weight(nice: int) -> float:
    """By how much a tree is served more than others: a quarter for each step of ``nice``, as in Linux."""
    return 1.25**-nice
