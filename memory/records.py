"""Process records: the process table as it lasts, for ``ps`` and ``log`` after a run, and for coming back.

What changes a record is given as a `Write`, to be committed by the journal in the order in which things happened.
"""

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .checks import COLUMN, verify
from .database import Database
from .faults import Missing
from .journal import Write
from .texts import sound


@dataclass(frozen=True)
class Record:
    """One process. Times are seconds; ``started`` and ``finished`` count from the epoch."""

    pid: int
    parent: int | None
    owner: str
    app: str
    args: dict[str, Any]
    priority: str
    state: str  # as in the kernel; "lost": the llmos that ran it died, in a version that could not go on
    exit_code: int | None
    started: float
    finished: float | None
    tokens_in: int
    tokens_out: int
    first_token_s: float | None
    seconds: float | None
    pages: int
    faults: int
    error: str | None


@dataclass(frozen=True)
class Life:
    """What a process needs to go on, besides its `Record`, its pages, its mail and its journal."""

    rights: list[str]
    limits: dict[str, Any]
    stdin: str
    handed: dict[str, str]  # path in its tree: path on the host
    model: str
    spawned: int | None  # n of the parent's call that started it
    usage: dict[str, Any]
    stopped: bool
    collected: bool  # its parent has waited for it
    result: Any  # of one that has ended, as its fault
    fault: dict[str, Any] | None
    saved: Any  # the state that it handed over last
    saved_n: int  # n of that call in its journal, 0 before the first
    counts: dict[str, int]  # calls by name until then
    aliases: dict[int, int]  # pids that it knows from another machine, and what they are here


_ENTERED = {f.name for f in fields(Record)} - {"pid", "parent", "owner", "app", "args", "priority", "started"}
_CHANGING = {
    "usage",
    "handed",
    "stopped",
    "collected",
    "result",
    "fault",
    "saved",
    "saved_n",
    "counts",
    "aliases",
} | _ENTERED
_JSON = {"args", "rights", "limits", "handed", "result", "fault", "saved", "counts", "aliases"}


class Records:
    """The table ``processes``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next_pid(self) -> int:
        """The first pid that was never used in this home."""
        row = self._database.one("SELECT coalesce(max(pid), 0) + 1 FROM processes")
        assert row is not None
        return int(row[0])

    def entering(self, pid: int, **columns: Any) -> Write:
        """Enter a new process: the fields of `Record` and `Life` by name, those that it has from the start."""
        row = _row({"state": "ready", "pid": pid, **columns})
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        return _statement(f"INSERT INTO processes ({names}) VALUES ({marks})", tuple(row.values()))

    def changing(self, pid: int, **columns: Any) -> Write:
        """Change columns of a process."""
        if unknown := set(columns) - _CHANGING:
            raise TypeError(f"no such columns: {', '.join(sorted(unknown))}")
        row = _row(columns)
        sets = ", ".join(f"{name} = ?" for name in row)
        return _statement(f"UPDATE processes SET {sets} WHERE pid = ?", (*row.values(), pid))

    def using(self, pid: int, usage: Mapping[str, Any]) -> Write:
        """Enter what a process has used."""
        sql = "INSERT INTO usages (pid, usage) VALUES (?, ?) ON CONFLICT (pid) DO UPDATE SET usage = excluded.usage"
        return _statement(sql, (pid, json.dumps(usage)))

    def running_on(self, pid: int, conditions: Mapping[str, Any]) -> Write:
        """Enter what a process runs on, in plain values; once it has run on something else, that it is ``mixed``."""
        text = json.dumps(conditions, sort_keys=True)
        mixed = json.dumps({**conditions, "mixed": True}, sort_keys=True)
        sql = (
            "INSERT INTO conditions (pid, conditions) VALUES (?, ?) ON CONFLICT (pid) DO UPDATE"
            " SET conditions = iif(conditions = excluded.conditions, conditions, ?)"
        )
        return _statement(sql, (pid, text, mixed))

    def conditions(self, pid: int) -> dict[str, Any]:
        """What a process runs, or ran, on; nothing for one of an older llmos."""
        row = self._database.one("SELECT pid, conditions, digest FROM conditions WHERE pid = ?", (pid,))
        if row is None:
            return {}
        verify("conditions", pid, row[2], *row[:2])
        return dict(json.loads(row[1]))

    def finishing(self, pid: int, **columns: Any) -> Write:
        """Enter how a process ended; its pages and its mail go."""
        change = self.changing(pid, finished=time.time(), state="done", stopped=False, **columns)

        def write(connection: sqlite3.Connection) -> None:
            change(connection)
            for table in ("contexts", "pages", "mail"):
                connection.execute(f"DELETE FROM {table} WHERE pid = ?", (pid,))

        return write

    def get(self, pid: int) -> Record:
        """One process, or `Missing`."""
        return _record(self._find(pid))

    def life(self, pid: int) -> Life:
        """What it needs to go on; `Missing` where there is no such process."""
        row = self._find(pid)
        used = self._database.one("SELECT pid, usage, digest FROM usages WHERE pid = ?", (pid,))
        if used is not None:
            verify("usages", pid, used[2], *used[:2])
        row["usage"] = used[1] if used else "{}"
        found = {f.name: _value(f.name, row[f.name]) for f in fields(Life)}
        found["stopped"], found["collected"] = bool(row["stopped"]), bool(row["collected"])
        found["aliases"] = {int(theirs): ours for theirs, ours in found["aliases"].items()}
        return Life(**found)

    def alive(self) -> list[Record]:
        """Processes that have not ended, parents before their children."""
        with self._database.tables() as tables:
            return [_record(row) for row in tables["processes"].rows_where("finished IS NULL", order_by="pid")]

    def children(self, pid: int) -> list[Record]:
        """All children that it ever had, ended ones included."""
        with self._database.tables() as tables:
            return [_record(row) for row in tables["processes"].rows_where("parent = ?", [pid], order_by="pid")]

    def listing(self, *, everything: bool = False, limit: int = 100) -> list[Record]:
        """The newest processes in order of pid; only those alive unless ``everything``."""
        where = None if everything else "finished IS NULL"
        with self._database.tables() as tables:
            rows = list(tables["processes"].rows_where(where, order_by="pid desc", limit=limit))
        return [_record(row) for row in reversed(rows)]

    def _find(self, pid: int) -> dict[str, Any]:
        with self._database.tables() as tables:
            rows = list(tables["processes"].rows_where("pid = ?", [pid]))
        if not rows:
            raise Missing(f"no process {pid}", hint="llmos ps --all lists them")
        _record(rows[0])
        return dict(rows[0])


def forget_the_dead(database: Database) -> None:
    """Pages and mail of processes that have ended go: what was on its way when they did."""
    with database.transaction() as connection:
        for table in ("contexts", "pages", "mail"):
            connection.execute(
                f"DELETE FROM {table} WHERE pid NOT IN (SELECT pid FROM processes WHERE finished IS NULL)"
            )


def _value(name: str, stored: Any) -> Any:
    return json.loads(stored or "null") if name in _JSON or name == "usage" else stored


def _statement(sql: str, values: tuple[Any, ...]) -> Write:
    return lambda connection: connection.execute(sql, values)


def _row(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns as SQLite takes them."""
    row = {name: json.dumps(value, default=str) if name in _JSON else value for name, value in columns.items()}
    for name in ("error", "stdin"):  # may hold what is no UTF-8, such as a file's name, and SQLite would refuse it
        if row.get(name):
            row[name] = sound(row[name])
    return row


def _record(row: Mapping[str, Any]) -> Record:
    values = [value for name, value in row.items() if name != COLUMN]
    verify("processes", row["pid"], row[COLUMN], *values)
    return Record(**{f.name: _value(f.name, row[f.name]) for f in fields(Record)})
