"""Embedders side by side: the one whose vectors are searched, and the one that is to follow it.

Every passage has a vector of each. One that is to follow embeds what is stored behind the back of those who search,
goes on after a crash where it was, and takes over when it has been through everything.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .database import Database
from .embedder import Embedder, Vectors
from .spaces import write_vectors
from .upkeep import Progress

log = logging.getLogger(__name__)

STEP = 500  # passages embedded between two looks at what else is to be done


@dataclass(frozen=True)
class Known:
    """An embedder, and its number in the store."""

    id: int
    embedder: Embedder

    def vectors(self, texts: Sequence[tuple[str, str]]) -> list[Vectors]:
        """A vector for each (title, text)."""
        return list(self.embedder.embed([f"{title} {text}" for title, text in texts])) if texts else []


def active_name(db: Database) -> str | None:
    """The embedder whose vectors the store is searched by; None in a store that has none yet."""
    row = db.one("SELECT name FROM embedders WHERE active")
    return str(row[0]) if row else None


class Embedders:
    """Keeps track of both; safe to call from any thread."""

    def __init__(self, db: Database, embedder: Embedder) -> None:
        self._db = db
        self.coming: Known | None = None
        self.complete = True
        row = db.one("SELECT id FROM embedders WHERE active AND name = ?", (embedder.name,))
        if row is None:  # a store that is opened as it was left is not written to
            with db.transaction() as connection:
                row = (_number(connection, embedder.name),)
                self.complete = connection.execute("SELECT 1 FROM passages LIMIT 1").fetchone() is None
                _activate(connection, row[0] if self.complete else None)
        self.active = Known(row[0], embedder)

    def all(self) -> list[Known]:
        """Those that every new passage needs a vector of."""
        return [self.active, self.coming] if self.coming else [self.active]

    def use(self, embedder: Embedder) -> None:
        """Let it follow the active one; that answers until `steps` are through."""
        with self._db.transaction() as connection:
            same = embedder.name == self.active.embedder.name
            self.coming = None if same else Known(_number(connection, embedder.name), embedder)

    def begin_anew(self) -> None:
        """The vectors of the active one may be missing: fill them in."""
        self.complete = False

    def steps(self, before: Callable[[Known], Iterator[Progress]]) -> Iterator[Progress]:
        """Embed what is missing, do what comes ``before`` the change, and change over."""
        if not self.complete:
            yield from self._fill(self.active)
            yield from before(self.active)
            with self._db.transaction() as connection:
                _activate(connection, self.active.id)
                self.complete = True
        if coming := self.coming:
            yield from self._fill(coming)
            yield from before(coming)
            with self._db.transaction() as connection:
                if self.coming is coming:
                    _activate(connection, coming.id)
                    self.active, self.coming = coming, None

    def drop(self, name: str) -> Iterator[Progress]:
        """Delete the vectors of an embedder that is not in use any more."""
        if name in {known.embedder.name for known in self.all()}:
            return
        row = self._db.one("SELECT id FROM embedders WHERE name = ?", (name,))
        newest = self._newest()
        for start in range(0, newest, STEP) if row else ():
            span = (row[0], start, start + STEP) if row else ()
            self._db.run("DELETE FROM vectors WHERE embedder = ? AND passage > ? AND passage <= ?", span)
            yield Progress(f"dropping vectors of {name}", min(start + STEP, newest), newest)
        self._db.run("DELETE FROM embedders WHERE name = ?", (name,))

    def _fill(self, known: Known) -> Iterator[Progress]:
        """Embed what is stored by now; whatever comes later brings its vector along."""
        what, newest = f"embedding with {known.embedder.name}", self._newest()
        sql = (
            "SELECT id, title, text FROM passages AS p WHERE id > ? AND id <= ?"
            " AND NOT EXISTS (SELECT 1 FROM vectors WHERE passage = p.id AND embedder = ?)"
        )
        for start in range(0, newest, STEP):
            if rows := self._db.rows(sql, (start, start + STEP, known.id)):
                vectors = known.vectors([row[1:] for row in rows])
                with self._db.transaction() as connection:
                    write_vectors(connection, known.id, [row[0] for row in rows], vectors)
            yield Progress(what, min(start + STEP, newest), newest)

    def _newest(self) -> int:
        return int((self._db.one("SELECT max(id) FROM passages") or (0,))[0] or 0)


def _number(db: sqlite3.Connection, name: str) -> int:
    db.execute("INSERT OR IGNORE INTO embedders (name) VALUES (?)", (name,))
    return int(db.execute("SELECT id FROM embedders WHERE name = ?", (name,)).fetchone()[0])


def _activate(db: sqlite3.Connection, number: int | None) -> None:
    db.execute("UPDATE embedders SET active = (id IS ?) WHERE active != (id IS ?)", (number, number))
