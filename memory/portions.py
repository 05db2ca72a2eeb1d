"""Cutting a long text where it hurts least: between paragraphs, else lines, sentences, words, characters."""

import re
from collections.abc import Callable

_BOUNDARIES = [
    re.compile(pattern)
    for pattern in (r"\n[ \t]*\n\s*", r"\n", r"[.!?…][\"'”’)\]]*\s+|[。！？][”’」』]*", r"[,;:]\s+", r"\s+")
]
EDGE = 4
"""A part of a cut text has at least one EDGE-th of its characters, where there is a boundary that allows it."""


def portions(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The text in parts that fit, as alike in length as its boundaries allow; joined they are the text again.

    A single character is never cut, whether it fits or not.
    """
    if len(text) < 2 or fits(text):
        return [text]
    at = _middle(text)
    return portions(text[:at], fits) + portions(text[at:], fits)


def sentences(text: str) -> list[str]:
    """The sentences of a text with white space folded; a full stop within a figure or a name with dots ends none."""
    return [found for part in re.split(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+", text) if (found := " ".join(part.split()))]


def _middle(text: str) -> int:
    """Where to cut: at the strongest boundary of the middle, there at the one nearest to it."""
    least, half = max(1, len(text) // EDGE), len(text) // 2
    for boundary in _BOUNDARIES:
        ends = [match.end() for match in boundary.finditer(text, least, len(text) - least)]
        if ends:
            return min(ends, key=lambda end: abs(end - half))
    return half
