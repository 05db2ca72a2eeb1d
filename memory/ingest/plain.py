"""Plain text: paragraphs between blank lines. Streamed; a line or a paragraph without an end is cut."""

import io
from collections.abc import Iterator

from .blocks import Block, Document

LONGEST = 2**16  # characters of a line, and of a paragraph, after which it is cut


def lines(document: Document) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end); what is longer than `LONGEST` comes in parts of the same number."""
    stream = io.TextIOWrapper(document.file, document.encoding, errors="replace")
    try:
        number = 1
        while line := stream.readline(LONGEST):
            yield number, line.rstrip("\n").replace("\0", "\ufffd")
            number += line.endswith("\n")
    finally:
        stream.detach()


def read(document: Document) -> Iterator[Block]:
    """Paragraphs, with the line where each begins."""
    paragraph = Paragraph()
    for number, line in lines(document):
        if not line.strip():
            yield from paragraph.over()
        else:
            yield from paragraph.add(number, line)
    yield from paragraph.over()


class Paragraph:
    """Lines that become one block."""

    def __init__(self) -> None:
        self.heading: tuple[str, ...] = ()
        self.lines: list[str] = []
        self._start = 0
        self._length = 0

    def add(self, number: int, line: str) -> Iterator[Block]:
        """One more line; gives the block when it has become too long."""
        if not self.lines:
            self._start = number
        self.lines.append(line)
        self._length += len(line) + 1
        if self._length > LONGEST:
            yield from self.over()

    def over(self) -> Iterator[Block]:
        """The block, if there is anything in it."""
        text = "\n".join(self.lines).rstrip()
        self.lines, self._length = [], 0
        if text.strip():
            yield Block(text, self.heading, {"line": self._start})


class Headings:
    """The headings above a place, by their levels."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, text: str) -> tuple[str, ...]:
        """A heading of a level (1 is the outermost) begins; the path down to it."""
        words = " ".join(text.split())
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        if words:
            self._open.append((level, words[:200]))
        return tuple(text for _, text in self._open)
