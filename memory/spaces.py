"""Collections of passages as SQLite holds them: the truth that every index follows.

Whatever is changed here goes through a connection inside the caller's transaction. Collections whose name begins with a
slash are nobody's: passages wait there until they are moved in, or until they are swept away (`remembering`, `upkeep`).
"""

import json
import logging
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checks import verify
from .database import Database
from .embedder import Vectors
from .faults import BadPath, DamagedRow
from .keywords import Indexed
from .passages import EVERYTHING, Filter, Hit, Row
from .texts import sound
from .vectors import Keys, Mark

log = logging.getLogger(__name__)

_ROW = "key, text, title, source, tags, meta, label"
_ALL = "id, collection, turn, words, created, key, label, source, tags, meta, title, text"
_LISTED = "(SELECT value FROM json_each(?))"


@dataclass(frozen=True)
class Space:
    """The passages of one collection of one owner and app."""

    db: Database
    id: int
    name: str

    def state(self) -> tuple[int, int]:
        """How many passages there are, and the turn that brought the last; a collection that is gone is empty."""
        sql = "SELECT id, owner, app, name, passages, words, turn, digest FROM collections WHERE id = ?"
        row = self.db.one(sql, (self.id,))
        if row is None:
            return 0, 0
        verify("collections", self.name, row[-1], *row[:-1])
        return row[4], row[6]

    def after(self, mark: Mark, limit: int = -1) -> list[Mark]:
        """See `vectors.Truth`."""
        # In two parts, so that SQLite begins either at its place in the index: one turn may have brought a million.
        sql = "SELECT turn, id FROM passages WHERE collection = ? AND {} ORDER BY turn, id LIMIT ?"
        found = self.db.rows(sql.format("turn = ? AND id > ?"), (self.id, mark.turn, mark.key, limit))
        found += self.db.rows(sql.format("turn > ?"), (self.id, mark.turn, limit if limit < 0 else limit - len(found)))
        return [Mark(*row) for row in found]

    def numbers(self, keys: Collection[str]) -> dict[str, int]:
        """Number of each of the passages with these keys; a number stands for one content for ever."""
        return {row[0]: row[1] for row in self._rows_of("key, id", keys)}

    def find(self, keys: Collection[str]) -> dict[str, tuple[int, Row]]:
        """Number and `Passage.row` of the passages with these keys; of a damaged one an empty row."""
        found: dict[str, tuple[int, Row]] = {}
        for row in self._rows_of(f"{_ALL}, digest", keys):
            number, _, _, _, _, key, label, source, tags, meta, title, text, digest = row
            sane = _intact("passages", number, digest, *row[:-1])
            found[key] = number, (key, text, title, source, tags, meta, label) if sane else ()
        return found

    def _rows_of(self, columns: str, keys: Collection[str]) -> Iterator[tuple[Any, ...]]:
        # One by one: SQLite's JSON ends a string at a NUL, and a list of parameters is limited.
        sql = f"SELECT {columns} FROM passages WHERE collection = ? AND key = ?"
        return (row for key in keys for row in self.db.rows(sql, (self.id, sound(key))))

    def matching(self, narrowed: Filter, among: Iterable[int] | None = None, limit: int = -1) -> list[int]:
        """Numbers of the passages that pass, of those ``among`` where given, ``limit`` at most."""
        condition, values = narrowed.condition()
        if among is None:
            table, given = "passages AS p", []
        else:  # one by one, whatever SQLite thinks of the other indexes
            table, given = "json_each(?) AS one CROSS JOIN passages AS p ON p.id = one.value", [json.dumps(list(among))]
        sql = f"SELECT p.id FROM {table} WHERE p.collection = ? AND {condition} LIMIT ?"
        return [row[0] for row in self.db.rows(sql, (*given, self.id, *values, limit))]

    def hits(self, numbers: Iterable[int]) -> dict[int, Hit]:
        """The passages of this collection with these numbers; a damaged one is left out with a warning."""
        sql = f"SELECT {_ALL}, digest FROM passages WHERE collection = ? AND id IN {_LISTED}"
        found = {}
        for row in self.db.rows(sql, (self.id, json.dumps(list(numbers)))):
            if not _intact("passages", row[0], row[-1], *row[:-1]):
                continue
            number, _, _, _, created, key, label, source, tags, meta, title, text, _ = row
            found[number] = Hit(
                f"{self.name}/{key}", self.name, key, text, title, source,
                tuple(json.loads(tags)), json.loads(meta), label, created,
            )  # fmt: skip
        return found


@dataclass(frozen=True)
class SpaceVectors:
    """The vectors of a collection that one embedder made; a `vectors.Truth`."""

    space: Space
    embedder: int
    narrowed: Filter = EVERYTHING  # of its passages, only those that pass are alive

    @property
    def name(self) -> str:
        """Names the set for an index."""
        return f"passages-{self.space.id}-{self.embedder}"

    @property
    def count(self) -> int:
        """See `vectors.Truth`."""
        return self.space.state()[0]

    @property
    def turn(self) -> int:
        """See `vectors.Truth`."""
        return self.space.state()[1]

    def after(self, mark: Mark, limit: int = -1) -> list[Mark]:
        """See `vectors.Truth`."""
        return self.space.after(mark, limit)

    def alive(self, keys: Iterable[int]) -> list[int]:
        """See `vectors.Truth`."""
        return self.space.matching(self.narrowed, keys)

    def vectors(self, keys: Sequence[int]) -> tuple[Keys, Vectors]:
        """See `vectors.Truth`."""
        return read_vectors(self.space.db, self.embedder, keys)


def _intact(table: str, key: object, digest: int, *values: object) -> bool:
    """Whether a row is as it was written; a damaged one is left out of whatever is done, with a warning."""
    try:
        verify(table, key, digest, *values)
    except DamagedRow as damage:
        log.warning("left out: %s", damage)
        return False
    return True


def read_vectors(db: Database, embedder: int, keys: Sequence[int]) -> tuple[Keys, Vectors]:
    """Keys that have a vector, ascending, and these as (n, dim); a damaged one is left out with a warning."""
    sql = f"SELECT passage, vector, digest FROM vectors WHERE embedder = ? AND passage IN {_LISTED} ORDER BY passage"
    found, blobs = [], []
    for passage, vector, digest in db.rows(sql, (embedder, json.dumps(list(keys)))):
        if _intact("vectors", f"{passage}/{embedder}", digest, passage, embedder, vector):
            found.append(passage)
            blobs.append(vector)
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32)
    return np.array(found, dtype=np.int64), np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(found), -1)


def write_vectors(db: sqlite3.Connection, embedder: int, numbers: Sequence[int], vectors: Sequence[Vectors]) -> None:
    """Write the vectors of passages, in place of those there are; a passage that is gone meanwhile is passed over."""
    rows = [(n, embedder, v.astype("<f4").tobytes(), n) for n, v in zip(numbers, vectors, strict=True)]
    db.executemany(
        "INSERT OR REPLACE INTO vectors (passage, embedder, vector)"
        " SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM passages WHERE id = ?)",
        rows,
    )


def insert(db: sqlite3.Connection, collection: int, turn: int, row: Row, indexed: Indexed, created: float) -> int:
    """Write a passage and its words; its number."""
    cursor = db.execute(
        f"INSERT INTO passages (collection, turn, words, created, {_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (collection, turn, indexed.length, created, *row),
    )
    number = int(cursor.lastrowid or 0)
    db.execute("INSERT INTO passage_words (rowid, title, text) VALUES (?, ?, ?)", (number, indexed.title, indexed.text))
    tags = [(tag, number) for tag in json.loads(row[4])]
    db.executemany("INSERT INTO passage_tags (tag, passage) VALUES (?, ?)", tags)
    return number


def delete(db: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Delete passages with their words, tags and vectors."""
    for number in numbers:
        *row, digest = db.execute(f"SELECT {_ALL}, digest FROM passages WHERE id = ?", (number,)).fetchone()
        # The words and tags of a damaged one cannot be told any more; they lead nowhere, and a rebuild drops them.
        if _intact("passages", number, digest, *row):
            words, tags = Indexed.of(title=row[10], text=row[11]), json.loads(row[8])
            values = ("delete", number, words.title, words.text)
            db.execute("INSERT INTO passage_words (passage_words, rowid, title, text) VALUES (?, ?, ?, ?)", values)
            db.executemany("DELETE FROM passage_tags WHERE tag = ? AND passage = ?", [(tag, number) for tag in tags])
        db.execute("DELETE FROM passages WHERE id = ?", (number,))


def move(db: sqlite3.Connection, numbers: Iterable[int], collection: int, turn: int) -> None:
    """Let passages be part of another collection, from its change ``turn`` on."""
    db.executemany(
        "UPDATE passages SET collection = ?, turn = ? WHERE id = ?", [(collection, turn, n) for n in numbers]
    )


def next_turn(db: sqlite3.Connection, collection: int) -> int:
    """Begin a change of a collection; its number."""
    sql = "UPDATE collections SET turn = turn + 1 WHERE id = ? RETURNING turn"
    return int(db.execute(sql, (collection,)).fetchone()[0])


def find_space(db: Database, owner: str, app: str, collection: str) -> Space | None:
    """The collection of that name, or None."""
    sql = "SELECT id FROM collections WHERE owner = ? AND app = ? AND name = ?"
    row = None if "/" in collection else db.one(sql, (sound(owner), sound(app), sound(collection)))
    return Space(db, row[0], sound(collection)) if row else None


def find_spaces(db: Database, owner: str, app: str) -> list[Space]:
    """All collections of an owner and app."""
    sql = "SELECT id, name FROM collections WHERE owner = ? AND app = ? AND name NOT LIKE '/%' ORDER BY name"
    return [Space(db, number, name) for number, name in db.rows(sql, (sound(owner), sound(app)))]


def make_space(db: Database, owner: str, app: str, collection: str) -> Space:
    """The collection of that name, made where it is missing. Raises `BadPath`."""
    if "/" in collection:
        raise BadPath(f"a collection cannot be named {collection!r}", hint="leave out the slash")
    values = (sound(owner), sound(app), sound(collection))
    space = find_space(db, *values)
    if space is None:
        db.run("INSERT OR IGNORE INTO collections (owner, app, name) VALUES (?, ?, ?)", values)
        space = find_space(db, *values)
        assert space is not None
    return space


def make_hidden(db: sqlite3.Connection, name: str) -> int:
    """A collection that nobody sees; its id. ``name`` begins with a slash and is used once."""
    return int(db.execute("INSERT INTO collections (owner, app, name) VALUES ('', '', ?)", (name,)).lastrowid or 0)


def hidden(db: Database) -> Iterator[Space]:
    """The collections that nobody sees."""
    for number, name in db.rows("SELECT id, name FROM collections WHERE name LIKE '/%' ORDER BY id"):
        yield Space(db, number, name)


def large_spaces(db: Database, count: int) -> list[Space]:
    """The collections of at least ``count`` passages that somebody sees."""
    sql = "SELECT id, name FROM collections WHERE passages >= ? AND name NOT LIKE '/%' ORDER BY id"
    return [Space(db, number, name) for number, name in db.rows(sql, (count,))]
