"""One SQLite file holds all that lasts: opened, migrated, and shared by the threads of one llmos."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import checks
from .faults import Damaged, Full, Held, MemoryFault, Missing
from .migrations import scripts

if TYPE_CHECKING:
    import sqlite_utils


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
        checks.install(self._connection)
        version: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        known = scripts()
        if version > len(known):
            raise Damaged(
                f"{self.path} was written by a newer llmos (version {version}, this one knows {len(known)})",
                hint="upgrade llmos, or name another folder in LLMOS_HOME",
            )
        if read_only:
            if version < len(known):
                raise Damaged(f"{self.path} is of an older llmos", hint="start llmos once to bring it up to date")
            return
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        for number, script in enumerate(known[version:], version + 1):
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
