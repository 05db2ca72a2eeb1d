"""Word (.docx): paragraphs below their headings, tables row by row."""

import re
import zipfile
from collections.abc import Iterator

import docx
from docx.opc.exceptions import PackageNotFoundError
from docx.table import Table
from docx.text.paragraph import Paragraph

from .blocks import Block, Document, Refused
from .plain import Headings

UNPACKED = 2**28  # bytes that the parts of one file may hold
_OLD = b"\xd0\xcf\x11\xe0"  # how .doc begins, and a .docx with a password
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def read(document: Document) -> Iterator[Block]:
    """Blocks below their headings; Word decides on pages only when it prints."""
    _weigh(document)
    try:
        opened = docx.Document(document.file)
    except (PackageNotFoundError, KeyError, ValueError, zipfile.BadZipFile) as problem:
        raise Refused("damaged", f"no Word document: {problem}", "save it anew as .docx") from None
    headings = Headings()
    heading = headings.enter(0, opened.core_properties.title or "")
    for item in opened.iter_inner_content():
        if isinstance(item, Table):
            yield from _rows(item, heading)
            continue
        text = item.text.strip()
        level = _level(item)
        if level is not None and text:
            heading = headings.enter(level, text)
        elif text:
            yield Block(text, heading)


def _weigh(document: Document) -> None:
    """A small file may unpack to more than any memory holds: its own list of parts is asked before."""
    file = document.file
    if file.read(4) == _OLD:
        raise Refused("encrypted", "has a password, or is of the old format .doc", "save it as .docx without one")
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as parts:
            size = sum(part.file_size for part in parts.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as problem:
        raise Refused("damaged", f"no Word document: {problem}", "save it anew as .docx") from None
    if size > UNPACKED:
        raise Refused("large", f"unpacks to {size / 2**20:,.0f} MiB, more than {UNPACKED >> 20}", "save its text alone")
    file.seek(0)


def _level(paragraph: Paragraph) -> int | None:
    name = (paragraph.style.name if paragraph.style else "") or ""
    if name == "Title":
        return 0
    found = _HEADING.match(name)
    return int(found[1]) if found else None


def _rows(table: Table, heading: tuple[str, ...]) -> Iterator[Block]:
    """Each row of a table; cells that were joined are one."""
    for row in table.rows:
        cells = {cell._tc: " ".join(cell.text.split()) for cell in row.cells}
        if any(cells.values()):
            yield Block(" | ".join(cells.values()), heading)
