"""Medians, shares and ratios: how runs become figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

Figures = Mapping[str, float | None]
"""What one run gave, by name; None where there was nothing to measure."""


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least ``share`` of them do not exceed (nearest rank); None of no values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median(values: Sequence[float | None]) -> float | None:
    """The middle of those that are there."""
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def medians(runs: Sequence[Figures]) -> dict[str, float | None]:
    """The median of every figure over runs that gave the same ones."""
    return {name: median([run[name] for run in runs]) for name in runs[0]} if runs else {}


def ratio(ours: Sequence[float | None], theirs: Sequence[float | None]) -> float | None:
    """The median of the ratios of runs made one after the other, so that a machine's moods touch both alike."""
    pairs = zip(ours, theirs, strict=True)
    return median([a / b if b else None for a, b in pairs if a is not None and b is not None])


def ratios(ours: Sequence[Figures], theirs: Sequence[Figures]) -> dict[str, float | None]:
    """`ratio` for every figure."""
    if not ours:
        return {}
    return {name: ratio([run[name] for run in ours], [run.get(name) for run in theirs]) for name in ours[0]}
