"""One SQLite file holds all that lasts: opened, migrated, and shared by the threads of one llmos."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .faults import Damaged, Full, Held, MemoryFault, Missing

if TYPE_CHECKING:
    import sqlite_utils

MIGRATIONS: list[str] = [
    # 1: processes, journal, pages
    """
    CREATE TABLE processes (
        pid INTEGER PRIMARY KEY, parent INTEGER, owner TEXT NOT NULL, app TEXT NOT NULL, args TEXT NOT NULL,
        priority TEXT NOT NULL, state TEXT NOT NULL, exit_code INTEGER, started REAL NOT NULL, finished REAL,
        tokens_in INTEGER NOT NULL DEFAULT 0, tokens_out INTEGER NOT NULL DEFAULT 0, first_token_s REAL, seconds REAL,
        pages INTEGER NOT NULL DEFAULT 0, faults INTEGER NOT NULL DEFAULT 0, error TEXT
    );
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, n INTEGER NOT NULL, call TEXT NOT NULL, args TEXT NOT NULL,
        asked REAL NOT NULL, ok INTEGER, reply TEXT, ended REAL
    );
    CREATE INDEX journal_of_process ON journal (pid, n);
    CREATE TABLE pages (
        pid INTEGER NOT NULL, handle TEXT NOT NULL, role TEXT NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL,
        text TEXT NOT NULL, tokens INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (pid, handle)
    ) WITHOUT ROWID;
    """,
    # 2: passages, their words and vectors (passages.py)
    """
    CREATE TABLE collections (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        owner TEXT NOT NULL,
        app TEXT NOT NULL,
        name TEXT NOT NULL,
        passages INTEGER NOT NULL DEFAULT 0,  -- kept by the triggers below, as are words and newest
        words INTEGER NOT NULL DEFAULT 0,
        newest INTEGER NOT NULL DEFAULT 0,    -- the highest passage id there ever was in it
        UNIQUE (owner, app, name)
    );
    CREATE TABLE passages (
        id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: the indexes over passages rest on it
        collection INTEGER NOT NULL REFERENCES collections (id),
        words INTEGER NOT NULL,
        created REAL NOT NULL,
        key TEXT NOT NULL,
        label TEXT NOT NULL,
        source TEXT NOT NULL,
        tags TEXT NOT NULL,                   -- a JSON array of strings, sorted
        meta TEXT NOT NULL,                   -- a JSON object
        title TEXT NOT NULL,
        text TEXT NOT NULL,
        UNIQUE (collection, key)
    );
    CREATE INDEX passages_by_collection ON passages (collection, id, words); -- the long rows need not be read
    CREATE TABLE vectors (
        passage INTEGER PRIMARY KEY REFERENCES passages (id),
        embedder TEXT NOT NULL,
        vector BLOB NOT NULL                  -- float32, little-endian, of length 1
    );
    CREATE VIRTUAL TABLE passage_words USING fts5 (
        title, text, content = '', tokenize = 'porter unicode61 remove_diacritics 2'
    );
    CREATE VIRTUAL TABLE passage_terms USING fts5vocab (passage_words, 'instance');
    CREATE TRIGGER passage_added AFTER INSERT ON passages BEGIN
        UPDATE collections SET passages = passages + 1, words = words + new.words, newest = max(newest, new.id)
        WHERE id = new.collection;
    END;
    CREATE TRIGGER passage_gone BEFORE DELETE ON passages BEGIN
        DELETE FROM vectors WHERE passage = old.id;
        UPDATE collections SET passages = passages - 1, words = words - old.words WHERE id = old.collection;
    END;
    """,
]
"""Scripts in order; the store's version is the number of those it has been through. Never change one that shipped."""


class Database:
    """A connection for all threads, taken in turn. ``read_only`` looks at a store that another llmos writes."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        if read_only and not path.exists():
            raise Missing(f"{path} is not there", hint="nothing has run in this home yet")
        with _translated(path):
            self._connection = sqlite3.connect(
                f"file:{_quoted(path)}{'?mode=ro' if read_only else ''}",
                uri=True, check_same_thread=False, isolation_level=None, timeout=5.0,
            )  # fmt: skip
            try:
                self._prepare(read_only)
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, read_only: bool) -> None:
        version: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise Damaged(
                f"{self.path} was written by a newer llmos (version {version}, this one knows {len(MIGRATIONS)})",
                hint="upgrade llmos, or name another folder in LLMOS_HOME",
            )
        if read_only:
            if version < len(MIGRATIONS):
                raise Damaged(f"{self.path} is of an older llmos", hint="start llmos once to bring it up to date")
            return
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self._connection.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version = {number};COMMIT;")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock, _translated(self.path):
            return self._connection.execute(sql, values).fetchall()

    def one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, if there is one."""
        rows = self.rows(sql, values)
        return rows[0] if rows else None

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """One statement in a transaction of its own."""
        with self.transaction() as connection:
            connection.execute(sql, values)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on disk when the block is left. Blocks of the same thread nest into one."""
        with self._lock, _translated(self.path):
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def tables(self) -> Iterator["sqlite_utils.Database"]:
        """The same connection through sqlite-utils, for rows as dictionaries; each change is its own transaction."""
        import sqlite_utils

        with self._lock, _translated(self.path):
            yield sqlite_utils.Database(self._connection)

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file; empty when it is sound."""
        try:
            found = [str(row[0]) for row in self.rows("PRAGMA integrity_check")]
        except Damaged as damage:  # too far gone to be gone through
            return [damage.message]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        """Close; safe to call twice."""
        with self._lock:
            self._connection.close()


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors in our own words; by code, since its messages change."""
    try:
        yield
    except sqlite3.Error as problem:
        raise _fault(path, problem) from problem


def _fault(path: Path, problem: sqlite3.Error) -> MemoryFault:
    name = getattr(problem, "sqlite_errorname", "")
    if name.startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return Full(f"{path} cannot be written: {problem}", hint="free some room or check the permissions")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Damaged(f"{path} is damaged: {problem}", hint="restore a copy, or move the file away to begin anew")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Held(f"{path} is being written by somebody else", hint="try again")
    raise problem  # a wrong statement is a bug
