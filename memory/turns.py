"""Long work on the store in steps, and a turn for the other threads between them."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

TURN = 0.001  # seconds between two steps; a lock that is taken again at once is never another thread's


def in_steps(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Parts of so many things."""
    for start in range(0, len(things), size):
        if start:
            time.sleep(TURN)
        yield things[start : start + size]
