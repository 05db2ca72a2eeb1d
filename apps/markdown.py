"""Markdown or plain text as headings and what stands below them: shared by the apps, knows nothing of the system."""

import re
from dataclasses import dataclass, field

from .sentences import sentences

_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
_UNDERLINE = re.compile(r"^(=+|-{3,}|\*{3,}|_{3,})$")  # a heading above it, or a break between paragraphs
_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)]|\((?:[a-z]|[ivx]{1,4}|\d{1,3})\))\s+")
_RUN_IN = re.compile(
    r"^(\*\*|__)([^*_]{1,60}?)[.:]?\1[.:]?(?=\s+\S)"
)  # a name in bold that the sentence after it needs
_FIELD = re.compile(r"^[A-Z][\w -]{0,20}: +\S")  # a line at the head of a letter
_RULE = re.compile(r"^\|?[\s:|-]+\|?$")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARK = re.compile(r"\*\*|__|`+|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)")


@dataclass
class Block:
    """What stands under one heading; each unit is a sentence, a list item or a row of a table."""

    heading: str
    units: list[str] = field(default_factory=list)


def blocks(text: str) -> tuple[str, list[Block]]:
    """The title (the first heading, or "") and the blocks that hold anything, marks removed."""
    return _Reader().read(text)


class _Reader:
    def __init__(self) -> None:
        self.title = ""
        self.found = [Block("")]
        self.paragraph: list[str] = []
        self.header: list[str] = []  # cells of the first row of the table being read

    def read(self, text: str) -> tuple[str, list[Block]]:
        for line in text.removeprefix("\ufeff").splitlines():
            self._take(line.rstrip())
        self._close()
        return self.title, [b for b in self.found if b.units]

    def _take(self, line: str) -> None:
        bare = line.strip()
        heading = _HEADING.match(line)
        underlined = bool(_UNDERLINE.match(bare))
        if heading:
            self._close()
            self._head(_plain(heading[2]))
        elif underlined and len(self.paragraph) == 1:
            self._head(self.paragraph.pop())
        elif not bare or underlined:
            self._close()
        elif bare.startswith("|"):
            self._row(bare)
        else:
            self._line(line)

    def _line(self, line: str) -> None:
        item = _ITEM.match(line)
        if item:
            self._close()
            line = line[item.end() :]
        run_in = None if self.paragraph else _RUN_IN.match(line.strip())
        if run_in and any(mark in run_in[0] for mark in ".:"):
            line = f"{run_in[2]}: {line.strip()[run_in.end() :]}"
        self.paragraph.append(_plain(line))

    def _close(self) -> None:
        # Lines such as "To: ..." and "Date: ..." are no running text: each stands for itself.
        apart = len(self.paragraph) > 1 and all(_FIELD.match(line) for line in self.paragraph)
        for text in self.paragraph if apart else [" ".join(self.paragraph)]:
            self.found[-1].units += sentences(text)
        self.paragraph.clear()
        self.header = []

    def _head(self, words: str) -> None:
        if self.title:
            self.found.append(Block(words))
        self.title = self.title or words

    def _row(self, line: str) -> None:
        if self.paragraph:
            self._close()
        if _RULE.match(line):
            return
        cells = [_plain(cell) for cell in line.strip("|").split("|")]
        if not self.header:
            self.header = cells
            return
        pairs = zip(self.header, cells, strict=False)
        self.found[-1].units.append(", ".join(f"{n}: {c}" if n else c for n, c in pairs if c) + ".")


def _plain(text: str) -> str:
    return _MARK.sub("", _LINK.sub(r"\1", text)).strip()
