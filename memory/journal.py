"""The journal: what every process asked and got, in order, on disk.

One thread writes. While it commits one batch, the next gathers; so many processes share one fsync, and whoever
waits is answered after the commit or gets its error.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .checks import verify
from .database import Database
from .faults import Damaged

Write = Callable[[sqlite3.Connection], Any]
"""Something to be written: runs on the journal's thread, in the transaction of a batch and a savepoint of its own."""


@dataclass(frozen=True)
class Entry:
    """One call of a process, or an event (``call`` begins with ``!``). Times are seconds since the epoch."""

    id: int
    pid: int
    n: int  # counts the entries of the process from 1
    call: str
    args: dict[str, Any]
    asked: float
    ok: bool | None  # None: no outcome was recorded
    reply: dict[str, Any] | None
    ended: float | None
    within: int | None = None  # id of the call in whose course it was made
    after: int | None = None  # the n that the process had reached when the outcome came


@dataclass(frozen=True)
class Asked:
    """Where a call stands in the journal."""

    id: int
    n: int
    at: float  # when it was first made


class Journal:
    """Appends to the table ``journal``. Any thread.

    Raises what `Database.transaction` raises, then nothing of the batch was written; or what the caller's own write
    raises, then only that was not. After `close` it raises `RuntimeError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="llmos-journal")
        self._lock = threading.Lock()
        self._batch: list[tuple[Write, Future[Any]]] = []  # what the next transaction writes; whoever holds the lock
        self._last = 0.0  # the time of the last outcome; whoever holds the lock

    def ending(self, pid: int, entry: int, ok: bool, reply: dict[str, Any], writes: Sequence[Write] = ()) -> Write:
        """Record how the call of an entry ended, and with it, all or nothing, what the call changes."""
        values = (ok, _json(reply), self._now(), pid, entry)
        sql = (
            "UPDATE journal SET ok = ?, reply = ?, ended = ?,"
            " after = (SELECT max(n) FROM journal WHERE pid = ?) WHERE id = ?"
        )

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(sql, values)
            for one in writes:
                one(connection)

        return write

    def telling(
        self, pid: int, call: str, args: dict[str, Any], within: int | None, asked: float, ok: bool,
        reply: dict[str, Any], writes: Sequence[Write] = (),
    ) -> Write:  # fmt: skip
        """Record a call and how it ended at once: one that changed nothing, so that its intent need not come first."""
        write = _inserting(pid, call, args, asked, within, (ok, _json(reply), self._now()))

        def both(connection: sqlite3.Connection) -> Asked:
            place: Asked = write(connection)
            for one in writes:
                one(connection)
            return place

        return both

    def event(self, pid: int, what: str, details: dict[str, Any]) -> None:
        """Record something that happened to a process: in order, but nobody waits, nor hears that it failed."""
        self.post(appending(pid, f"!{what}", details))

    def entries(self, pid: int) -> list[Entry]:
        """All of a process, in order."""
        return entries(self._database, pid)

    def _now(self) -> float:
        """Seconds since the epoch, later each time: outcomes are put in order by it."""
        with self._lock:
            self._last = max(time.time(), self._last + 1e-6)
            return self._last

    def close(self) -> None:
        """Write what is waiting, then stop; safe to call twice."""
        self._writer.shutdown()

    def post(self, write: Write) -> "Future[Any]":
        """Put a write into the coming batch; done, with what it returns, once that is on disk.

        Batches are committed in their order, and a write that was posted is carried out whether or not somebody waits.
        """
        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()  # from here on nobody can cancel it
        with self._lock:
            if not self._batch:
                self._writer.submit(self._write_batch)
            self._batch.append((write, done))
        return done

    def _write_batch(self) -> None:
        with self._lock:
            batch, self._batch = self._batch, []
        results: list[Any] = []
        try:
            with self._database.transaction() as connection:
                results = [_alone(connection, write) for write, _ in batch]
        except BaseException as problem:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            results = [problem] * len(batch)
        for (_, done), result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                done.set_exception(result)
            else:
                done.set_result(result)


def _alone(connection: sqlite3.Connection, write: Write) -> Any:
    """The result of one write, or what it raised; then nothing of it stays, and the others of the batch go on."""
    connection.execute("SAVEPOINT one")
    try:
        result = write(connection)
    except sqlite3.Error:  # a full or broken disk: nothing of the batch can be trusted
        raise
    except Exception as problem:  # noqa: BLE001 - handed to whoever asked for the write
        result = problem
        connection.execute("ROLLBACK TO one")
    connection.execute("RELEASE one")
    return result


def entries(database: Database, pid: int, *, above: int = 0) -> list[Entry]:
    """Entries of a process whose n is above the given one, in order; also from a store that another llmos writes."""
    sql = f"SELECT {_COLUMNS}, digest FROM journal WHERE pid = ? AND n > ? ORDER BY n"
    found: list[Entry] = []
    for *row, digest in database.rows(sql, (pid, above)):
        verify("journal", row[0], digest, *row)
        number, _, n, call, args, asked, ok, reply, *rest = row
        if found and n != found[-1].n + 1:
            raise Damaged(f"the journal of process {pid} has a gap before entry {n}", hint="restore a backup")
        outcome = None if ok is None else bool(ok)
        found.append(Entry(number, pid, n, call, json.loads(args), asked, outcome, _parsed(reply), *rest))
    return found


_COLUMNS = "id, pid, n, call, args, asked, ok, reply, ended, within, after"


def appending(
    pid: int, call: str, args: dict[str, Any], within: int | None = None, failed: dict[str, Any] | None = None
) -> Write:
    """Record that a process is about to make a call (`Asked`), or has made one that ``failed`` before it could be."""
    at = time.time()
    return _inserting(pid, call, args, at, within, None if failed is None else (False, _json(failed), at))


_INSERT = (
    "INSERT INTO journal (pid, n, call, args, asked, ok, reply, ended, within, after)"
    " SELECT ?, coalesce(max(n), 0) + 1, ?, ?, ?, ?, ?, ?, ?, iif(?, coalesce(max(n), 0) + 1, NULL)"
    " FROM journal WHERE pid = ? RETURNING id, n"
)


def _inserting(
    pid: int, call: str, args: dict[str, Any], at: float, within: int | None, outcome: tuple[bool, str, float] | None
) -> Write:
    """A new entry, asked for ``at``; ``outcome``: whether it went well, what it told in JSON, and when it ended."""
    values = (pid, call, _json(args), at, *(outcome or (None, None, None)), within, outcome is not None, pid)

    def write(connection: sqlite3.Connection) -> Asked:
        number, n = connection.execute(_INSERT, values).fetchone()
        return Asked(number, n, at)

    return write


_encode = json.JSONEncoder(default=str).encode


def _json(value: dict[str, Any]) -> str:
    # Lone surrogates cannot be stored as UTF-8; escaped, they survive.
    return _encode(value)


def _parsed(text: str | None) -> dict[str, Any] | None:
    return None if text is None else dict(json.loads(text))
