"""PDF: the text of each page. What is hostile in it meets the bounds of the child that runs this."""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pypdf import PdfReader
from pypdf.errors import DependencyError, PyPdfError

from .blocks import Block, Document, Refused

logging.getLogger("pypdf").addHandler(logging.NullHandler())
logging.getLogger("pypdf").propagate = False

_EDGE = 2  # lines at the top and at the bottom that may be a page's header and footer
_REPEATED = 0.6  # share of the pages that show a line there, from which on it is one
_FEW_PAGES = 4
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad]\n(?=[^\W\d_A-Z])")
_BREAK = re.compile(r"(?<!\n)\n(?!\n)")
_DIGITS = re.compile(r"\d+")
_HOSTILE = (PyPdfError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


def read(document: Document) -> Iterator[Block]:
    """Paragraphs with their page and, where the file has an outline, the headings above the page."""
    reader = PdfReader(document.file, strict=False)
    if reader.is_encrypted:
        _unlock(reader)
    pages = [_lines(page.extract_text()) for page in reader.pages]
    if not any(pages):
        raise Refused("empty", "holds no text; its pages may be pictures", "have its text recognised first")
    headings = _headings(reader)
    heading: tuple[str, ...] = ()
    for number, kept in enumerate(_without_edges(pages), 1):
        heading = headings.get(number, heading)
        text = _HYPHEN.sub("", "\n".join(kept))
        for paragraph in re.split(r"\n{2,}", text):
            if words := _BREAK.sub(" ", paragraph).strip():
                yield Block(words, heading, {"page": number})


def _unlock(reader: PdfReader) -> None:
    """Many are encrypted with an empty password, only to forbid printing."""
    try:
        opened = reader.decrypt("")
    except DependencyError as problem:
        raise Refused("encrypted", f"is encrypted in a way that cannot be read here: {problem}") from None
    if not opened:
        raise Refused("encrypted", "is encrypted", "save a copy without a password")


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\0", "").splitlines()]
    return lines if any(lines) else []


def _without_edges(pages: list[list[str]]) -> Iterator[list[str]]:
    """The pages without lines that stand, but for their numbers, at the edge of most of them."""
    seen = Counter(line for lines in pages for line in {_shape(line) for line in _edges(lines)})
    most = max(_FEW_PAGES, _REPEATED * len(pages))
    for lines in pages:
        gone = {place for place, line in _placed(lines) if seen[_shape(line)] >= most}
        yield [line for place, line in enumerate(lines) if place not in gone]


def _placed(lines: list[str]) -> list[tuple[int, str]]:
    filled = [(place, line) for place, line in enumerate(lines) if line.strip()]
    edge = min(_EDGE, len(filled) // 4)  # of a page with little on it less
    return filled[:edge] + filled[len(filled) - edge :]


def _edges(lines: list[str]) -> list[str]:
    return [line for _, line in _placed(lines)]


def _shape(line: str) -> str:
    return _DIGITS.sub("0", " ".join(line.split()))


def _headings(reader: PdfReader) -> dict[int, tuple[str, ...]]:
    """The path of the outline's last entry on each page that has one; none where the outline is damaged."""
    found: dict[int, tuple[str, ...]] = {}
    try:
        _outline(reader, reader.outline, (), found)
    except _HOSTILE:
        return {}
    return found


def _outline(reader: PdfReader, entries: Any, above: tuple[str, ...], found: dict[int, tuple[str, ...]]) -> None:
    path = above
    for entry in entries:
        if isinstance(entry, list):
            _outline(reader, entry, path, found)
            continue
        page = reader.get_destination_page_number(entry)
        path = (*above, " ".join(str(entry.title).split())[:200])
        if page is not None:
            found[page + 1] = path
