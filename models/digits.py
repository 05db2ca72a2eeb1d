"""Numbers within bounds, as grammar: decimal digits, no exponent, no leading zero."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from .faults import BadGrammar

_MOST = 10**15 - 1  # every whole number up to here is exact as a float too
_FRACTION = '("." [0-9]{1,6})?'
_POSITIVE_FRACTION = '"." [0-9]{0,5} [1-9]'


class Bounds(NamedTuple):
    """``low <= x <= high``; with ``open_low`` or ``open_high`` the bound itself is left out."""

    low: float = -_MOST
    high: float = _MOST
    open_low: bool = False
    open_high: bool = False


def integer(bounds: Bounds) -> str:
    """An expression for the whole numbers within the bounds; raises `BadGrammar` where there are none."""
    low, high = math.ceil(max(bounds.low, -_MOST)), math.floor(min(bounds.high, _MOST))
    low += bounds.open_low and low == bounds.low
    high -= bounds.open_high and high == bounds.high
    if low > high:
        raise BadGrammar(f"no whole number lies within {_shown(bounds)}", hint="correct the bounds")
    found = list(_digits(max(low, 0), high)) if high >= 0 else []
    if low < 0:
        found += [f'"-" {piece}' for piece in _digits(max(-high, 1), -low)]
    return " | ".join(found)


def number(bounds: Bounds) -> str:
    """An expression for numbers of up to six decimals within the bounds.

    Beyond the last whole number within them nothing is written: of 0.5 to 2.5 the part from 1 to 2.
    """
    found: list[str] = []
    if bounds.high >= 0:
        found += _magnitudes(max(bounds.low, 0), bounds.high, bounds.open_low and bounds.low >= 0, bounds.open_high)
    if bounds.low < 0:
        least = max(-bounds.high, 0)
        open_least = bounds.open_high and bounds.high <= 0
        found += [f'"-" ({piece})' for piece in _magnitudes(least, -bounds.low, open_least, bounds.open_low)]
    if not found:
        raise BadGrammar(f"no whole number lies within {_shown(bounds)}", hint="widen the bounds to whole numbers")
    return " | ".join(found)


def _magnitudes(low: float, high: float, open_low: bool, open_high: bool) -> Iterator[str]:
    """Expressions for numbers from ``low >= 0`` to ``high``, by the whole numbers between."""
    first, last = math.ceil(low), math.floor(min(high, _MOST))
    if first > last:
        return
    if not (open_high and last == high) and not (open_low and last == low):
        yield f'"{last}"'
    if first < last and open_low and first == low:
        yield f'"{first}" {_POSITIVE_FRACTION}'
        first += 1
    for piece in _digits(first, last - 1):
        yield f"{piece} {_FRACTION}"


def _digits(low: int, high: int) -> Iterator[str]:
    """Expressions for the whole numbers ``0 <= low <= x <= high``; none where the range is empty."""
    while low <= high:
        length = len(str(low))
        yield from _of_one_length(str(low), str(min(high, 10**length - 1)))
        low = 10**length


def _of_one_length(low: str, high: str) -> Iterator[str]:
    """The same for two numbers of equally many digits, leading zeros allowed."""
    if low == high:
        yield f'"{low}"' if low else '""'
        return
    same = next(i for i in range(len(low)) if low[i] != high[i])
    prefix, a, b = f'"{low[:same]}" ' if same else "", int(low[same]), int(high[same])
    left, right = low[same + 1 :], high[same + 1 :]
    rest = len(left)
    if rest and left != "0" * rest:
        yield from (f'{prefix}"{a}" {piece}' for piece in _of_one_length(left, "9" * rest))
        a += 1
    tail = []
    if rest and right != "9" * rest:
        tail = [f'{prefix}"{b}" {piece}' for piece in _of_one_length("0" * rest, right)]
        b -= 1
    if a <= b:
        yield prefix + (f"[{a}-{b}]" if a < b else f'"{a}"') + " [0-9]" * min(rest, 1) + f"{{{rest}}}" * (rest > 1)
    yield from tail


def _shown(bounds: Bounds) -> str:
    return f"{'(' if bounds.open_low else '['}{bounds.low:g}, {bounds.high:g}{')' if bounds.open_high else ']'}"
