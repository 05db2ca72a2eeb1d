"""The two CSV files: a catalogue of items and what users thought of them."""

import csv
from dataclasses import dataclass, field
from io import StringIO
from math import isfinite

from ...syscalls.api import BadInput

LONG = 40  # a value of more characters is a description, not a tag that items share
TAG_COLUMNS = ("tags", "tag", "genres", "genre", "keywords")  # commas or blanks may separate their values


@dataclass(frozen=True)
class Item:
    """One row of the catalogue; ``tags`` are the short values of all further columns, in lower case."""

    id: str
    title: str
    tags: tuple[str, ...] = ()
    text: str = ""  # title, tags and descriptions: what is compared by meaning


@dataclass(frozen=True)
class Ratings:
    """What users thought: user to item to rating, in the order of the file."""

    users: dict[str, dict[str, float]] = field(default_factory=dict)
    lowest: float = 0.0
    highest: float = 0.0

    def weight(self, rating: float) -> float:
        """From -1 (the scale's lowest) over 0 (its middle) to 1; 1 where all ratings are the same, as for purchases."""
        half = (self.highest - self.lowest) / 2
        return (rating - self.lowest - half) / half if half else 1.0


def read_items(name: str, text: str) -> dict[str, Item]:
    """The catalogue by id. Needs the columns id and title."""
    items: dict[str, Item] = {}
    for line, row in _rows(name, text, ("id", "title")):
        key = row["id"]
        if not key or not row["title"]:
            raise BadInput(f"{name}, line {line}: id or title is empty", hint="fill it or remove the line")
        if key in items:
            raise BadInput(f"{name}, line {line}: the id {key!r} stands twice", hint="give every item its own id")
        more = {column: value for column, value in row.items() if column not in ("id", "title") and value}
        text = ". ".join([row["title"], *more.values()]).replace("|", ", ")
        items[key] = Item(key, row["title"], _tags(more), text)
    if not items:
        raise BadInput(f"{name} holds no items", hint="give a line for each item below the header")
    return items


def read_ratings(name: str, text: str) -> Ratings:
    """The ratings. Needs the columns user, item and rating; of two ratings of one item the later line holds."""
    users: dict[str, dict[str, float]] = {}
    for line, row in _rows(name, text, ("user", "item", "rating")):
        try:
            rating = float(row["rating"])
        except ValueError:
            rating = float("nan")
        if not isfinite(rating):
            raise BadInput(f"{name}, line {line}: {row['rating']!r} is no rating", hint="write a number such as 4.5")
        if not row["user"] or not row["item"]:
            raise BadInput(f"{name}, line {line}: user or item is empty", hint="fill it or remove the line")
        users.setdefault(row["user"], {})[row["item"]] = rating
    given = [rating for ratings in users.values() for rating in ratings.values()]
    if not given:
        raise BadInput(f"{name} holds no ratings", hint="give a line user,item,rating for each below the header")
    return Ratings(users, min(given), max(given))


def _rows(name: str, text: str, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Number and values of each line, by the names of `_columns`."""
    reader = csv.reader(StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        columns = _columns(next(reader, []), needed)
        if missing := [column for column in needed if column not in columns]:
            there = ", ".join(c for c in columns if c) or "none"
            raise BadInput(
                f"{name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}",
                hint=f"its first line must name {', '.join(needed)}; it names {there}", missing=missing,
            )  # fmt: skip
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) < len(columns):
                raise BadInput(
                    f"{name}, line {reader.line_num}: {len(cells)} values for {len(columns)} columns",
                    hint="quote values that hold commas or line breaks",
                )
            rows.append((reader.line_num, {c: v.strip() for c, v in zip(columns, cells, strict=False)}))
    except csv.Error as wrong:
        raise BadInput(f"{name}, line {reader.line_num}: {wrong}", hint="save it as CSV with commas") from None
    return rows


def _columns(cells: list[str], needed: tuple[str, ...]) -> list[str]:
    """Names in lower case; an ``itemId`` is an ``item``, and so is a ``movieId`` where it is the only such column."""
    columns = [_column(cell, needed) for cell in cells]
    own = "id" if "id" in needed else "item"
    others = [at for at, name in enumerate(columns) if name not in needed and name.endswith("id")]
    if own not in columns and len(others) == 1:
        columns[others[0]] = own
    return columns


def _column(cell: str, needed: tuple[str, ...]) -> str:
    name = cell.strip().lower()
    short = name.removesuffix("id").rstrip("_- ")
    return short if name not in needed and short in needed else name


def _tags(values: dict[str, str]) -> tuple[str, ...]:
    parts = [part.strip().lower() for column, value in values.items() for part in _cut(column, value)]
    return tuple(dict.fromkeys(p for p in parts if 1 < len(p) <= LONG and any(letter.isalpha() for letter in p)))


def _cut(column: str, value: str) -> list[str]:
    """The values in one cell: a list in whatever way it was written, or the cell itself; none for a description."""
    for mark in ("|", ";"):
        if mark in value:
            return value.split(mark)
    if column in TAG_COLUMNS:
        return value.split("," if "," in value else None)
    return [value] if len(value) <= LONG else []
