"""CSV: a record becomes "column: value" pairs, so that each is understood by itself. Streamed."""

import csv
import io
import re
from collections.abc import Iterator
from itertools import chain

from .blocks import Block, Document, Refused

CELL = 2**20  # characters of one cell; a quote that is never closed would swallow the file
LINE = 2**22  # characters of one line
COLUMNS = 10_000
_NAME = 80  # characters of a column's name: it stands in every passage
_SAMPLE = 2**16
_NUMBER = re.compile(r"\s*[-+]?[\d.,:/%€$£ -]+\s*")


def read(document: Document) -> Iterator[Block]:
    """A block for each record, with its number."""
    rows = _rows(document)
    first = next(rows, None)
    if first is None:
        return
    if _is_head(first):
        names = [" ".join(cell.split())[:_NAME] or f"column {place}" for place, cell in enumerate(first, 1)]
    else:
        names, rows = [f"column {place}" for place in range(1, len(first) + 1)], chain([first], rows)
    for number, row in enumerate(rows, 1):
        if len(row) > COLUMNS:
            raise Refused("damaged", f"record {number} has {len(row)} columns", "is it a table?")
        extra = (f"column {place}" for place in range(len(names) + 1, len(row) + 1))
        pairs = [f"{name}: {cell.strip()}" for name, cell in zip([*names, *extra], row, strict=False) if cell.strip()]
        if pairs:
            yield Block("; ".join(pairs), (), {"record": number}, record=True)


def _rows(document: Document) -> Iterator[list[str]]:
    csv.field_size_limit(CELL)
    stream = io.TextIOWrapper(document.file, document.encoding, errors="replace", newline="")
    try:
        sample = stream.read(_SAMPLE)
        stream.seek(0)
        yield from csv.reader(_bounded(stream), _dialect(sample, document.name))
    except csv.Error as problem:
        hint = "a quote may be missing, or it is no table: name it .txt to have it read as text"
        raise Refused("damaged", f"no CSV: {problem}", hint) from None
    finally:
        stream.detach()


def _dialect(sample: str, name: str) -> type[csv.Dialect]:
    if name.lower().endswith(".tsv"):
        return csv.excel_tab
    whole = sample[: sample.rfind("\n") + 1] or sample
    try:
        found = csv.Sniffer().sniff(whole, ",;\t|")
    except csv.Error:
        return csv.excel
    found.doublequote = True
    return found


def _bounded(stream: io.TextIOWrapper) -> Iterator[str]:
    while line := stream.readline(LINE):
        if len(line) == LINE:
            raise Refused("damaged", f"a line of more than {LINE:,} characters", "name it .txt to have it read as text")
        yield line.replace("\0", "\ufffd")


def _is_head(row: list[str]) -> bool:
    """Names of columns: all different, none empty but perhaps the first, none a number."""
    cells = [cell.strip() for cell in row]
    named = cells[1:] if cells and not cells[0] else cells
    return bool(named) and len(set(cells)) == len(cells) and not any(not c or _NUMBER.fullmatch(c) for c in named)
