"""Texts as the store and its indexes take them."""

import re
from collections.abc import Iterator

# Chinese, Japanese and Korean: written without spaces or, Korean, with endings that hide the stem.
_LETTERS = "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]"
UNSPACED = re.compile(_LETTERS)
_RUN = re.compile(f"{_LETTERS}+")


def sound(text: str) -> str:
    """The text with a question mark for each lone surrogate, which SQLite would refuse."""
    return text.encode(errors="replace").decode()


def pairs(text: str) -> Iterator[str]:
    """The pairs of neighbouring characters in what is written without spaces; a character that stands alone is one."""
    for run in _RUN.finditer(text):
        yield from _pairs(run.group())


def in_pairs(text: str) -> str:
    """The text with these pairs as words of their own, in place of a run that would be one word."""
    return _RUN.sub(lambda run: f" {' '.join(_pairs(run.group()))} ", text)


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(max(1, len(run) - 1))]
