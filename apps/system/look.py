"""Looking at processes: at living ones through the llmos that runs them, at ended ones in the database."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...kernel.errors import BadInput, NotFound, Unavailable
from ...kernel.translate import translated
from ...memory.database import Database
from ...memory.journal import Journal, entries
from ...memory.records import Record, Records
from .client import NotRunning, ask
from .comeback import end_suspended
from .display import clean, meters_line, one_line, out, process_table, rows_table, seconds
from .ending import held_back
from .home import Home, HomeLock

Row = dict[str, Any]
_HIGHEST = 2**63 - 1  # what a pid can be in the database
_WIDE = 160  # characters of arguments and replies on one line


def processes(home: Home, *, everything: bool = False) -> list[Row]:
    """Rows of living processes, suspended ones before them; with ``everything`` those of this home that have ended."""
    try:
        now: list[Row] = ask(home, "ps")
    except NotRunning:
        now = []
    living = [row for row in now if row["state"] != "done"]
    shown = {row["pid"] for row in (now if not everything else living)}
    with translated(), _database(home) as database:
        if database is None:
            return living
        records = Records(database)
        past = [one for one in records.listing(everything=everything, limit=1000) if one.pid not in shown]
        return [_past(records, record) for record in past] + living


def _past(records: Records, record: Record) -> Row:
    """A record as `ps` shows it; of a suspended process with what it has used until now."""
    row = {name: value for name, value in asdict(record).items() if name != "args"}
    if record.finished is not None:
        return row
    used = records.life(record.pid).usage
    known = {
        name: used.get(name, row[name]) for name in ("tokens_in", "tokens_out", "first_token_s", "pages", "faults")
    }
    return {**row, **known, "state": "suspended", "seconds": used.get("ran", 0.0)}


def calls(home: Home, pid: int) -> tuple[Row, list[Row]]:
    """The record of a process and the entries of its journal; raises `NotFound`."""
    if pid > _HIGHEST:
        raise NotFound(f"no process {pid}", hint="llmos ps --all lists them")
    with translated(), _database(home) as database:
        if database is None:
            raise NotFound(f"no process {pid}", hint="nothing has run in this home yet")
        record = Records(database).get(pid)
        return asdict(record), [asdict(entry) for entry in entries(database, pid)]


def as_it_stands(home: Home, record: Row) -> Row:
    """A record with what a living process has used until now; the database hears of that at its end."""
    if record["finished"] is not None:
        return record
    with suppress(Unavailable):  # no llmos runs, or it has just ended
        rows: list[Row] = ask(home, "ps")
        return next(({**record, **row} for row in rows if row["pid"] == record["pid"]), record)
    return record


def pages_of(home: Home, pid: int) -> Row:
    """The context of a living process; raises `BadInput` for one that has ended."""
    try:
        view: Row = ask(home, "context", pid=pid)
    except NotRunning:
        calls(home, pid)
        raise BadInput(f"process {pid} has ended", hint="only living processes have pages") from None
    return view


def send_signal(home: Home, pid: int, signal: str) -> None:
    """Send it through the llmos that runs the process."""
    try:
        ask(home, "kill", pid=pid, signal=signal)
    except NotRunning:
        record, _ = calls(home, pid)
        if record["finished"] is not None:
            raise BadInput(f"process {pid} has ended", hint="no llmos runs on this home") from None
        _end(home, pid, signal)


def _end(home: Home, pid: int, signal: str) -> None:
    """A signal for a suspended process, while no llmos runs."""
    with HomeLock(home), held_back(), translated():
        database = Database(home.database)
        journal = Journal(database)
        try:
            end_suspended(Records(database), journal, [], pid, signal)
        finally:
            journal.close()
            database.close()


def watch(home: Home, every: float) -> None:
    """Redraw the table until Ctrl-C; once, when standard output is no terminal."""
    if not sys.stdout.isatty():
        out().print(process_table(processes(home)))
        return
    with suppress(KeyboardInterrupt), Live(console=out(), auto_refresh=False, screen=True) as live:
        while True:
            rows = processes(home)
            title = f"{home.root}  {datetime.now():%H:%M:%S}  {len(rows)} living"
            live.update(Group(Text(title, style="dim"), _meters(home), Text(), process_table(rows)), refresh=True)
            time.sleep(every)


def _meters(home: Home) -> Text:
    """One line, empty while no llmos runs."""
    try:
        return meters_line(ask(home, "meters"))
    except Unavailable:
        return Text()


@contextmanager
def _database(home: Home) -> Iterator[Database | None]:
    """The database, to be read; None where there is none yet."""
    if not home.database.exists():
        yield None
        return
    with translated():
        database = Database(home.database, read_only=True)
    try:
        yield database
    finally:
        database.close()


# -- for human eyes --


def process_head(record: Row) -> Group:
    """The line of the table, and what the process was started with."""
    given = clean(json.dumps(record["args"], ensure_ascii=False))
    started = datetime.fromtimestamp(record["started"])
    lines = [Text(f"started {started:%Y-%m-%d %H:%M:%S} with {given}", style="dim")]
    if record["error"]:
        lines.append(Text(one_line(record["error"]), style="red"))
    return Group(process_table([record]), *lines)


def call_lines(rows: Sequence[Row]) -> Table:
    """One line a call: when, what, with what, and what came back."""
    return rows_table(("n", "at", "took", "call", ""), [_call_cells(rows[0]["asked"], row) for row in rows])


def _call_cells(start: float, row: Row) -> list[Any]:
    took = seconds(row["ended"] - row["asked"]) if row["ended"] else ""
    event = row["call"].startswith("!")
    reply = Text("no reply" if not event else "", style="yellow")
    if row["ok"] is not None:
        reply = Text(_short(row["reply"]), style="dim" if row["ok"] else "red")
    said = Text.assemble(_short(row["args"]), " → " if reply else "", reply)
    return [row["n"], f"+{row['asked'] - start:.2f}s", took, row["call"], said]


def _short(value: Any) -> str:
    return "" if not value else _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    text = clean(" ".join(text.split()))
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"
