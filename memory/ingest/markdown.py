"""Markdown: sections by their headings; fenced code stays whole, its # is no heading."""

import re
from collections.abc import Iterator

from .blocks import Block, Document
from .plain import Headings, Paragraph, lines

_ATX = re.compile(r" {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)\s*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TITLE = re.compile(r"title\s*:\s*(.+)", re.IGNORECASE)
_FRONT_LINES = 100  # what goes on for longer is no front matter


def read(document: Document) -> Iterator[Block]:
    """Paragraphs below their headings, with the line where each begins."""
    headings, paragraph, fence = Headings(), Paragraph(), ""
    for number, line in _after_front(lines(document), headings, paragraph):
        mark = _FENCE.match(line)
        if fence or mark:
            yield from paragraph.add(number, line)
            if mark and not fence:
                fence = mark[1]
            elif fence and line.strip() and not line.strip().strip(fence[0]) and len(line.strip()) >= len(fence):
                fence = ""
                yield from paragraph.over()
        elif atx := _ATX.match(line):
            yield from paragraph.over()
            paragraph.heading = headings.enter(len(atx[1]), atx[2] or "")
        elif len(paragraph.lines) == 1 and (under := _UNDERLINE.match(line)):
            text = paragraph.lines.pop()
            paragraph.heading = headings.enter(1 if under[1][0] == "=" else 2, text)
        elif not line.strip():
            yield from paragraph.over()
        else:
            yield from paragraph.add(number, line)
    yield from paragraph.over()


def _after_front(
    numbered: Iterator[tuple[int, str]], headings: Headings, paragraph: Paragraph
) -> Iterator[tuple[int, str]]:
    """The lines after a block of settings between --- and ---; its title is the outermost heading."""
    first = next(numbered, None)
    if first is None:
        return
    held = [first]
    if first[1].rstrip() == "---":
        for number, line in numbered:
            held.append((number, line))
            if line.rstrip() in ("---", "..."):
                title = next((found[1] for _, text in held if (found := _TITLE.match(text))), "")
                paragraph.heading = headings.enter(0, title.strip("\"' "))
                held = []
            if not held or len(held) > _FRONT_LINES:
                break
    yield from held
    yield from numbered
