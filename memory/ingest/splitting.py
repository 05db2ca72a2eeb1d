"""From blocks to pieces of a passage's length: cut between sections, paragraphs, sentences, and only then elsewhere."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..texts import UNSPACED
from .blocks import Block, Piece

TARGET = 200  # words: what a piece holds at most, but for the last of a section, which takes what is too small alone
SMALL = 50  # words
OVERLAP = 30  # words of the end of a piece that begin the next: a sentence is understood where it stands
RECORDS = 100  # words: records are put together up to here; a longer one is a piece of its own
LARGE_RECORD = 300  # words: one that is longer still is divided

_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[.!?…][\"'”’)\]])\s+|(?<=[。！？])|\n\s*\n")
_LINE = re.compile(r"\n")
_SPACE = re.compile(r"\s+")
_LONG_WORD = 12  # characters that count as a word where there are no spaces
_LONGEST_TITLE = 300


def words(text: str) -> int:
    """How much a text says, in words; two characters of Chinese, Japanese or Korean count as one."""
    wide = 0 if text.isascii() else len(UNSPACED.findall(text)) // 2
    return max(len(text.split()) + wide, len(text) // _LONG_WORD)


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is not divided: ``glue`` stands between it and what comes before."""

    text: str
    size: int
    glue: str
    block: Block
    lines: int = 0  # line breaks between the beginning of its block and it

    def where(self) -> dict[str, int]:
        where = dict(self.block.where)
        return {**where, "line": where["line"] + self.lines} if "line" in where else where


def split(blocks: Iterable[Block], name: str) -> Iterator[Piece]:
    """Pieces in order; those without a heading have ``name`` as their title."""
    held: list[_Unit] = []
    old = 0  # units at the beginning of ``held`` that the last piece ended with
    for block in blocks:
        if held and (held[-1].block.heading != block.heading or held[-1].block.record != block.record):
            if len(held) > old:
                yield from _piece(held, name)
            held, old = [], 0
        target, spare = (RECORDS, 0) if block.record else (TARGET, SMALL)
        for unit in _units(block, LARGE_RECORD if block.record else TARGET):
            held.append(unit)
            while len(held) > old + 1 and sum(u.size for u in held) >= target + spare:
                cut = _cut(held, old + 1, target)
                yield from _piece(held[:cut], name)
                tail = _tail(held[:cut])
                held, old = tail + held[cut:], len(tail)
    if len(held) > old:
        yield from _piece(held, name)


def _cut(held: list[_Unit], least: int, target: int) -> int:
    """How many units the next piece takes: as many as fit, ``least`` in any case, and never all."""
    size, cut = 0, 0
    while cut < len(held) - 1 and (cut < least or size + held[cut].size <= target):
        size += held[cut].size
        cut += 1
    return cut


def _piece(units: list[_Unit], name: str) -> Iterator[Piece]:
    text = "".join((unit.glue if place else "") + unit.text for place, unit in enumerate(units)).strip()
    if not any(letter.isalnum() for letter in text):  # a rule, a row of dots
        return
    first = units[0]
    heading = first.block.heading
    title = (" › ".join(heading) or name)[:_LONGEST_TITLE]
    yield Piece(text, title, {**first.where(), **({"heading": list(heading)} if heading else {})})


def _tail(units: list[_Unit]) -> list[_Unit]:
    """The last sentences of a piece, as many as `OVERLAP` allows; none of records."""
    tail: list[_Unit] = []
    room = 0 if units[-1].block.record else OVERLAP
    for unit in reversed(units):
        for start, text in reversed(list(_parts(unit.text, _SENTENCE))):
            size = words(text)
            if size > room:
                return tail
            before = unit.text[:start]
            glue = before[len(before.rstrip()) :] if start else unit.glue
            tail.insert(0, _Unit(text, size, glue, unit.block, unit.lines + before.count("\n")))
            room -= size
    return tail


def _units(block: Block, target: int) -> Iterator[_Unit]:
    """The block, or where it is too long its sentences, lines, words; joined as they were."""
    end, lines = 0, 0
    first = "\n" if block.record else "\n\n"
    for start, text in _pieces(block.text, target, (_SENTENCE, _LINE, _SPACE)):
        between = block.text[end:start]
        lines += between.count("\n")
        yield _Unit(text, words(text), between if end else first, block, lines)
        lines += text.count("\n")
        end = start + len(text)


def _pieces(text: str, target: int, ways: tuple[re.Pattern[str], ...]) -> Iterator[tuple[int, str]]:
    """(start, part) of parts of at most ``target`` words, cut in the first way that does."""
    if words(text) <= target:
        yield 0, text
        return
    if not ways:
        step = target * _LONG_WORD // 2
        yield from ((start, text[start : start + step]) for start in range(0, len(text), step))
        return
    group, begin, size = "", 0, 0
    for start, part in _parts(text, ways[0]):
        count = words(part)
        if ways[0] is not _SENTENCE and group and size + count <= target:  # lines and words are put together again
            group, size = text[begin : start + len(part)], size + count
            continue
        if group:
            yield from _within(group, begin, target, ways[1:])
        group, begin, size = part, start, count
    if group:
        yield from _within(group, begin, target, ways[1:])


def _within(text: str, begin: int, target: int, ways: tuple[re.Pattern[str], ...]) -> Iterator[tuple[int, str]]:
    return ((begin + start, part) for start, part in _pieces(text, target, ways))


def _parts(text: str, between: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """(start, part) of what lies between the matches; nothing empty."""
    start = 0
    for match in between.finditer(text):
        if text[start : match.start()].strip():
            yield start, text[start : match.start()]
        start = match.end()
    if text[start:].strip():
        yield start, text[start:]
