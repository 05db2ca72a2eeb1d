"""How many pages leave a window that is too full."""

from bisect import bisect_left
from collections.abc import Callable
from functools import cache

Size = Callable[[int, bool], int]
"""Tokens of the prompt once so many pages have left, with the stubs that stand for them or without."""


def fewest(size: Size, *, soon: int, late: int, low: float, room: int) -> tuple[int, bool]:
    """The fewest pages that have to leave, and whether their stubs find room.

    The first ``soon`` leave until what they fill is the share ``low`` of what they could fill; the ``late`` ones after
    them only where it would not fit otherwise. Without all of them, and without stubs, it fits into ``room``.
    """
    size = cache(size)
    base = size(soon, True)
    tries = [(base + int(low * (room - base)), soon, True)] if base <= room else []
    for limit, most, told in (*tries, (room, soon, False), (room, soon + late, False)):
        count = bisect_left(range(most), True, key=_within(size, limit, told))
        # The more leave, the less is left; but a part that leaves from amid its text cuts one message in two.
        count = next((n for n in range(count, most + 1) if size(n, told) <= limit), most + 1)
        if count <= most:
            return count, told
    raise AssertionError("what must stay fits, and does not")


def _within(size: Size, limit: int, told: bool) -> Callable[[int], bool]:
    return lambda count: size(count, told) <= limit
