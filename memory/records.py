"""Process records: the process table as it lasts, for ``ps`` and ``log`` after a run and from another terminal."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .database import Database
from .faults import Missing


@dataclass(frozen=True)
class Record:
    """One process. Times are seconds; ``started`` and ``finished`` count from the epoch."""

    pid: int
    parent: int | None
    owner: str
    app: str
    args: dict[str, Any]
    priority: str
    state: str  # as in the kernel, and "lost": the llmos that ran it died
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


_FIXED = {"pid", "parent", "owner", "app", "args", "priority", "started"}


class Records:
    """The table ``processes``. A writer marks what an earlier run left alive as lost, and clears its pages away."""

    def __init__(self, database: Database, *, writer: bool = True) -> None:
        self._database = database
        if writer:
            with database.transaction() as connection:
                connection.execute("DELETE FROM pages WHERE pid IN (SELECT pid FROM processes WHERE finished IS NULL)")
                sql = "UPDATE processes SET state = 'lost', finished = ? WHERE finished IS NULL"
                connection.execute(sql, (time.time(),))

    def next_pid(self) -> int:
        """The first pid that was never used in this home."""
        row = self._database.one("SELECT coalesce(max(pid), 0) + 1 FROM processes")
        assert row is not None
        return int(row[0])

    def open(
        self,
        pid: int,
        *,
        parent: int | None,
        owner: str,
        app: str,
        args: Mapping[str, Any],
        priority: str,
        started: float,
    ) -> None:
        """Enter a new process."""
        row = {
            "pid": pid, "parent": parent, "owner": owner, "app": app, "args": json.dumps(dict(args), default=str),
            "priority": priority, "state": "ready", "started": started,
        }  # fmt: skip
        with self._database.tables() as tables:
            tables["processes"].insert(row)

    def update(self, pid: int, **columns: Any) -> None:
        """Change columns of a process."""
        unknown = (set(columns) - {f.name for f in fields(Record)}) | (set(columns) & _FIXED)
        if unknown:
            raise TypeError(f"no such columns: {', '.join(sorted(unknown))}")
        if columns.get("error"):  # it may name a file whose name is no UTF-8, which SQLite would refuse
            columns["error"] = columns["error"].encode(errors="replace").decode()
        with self._database.tables() as tables:
            tables["processes"].update(pid, columns)

    def finish(self, pid: int, **columns: Any) -> None:
        """Enter how a process ended."""
        self.update(pid, finished=time.time(), **columns)

    def get(self, pid: int) -> Record:
        """One process, or `Missing`."""
        with self._database.tables() as tables:
            rows = list(tables["processes"].rows_where("pid = ?", [pid]))
        if not rows:
            raise Missing(f"no process {pid}", hint="llmos ps --all lists them")
        return _record(rows[0])

    def listing(self, *, everything: bool = False, limit: int = 100) -> list[Record]:
        """The newest processes in order of pid; only those alive unless ``everything``."""
        where = None if everything else "finished IS NULL"
        with self._database.tables() as tables:
            rows = list(tables["processes"].rows_where(where, order_by="pid desc", limit=limit))
        return [_record(row) for row in reversed(rows)]


def _record(row: dict[str, Any]) -> Record:
    return Record(**{**row, "args": json.loads(row["args"])})
