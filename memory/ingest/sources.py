"""Which file gave which passage: the tables ``sources`` and ``source_passages``, and what a passage is by them.

A text that several sources of a collection hold is one passage. It bears the source and title of the first of them, the
tags of all, and is trusted only if all are. It goes with the last.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ..database import Database
from ..passages import Passage
from ..texts import sound

TRUSTED, UNTRUSTED = "trusted", "untrusted"


@dataclass(frozen=True)
class Source:
    """A row of ``sources``, see there."""

    id: int
    name: str
    kind: str
    content: str
    size: int
    mtime_ns: int
    tags: str
    label: str
    recipe: int
    reading: int
    added: float
    seen: float


_COLUMNS = "id, name, kind, content, size, mtime_ns, tags, label, recipe, reading, added, seen"
WHOLE = (
    "s.digest IS digest(s.id, s.collection, s.name, s.kind, s.content, s.size, s.mtime_ns, s.tags, s.label, s.recipe,"
    " s.reading, s.added, s.seen)"
)
"""Of a row ``s`` of sources: it is as it was written."""
WHOLE_NOTE = "p.digest IS digest(p.source, p.reading, p.key, p.title, p.meta)"
"""Of a row ``p`` of source_passages."""
_ONE_OF = "(SELECT value FROM json_each(?))"


@dataclass(frozen=True)
class Holder:
    """That a source holds a text."""

    source: int
    name: str
    title: str
    meta: dict[str, Any]
    tags: tuple[str, ...]
    label: str


def key_of(text: str) -> str:
    """The key of the passage of a text, whichever source holds it."""
    return blake2b(sound(text).encode(), digest_size=12).hexdigest()


def passage_of(key: str, text: str, holders: Sequence[Holder]) -> Passage:
    """What is remembered of a text that these sources hold (at least one, the first first)."""
    first = holders[0]
    tags = {tag for holder in holders for tag in holder.tags}
    label = TRUSTED if all(holder.label == TRUSTED for holder in holders) else UNTRUSTED
    return Passage(text, key, first.name, first.title, tuple(sorted(tags)), first.meta, label)


class Sources:
    """The sources of one collection; the methods that take a connection are part of the caller's transaction."""

    def __init__(self, database: Database, collection: int) -> None:
        self._database = database
        self.collection = collection

    def all(self) -> dict[str, Source]:
        """By their names; those whose rows are damaged are no longer known, and are read as new ones."""
        sql = f"SELECT {_COLUMNS} FROM sources AS s WHERE collection = ? AND {WHOLE}"
        rows = self._database.rows(sql, (self.collection,))
        return {row[1]: Source(*row) for row in rows}

    def counts(self) -> dict[int, int]:
        """Passages by the number of their source; what two of them share counts in both."""
        sql = (
            "SELECT p.source, count(*) FROM sources AS s JOIN source_passages AS p ON p.source = s.id"
            " AND p.reading = s.reading WHERE s.collection = ? GROUP BY p.source"
        )
        return dict(self._database.rows(sql, (self.collection,)))

    def open(self, db: sqlite3.Connection, name: str, tags: str, label: str, recipe: int) -> Source:
        """The source, made where it is missing. While it is read, its content is that of no file."""
        db.execute(
            "INSERT INTO sources (collection, name, kind, content, size, mtime_ns, tags, label, recipe, reading, added,"
            " seen) VALUES (?, ?, '', '', 0, 0, ?, ?, ?, 0, 0, 0) ON CONFLICT (collection, name)"
            " DO UPDATE SET content = '', tags = excluded.tags, label = excluded.label, recipe = excluded.recipe",
            (self.collection, name, tags, label, recipe),
        )
        sql = f"SELECT {_COLUMNS} FROM sources WHERE collection = ? AND name = ?"
        return Source(*db.execute(sql, (self.collection, name)).fetchone())

    def hold(
        self, db: sqlite3.Connection, source: int, reading: int, key: str, title: str, meta: Mapping[str, Any]
    ) -> int:
        """Note that a reading of a source found a text; 0 where it had found it before, and that place counts."""
        row = (source, reading, key, sound(title), sound(json.dumps(dict(meta), ensure_ascii=False)))
        sql = "INSERT OR IGNORE INTO source_passages (source, reading, key, title, meta) VALUES (?, ?, ?, ?, ?)"
        return db.execute(sql, row).rowcount

    def held(self, source: Source, after: str, most: int) -> list[tuple[str, str, dict[str, Any]]]:
        """(key, title, meta) of what a source holds, by key, ``most`` of them from beyond ``after``."""
        sql = (
            "SELECT key, title, meta FROM source_passages AS p WHERE source = ? AND reading = ? AND key > ?"
            f" AND {WHOLE_NOTE} ORDER BY key LIMIT ?"
        )
        rows = self._database.rows(sql, (source.id, source.reading, after, most))
        return [(key, title, json.loads(meta)) for key, title, meta in rows]

    def set(self, db: sqlite3.Connection, source: int, **values: Any) -> None:
        """Set columns of a source."""
        changed = ", ".join(f"{column} = :{column}" for column in values)
        db.execute(f"UPDATE sources SET {changed} WHERE id = :id", {**values, "id": source})

    def drop(
        self, db: sqlite3.Connection, source: int, but: int | None = None, keys: Collection[str] | None = None
    ) -> None:
        """Forget what readings of a source found, all of them or all but one; of these keys, or all."""
        sql = "DELETE FROM source_passages WHERE source = ? AND reading IS NOT ?"
        if keys is None:
            db.execute(sql, (source, but))
        else:
            db.execute(f"{sql} AND key IN {_ONE_OF}", (source, but, json.dumps(list(keys))))

    def let_go(self, db: sqlite3.Connection, key: str) -> None:
        """No source holds this text any more."""
        sql = "DELETE FROM source_passages WHERE key = ? AND source IN (SELECT id FROM sources WHERE collection = ?)"
        db.execute(sql, (key, self.collection))

    def clear(self, db: sqlite3.Connection) -> None:
        """Forget all sources."""
        among = "(SELECT id FROM sources WHERE collection = ?)"
        db.execute(f"DELETE FROM source_passages WHERE source IN {among}", (self.collection,))
        db.execute("DELETE FROM sources WHERE collection = ?", (self.collection,))

    def remove(self, db: sqlite3.Connection, source: int) -> None:
        """Forget a source."""
        self.drop(db, source)
        db.execute("DELETE FROM sources WHERE id = ?", (source,))

    def keys(self, source: int, but: int | None = None) -> list[str]:
        """The keys that readings of a source found; where one of them is excepted, without those that it found too."""
        sql = (
            "SELECT DISTINCT key FROM source_passages WHERE source = ? EXCEPT"
            " SELECT key FROM source_passages WHERE source = ? AND reading IS ?"
        )
        return [key for (key,) in self._database.rows(sql, (source, source, but))]

    def stale(self, readings: Iterable[tuple[int, int]]) -> list[int]:
        """Which of these (source, reading) have notes of other readings too."""
        sql = (
            "SELECT DISTINCT p.source FROM json_each(?) AS r JOIN source_passages AS p ON p.source = r.value ->> 0"
            " WHERE p.reading != r.value ->> 1"
        )
        return [source for (source,) in self._database.rows(sql, (json.dumps(list(readings)),))]

    def holders(
        self, keys: Collection[str], leaving: int | None = None, but: int | None = None
    ) -> dict[str, list[Holder]]:
        """Who holds each of these texts, without what readings of ``leaving`` found, but for one of them."""
        sql = (
            "SELECT p.key, s.id, s.name, p.title, p.meta, s.tags, s.label FROM source_passages AS p"
            f" JOIN sources AS s ON s.id = p.source WHERE s.collection = ? AND p.key IN {_ONE_OF}"
            f" AND (p.source IS NOT ? OR p.reading IS ?) AND {WHOLE_NOTE} ORDER BY p.key, s.id, p.reading DESC"
        )
        found: dict[str, list[Holder]] = {}
        for key, source, name, title, meta, tags, label in self._database.rows(
            sql, (self.collection, json.dumps(list(keys)), leaving, but)
        ):
            holders = found.setdefault(key, [])
            if not holders or holders[-1].source != source:  # of several readings the latest
                holders.append(Holder(source, name, title, json.loads(meta), tuple(json.loads(tags)), label))
        return found
