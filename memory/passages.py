"""Passages, their words and their vectors as SQLite holds them: the truth that every index follows."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from .database import Database
from .embedder import Vectors
from .faults import BadPath
from .keywords import length, prepared
from .vectors import Mark


def sound(text: str) -> str:
    """The text with a question mark for each lone surrogate, which SQLite would refuse."""
    return text.encode(errors="replace").decode()


Row = tuple[str, ...]
"""A passage as SQLite takes it, see `Passage.row`."""


@dataclass(frozen=True)
class Passage:
    """A piece of text to remember, best a few hundred words long."""

    text: str
    key: str | None = None  # a second passage of the same key replaces the first; by default a hash of title and text
    source: str = ""
    title: str = ""
    tags: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)  # plain JSON values
    label: str = "untrusted"

    def row(self) -> Row:
        """Key, text, title, source, tags, meta and label as SQLite takes them, the JSON in order."""
        key = self.key or blake2b(f"{self.title}\n{self.text}".encode(errors="replace"), digest_size=8).hexdigest()
        tags = json.dumps(sorted(set(self.tags)), ensure_ascii=False)
        meta = json.dumps(dict(self.meta), ensure_ascii=False, sort_keys=True)
        fields = (key, self.text, self.title, self.source, tags, meta, self.label)
        return tuple(sound(value) for value in fields)


@dataclass(frozen=True)
class Why:
    """Why a passage was found. Ranks count from 1; None where that ranking did not put the passage forward."""

    keyword: int | None = None
    vector: int | None = None
    similarity: float = 0.0  # cosine, -1 to 1
    coverage: float = 0.0  # BM25 as a share of the most that any passage could reach for this query, 0 to 1


@dataclass(frozen=True)
class Hit:
    """A passage as it is stored, and how well it fits a query."""

    handle: str  # "collection/key": stable, and valid for its owner and app
    key: str
    text: str
    title: str
    source: str
    tags: tuple[str, ...]
    meta: Mapping[str, Any]
    label: str
    created: float  # seconds since the epoch
    score: float = 0.0  # 0 to 1, comparable within one search only
    why: Why = Why()


_COLUMNS = "key, text, title, source, tags, meta, label"


@dataclass(frozen=True)
class Space:
    """The passages of one collection of one owner and app; as such a `vectors.Truth`."""

    db: Database
    id: int
    name: str

    @property
    def mark(self) -> Mark:
        """See `vectors.Truth`."""
        return Mark(*self.db.rows("SELECT passages, newest FROM collections WHERE id = ?", (self.id,))[0])

    def keys(self, after: int = 0) -> list[int]:
        """See `vectors.Truth`."""
        rows = self.db.rows("SELECT id FROM passages WHERE collection = ? AND id > ? ORDER BY id", (self.id, after))
        return [row[0] for row in rows]

    def vectors(self, keys: Sequence[int]) -> Vectors:
        """See `vectors.Truth`."""
        sql = "SELECT passage, vector FROM vectors WHERE passage IN (SELECT value FROM json_each(?))"
        blobs = dict(self.db.rows(sql, (json.dumps(list(keys)),)))
        return np.frombuffer(b"".join(blobs[key] for key in keys), dtype="<f4").reshape(len(keys), -1)

    def find(self, keys: Collection[str]) -> dict[str, tuple[int, Row]]:
        """Row number and `Passage.row` of the passages with these keys."""
        sql = f"SELECT id, {_COLUMNS} FROM passages WHERE collection = ? AND key = ?"
        rows = (self.db.one(sql, (self.id, sound(key))) for key in keys)
        return {row[1]: (row[0], tuple(row[1:])) for row in rows if row}

    def matching(self, *, tags: Iterable[str] = (), label: str | None = None, source: str | None = None) -> list[int]:
        """Row numbers of the passages that bear all ``tags``, and ``label`` and ``source`` where they are given."""
        conditions, values = ["collection = ?"], list[int | str]([self.id])
        for column, wanted in (("label", label), ("source", source)):
            if wanted is not None:
                conditions.append(f"{column} = ?")
                values.append(sound(wanted))
        for tag in tags:
            conditions.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)")
            values.append(sound(tag))
        rows = self.db.rows(f"SELECT id FROM passages WHERE {' AND '.join(conditions)} ORDER BY id", values)
        return [row[0] for row in rows]

    def hits(self, ids: Collection[int]) -> dict[int, Hit]:
        """The passages with these row numbers."""
        sql = f"SELECT id, created, {_COLUMNS} FROM passages WHERE id IN (SELECT value FROM json_each(?))"
        found = {}
        for number, created, key, text, title, source, tags, meta, label in self.db.rows(sql, (json.dumps(list(ids)),)):
            found[number] = Hit(
                f"{self.name}/{key}",
                key,
                text,
                title,
                source,
                tuple(json.loads(tags)),
                json.loads(meta),
                label,
                created,
            )
        return found

    def unembedded(self, embedder: str) -> list[tuple[int, str, str]]:
        """(row number, title, text) of passages whose vector is missing or was made by another embedder."""
        sql = (
            "SELECT p.id, p.title, p.text FROM passages AS p LEFT JOIN vectors AS v ON v.passage = p.id"
            " WHERE p.collection = ? AND v.embedder IS NOT ?"
        )
        return [(key, title, text) for key, title, text in self.db.rows(sql, (self.id, embedder))]

    def insert(self, db: sqlite3.Connection, row: Row, created: float) -> int:
        """Write a passage and its words, within the caller's transaction; its row number."""
        text, title = row[1], row[2]
        cursor = db.execute(
            f"INSERT INTO passages (collection, words, created, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self.id, length(f"{title} {text}"), created, *row),
        )
        words = (cursor.lastrowid, prepared(title), prepared(text))
        db.execute("INSERT INTO passage_words (rowid, title, text) VALUES (?, ?, ?)", words)
        return int(cursor.lastrowid or 0)

    def delete(self, db: sqlite3.Connection, ids: Iterable[int]) -> int:
        """Delete passages with their words and vectors, within the caller's transaction; how many were there."""
        count = 0
        for number in ids:
            row = db.execute("SELECT title, text FROM passages WHERE id = ?", (number,)).fetchone()
            if row is None:
                continue
            title, text = row
            words = ("delete", number, prepared(title), prepared(text))
            db.execute("INSERT INTO passage_words (passage_words, rowid, title, text) VALUES (?, ?, ?, ?)", words)
            db.execute("DELETE FROM passages WHERE id = ?", (number,))
            count += 1
        return count


def find_space(db: Database, owner: str, app: str, collection: str) -> Space | None:
    """The collection of that name, or None."""
    sql = "SELECT id FROM collections WHERE owner = ? AND app = ? AND name = ?"
    rows = db.rows(sql, (owner, app, sound(collection)))
    return Space(db, rows[0][0], collection) if rows else None


def make_space(db: Database, owner: str, app: str, collection: str) -> Space:
    """The collection of that name, made where it is missing."""
    if "/" in collection:
        raise BadPath(f"a collection cannot be named {collection!r}", hint="leave out the slash")
    collection = sound(collection)
    space = find_space(db, owner, app, collection)
    if space is None:
        with db.transaction() as connection:
            connection.execute("INSERT INTO collections (owner, app, name) VALUES (?, ?, ?)", (owner, app, collection))
        space = find_space(db, owner, app, collection)
        assert space is not None
    return space


def large_spaces(db: Database, count: int) -> list[Space]:
    """The collections of at least ``count`` passages."""
    rows = db.rows("SELECT id, name FROM collections WHERE passages >= ? ORDER BY id", (count,))
    return [Space(db, number, name) for number, name in rows]


def write_vectors(
    db: sqlite3.Connection, embedder: str, ids: Sequence[int], vectors: Vectors | Sequence[Vectors]
) -> None:
    """Write or replace the vectors of passages, within the caller's transaction."""
    rows = [(number, embedder, vector.astype("<f4").tobytes()) for number, vector in zip(ids, vectors, strict=True)]
    db.executemany("INSERT OR REPLACE INTO vectors (passage, embedder, vector) VALUES (?, ?, ?)", rows)
