"""The journal: what every process asked and got, in order, on disk.

One thread writes. While it commits one batch, the next gathers; so many processes share one fsync, and whoever
waits is answered after the commit or gets its error.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any

from .database import Database

Write = Callable[[Connection], int]


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


class Journal:
    """Appends to the table ``journal``. Any thread; the awaiting methods belong to an event loop.

    Raises what `Database.transaction` raises; then nothing of the batch was written. After `close` it raises
    `RuntimeError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="llmos-journal")
        self._lock = threading.Lock()  # for the two that follow
        self._batch: list[Write] = []  # what the next transaction writes
        self._commit: Future[list[int]]  # that transaction; set whenever the batch is not empty

    async def intent(self, pid: int, call: str, args: dict[str, Any]) -> int:
        """Record that a process is about to make a call; the entry's id, once that is on disk."""
        return await self._written(_append(pid, call, args))

    async def outcome(self, entry: int, ok: bool, reply: dict[str, Any]) -> None:
        """Record how the call of an entry ended; returns when that is on disk."""
        values = (ok, _json(reply), time.time(), entry)
        sql = "UPDATE journal SET ok = ?, reply = ?, ended = ? WHERE id = ?"
        await self._written(lambda connection: connection.execute(sql, values).rowcount)

    def event(self, pid: int, what: str, details: dict[str, Any]) -> None:
        """Record something that happened to a process: in order, but nobody waits, nor hears that it failed."""
        self._enter(_append(pid, f"!{what}", details))

    def entries(self, pid: int) -> list[Entry]:
        """All of a process, in order."""
        return entries(self._database, pid)

    def close(self) -> None:
        """Write what is waiting, then stop; safe to call twice."""
        self._writer.shutdown()

    async def _written(self, write: Write) -> int:
        commit, place = self._enter(write)
        # Shielded: who is cancelled while waiting must not take the others' batch along.
        return (await asyncio.shield(asyncio.wrap_future(commit)))[place]

    def _enter(self, write: Write) -> tuple[Future[list[int]], int]:
        """Put a write into the coming batch: its commit, and the place of the result in that."""
        with self._lock:
            if not self._batch:
                self._commit = self._writer.submit(self._write_batch)
            self._batch.append(write)
            return self._commit, len(self._batch) - 1

    def _write_batch(self) -> list[int]:
        with self._lock:
            batch, self._batch = self._batch, []
        with self._database.transaction() as connection:
            return [write(connection) for write in batch]


def entries(database: Database, pid: int) -> list[Entry]:
    """All entries of a process, in order; also from a store that another llmos writes."""
    sql = "SELECT id, pid, n, call, args, asked, ok, reply, ended FROM journal WHERE pid = ? ORDER BY n"
    return [
        Entry(i, p, n, call, json.loads(args), asked, None if ok is None else bool(ok), _parsed(reply), ended)
        for i, p, n, call, args, asked, ok, reply, ended in database.rows(sql, (pid,))
    ]


def _append(pid: int, call: str, args: dict[str, Any]) -> Write:
    values = (pid, call, _json(args), time.time(), pid)
    sql = (
        "INSERT INTO journal (pid, n, call, args, asked)"
        " SELECT ?, coalesce(max(n), 0) + 1, ?, ?, ? FROM journal WHERE pid = ?"
    )
    return lambda connection: int(connection.execute(sql, values).lastrowid or 0)


def _json(value: dict[str, Any]) -> str:
    # Lone surrogates cannot be stored as UTF-8; escaped, they survive.
    return json.dumps(value, ensure_ascii=True, default=str)


def _parsed(text: str | None) -> dict[str, Any] | None:
    return None if text is None else dict(json.loads(text))
