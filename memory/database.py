"""One SQLite file holds all that lasts: opened, migrated, and shared by the threads of one llmos."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import checks, seal, wal
from .faults import Damaged, Full, Held, MemoryFault, Missing
from .migrations import scripts

if TYPE_CHECKING:
    import sqlite_utils


log = logging.getLogger(__name__)

Connect = Callable[..., sqlite3.Connection]
"""Makes a connection from what `sqlite3.connect` takes."""

_RESTORE = "restore a backup; llmos doctor lists all that is damaged"
_SALVAGE = "restore a backup; `llmos doctor --salvage` goes on without what is lost, and keeps a copy"


class Database:
    """A connection that writes and one that reads, for all threads, each taken in turn.

    Who reads does not wait for a commit, and sees what was committed; within a transaction its thread sees its own
    changes. ``read_only`` looks at a store that another llmos writes.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        connect: Connect = sqlite3.connect,
        progress: checks.Progress = checks.unwatched,
    ) -> None:
        """Raises `Damaged` for a store that SQLite would open, and answer from in silence, though it is not whole.

        ``progress`` is told how far going through it is, which a store needs that was not closed.
        """
        self.path = path
        self._read_only = read_only
        self._closed = False
        self._sealed = False  # and no change was made since
        self.suspect = False  # it was changed while it was closed, in a place that `check` could not find
        self._connect = connect
        self._writing, self._reading = threading.RLock(), threading.Lock()
        self._writer_thread: int | None = None  # the thread that is in a transaction
        if read_only and not path.exists():
            raise Missing(f"{path} is not there", hint="nothing has run in this home yet")
        with reading(path), ExitStack() as undo:
            examine = self._left(path)
            self._writer = self._reader = self._opened("?mode=ro" if read_only else "")
            undo.callback(self._writer.close)
            if examine and (wrong := next(checks.examine(self._writer, progress), "")):
                raise Damaged(f"{path} is damaged: {wrong}", hint=_RESTORE)
            self._prepare()
            if not read_only and path.name != ":memory:":
                self._reader = self._opened("")
                self._reader.execute("PRAGMA query_only = ON")
            undo.pop_all()

    def _left(self, path: Path) -> bool:
        """Whether the store has to be gone through, for the way in which it was left."""
        if wal.left_open(path):
            if lost := wal.forgotten(path):  # also where it is only read: to read it is to forget
                raise Damaged(f"{wal.beside(path)} is damaged: {lost}", hint=_SALVAGE)
            return not self._read_only
        if self._read_only:
            return False
        intact = seal.intact(path)
        self._sealed, self.suspect = bool(intact), intact is False
        return not intact and path.exists() and path.stat().st_size <= seal.LARGEST

    def _opened(self, mode: str) -> sqlite3.Connection:
        connection = self._connect(
            f"file:{quoted(self.path)}{mode}", uri=True, check_same_thread=False, isolation_level=None, timeout=5.0
        )
        checks.install(connection)
        return connection

    def _prepare(self) -> None:
        version: int = self._writer.execute("PRAGMA user_version").fetchone()[0]
        known = scripts()
        if version > len(known):
            raise Damaged(
                f"{self.path} was written by a newer llmos (version {version}, this one knows {len(known)})",
                hint="upgrade llmos, or name another folder in LLMOS_HOME",
            )
        if self._read_only:
            if version < len(known):
                raise Damaged(f"{self.path} is of an older llmos", hint="start llmos once to bring it up to date")
            return
        if version < len(known) or not self._sealed:
            self._unseal()
        if self._writer.execute("PRAGMA auto_vacuum").fetchone()[0] == 0:
            self._writer.execute("PRAGMA auto_vacuum = INCREMENTAL")  # pages that fall free can be given back
            if version:  # a store of the first versions is made anew for that, unless the disk is too full
                self._unseal()
                with suppress(sqlite3.OperationalError):
                    self._writer.execute("VACUUM")
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute("PRAGMA synchronous = FULL")
        if wal.left_open(self.path):  # its frames go, or the next look would take them for those of this run
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for number, script in enumerate(known[version:], version + 1):
            self._writer.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version = {number};COMMIT;")
        self._writer.execute("PRAGMA foreign_keys = ON")  # only now: a migration may make a table anew

    def _unseal(self) -> None:
        """Before the first change; who only reads leaves the seal as it is, and need not make it anew."""
        try:
            seal.take_off(self.path)
        except OSError as problem:
            raise Full(f"{self.path} cannot be written: {problem.strerror}", hint="check the permissions") from problem
        self._sealed = False

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._for_reading() as connection:
            return connection.execute(sql, values).fetchall()

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
        with self._writing, translated(self.path):
            if self._writer_thread is not None:
                yield self._writer
                return
            if self._sealed:
                self._unseal()
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer_thread = threading.get_ident()
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            finally:
                self._writer_thread = None

    @contextmanager
    def tables(self) -> Iterator["sqlite_utils.Database"]:
        """For reading, through sqlite-utils: rows as dictionaries."""
        import sqlite_utils

        with self._for_reading() as connection:
            yield sqlite_utils.Database(connection)

    @contextmanager
    def _for_reading(self) -> Iterator[sqlite3.Connection]:
        within = self._writer_thread == threading.get_ident() or self._reader is self._writer
        with self._writing if within else self._reading, reading(self.path):
            yield self._writer if within else self._reader

    def check(self, progress: checks.Progress = checks.unwatched) -> list[str]:
        """All that is wrong with the store, see `checks.examine`; empty when it is sound. Others go on meanwhile."""
        own = self._writer if self.path.name == ":memory:" else self._opened("?mode=ro")
        try:
            with reading(self.path):
                return list(checks.examine(own, progress))
        except Damaged as damage:  # too far gone to be gone through
            return [damage.message]
        finally:
            if own is not self._writer:
                own.close()

    def close(self) -> None:
        """Close, and seal what a writer has closed; safe to call twice."""
        with self._writing, self._reading:
            if self._closed:
                return
            self._closed = True
            if self._reader is not self._writer:
                self._reader.close()
            if not self._read_only:
                with suppress(sqlite3.Error):  # what cannot be put in its place stays in the log
                    self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writer.close()
            if not self._read_only and not self._sealed and not wal.left_open(self.path):
                seal.put(self.path)


def quoted(path: Path) -> str:
    """A path as it stands in a URI of SQLite's."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors in our own words; by code, since its messages change."""
    try:
        yield
    except sqlite3.Error as problem:
        raise _fault(path, problem) from problem


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """The same for what only reads: there a text that is no UTF-8, also a message of SQLite's, is damage too."""
    try:
        with translated(path):
            yield
    except UnicodeDecodeError as problem:
        raise Damaged(f"{path} is damaged: {problem}", hint=_RESTORE) from problem


def _fault(path: Path, problem: sqlite3.Error) -> MemoryFault:
    name = getattr(problem, "sqlite_errorname", "")
    if name.startswith("SQLITE_IOERR"):
        return Full(f"{path} cannot be used: {problem} ({name})", hint="check the disk")
    if name.startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return Full(f"{path} cannot be written: {problem}", hint="free some room or check the permissions")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or _unreadable(problem):
        return Damaged(f"{path} is damaged: {problem}", hint=_RESTORE)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Held(f"{path} is being written by somebody else", hint="try again")
    raise problem  # a wrong statement is a bug


def _unreadable(problem: sqlite3.Error) -> bool:
    """Whether a text is no UTF-8 any more; Python finds it, for a row and for ``digest``, and gives it no code."""
    return str(problem).startswith(("Could not decode to UTF-8", "user-defined function raised exception"))
