"""What processes wrote: shown as it comes from one that runs (`llmos attach`), or read from the journal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from ...kernel.errors import BadInput, Interrupted, NotFound, Unavailable, from_dict
from ...kernel.translate import translated
from ...memory.database import Database
from ...memory.records import Records
from .client import NotRunning
from .display import clean, err, out, print_json
from .ending import Ending
from .guest import Distant, guest
from .home import Home
from .options import Options
from .output import AppOutput, fault_line, remainder
from .registry import Registry
from .run import Bar, on_terminal
from .seat import Started

_AT_A_TIME = 200  # entries of the journal
_TREE = "WITH RECURSIVE tree(pid) AS (SELECT ? UNION SELECT p.pid FROM processes p JOIN tree ON p.parent = tree.pid)"
_WROTE = (
    f"{_TREE} SELECT id, call, args, reply FROM journal WHERE id > ? AND pid IN tree AND ok"
    " AND call IN ('print', 'generate', 'run') ORDER BY id LIMIT ?"
)


async def run_attach(options: Options, pid: int) -> int:
    """Show what a process has written and writes, and ask its questions here; its exit code. Ctrl-C leaves it alone."""
    ending, bar = Ending(), Bar(1)
    output = on_terminal(0, bar, live=True)
    try:
        with ending.guard():
            async with guest(options) as seat:
                process = await seat.attach(pid, output)
                await process.ended.wait()
    except Interrupted:
        err().print(f"llmos: process {pid} goes on", style="dim")
        return 0
    except (NotRunning, BadInput):  # it does not run: what it wrote stands in the journal
        return await show_written(options.home, pid)
    finally:
        bar.close()
        ending.release()
    await _show_end(seat.registry, process, output)
    return process.exit_code or 0


def written(database: Database, pid: int) -> Iterator[str]:
    """The texts that a process and its children wrote, in order; of an answer that was broken off, nothing."""
    last = 0
    while rows := database.rows(_WROTE, (pid, last, _AT_A_TIME)):
        last = rows[-1][0]
        for _, call, args, reply in rows:
            asked, got = json.loads(args), json.loads(reply)
            if call == "print":
                yield asked["text"]
            elif asked.get("show"):
                yield got["text" if call == "generate" else "answer"]


async def show_written(home: Home, pid: int, *, as_json: bool = False) -> int:
    """What the journal says that a process wrote, and how it ended; its exit code, 0 while it lives."""
    if not home.database.exists():
        raise NotFound(f"no process {pid}", hint="nothing has run in this home yet")
    with translated():
        database = Database(home.database, read_only=True)
        try:
            process, finished = _ended(Records(database), pid)
            output = AppOutput(None, None if as_json else _write)
            for text in written(database, pid):
                output.write(text)
        finally:
            database.close()
    if as_json:
        error = process.error.to_dict() if process.error else None
        print_json({"output": output.text, "result": process.result, "error": error, "exit_code": process.exit_code})
    else:
        await _show_end(Registry(home), process, output)
        if not finished:
            err().print(f"llmos: process {pid} has not ended", style="dim")
    return process.exit_code or 0


def _ended(records: Records, pid: int) -> tuple[Distant, bool]:
    record, life = records.get(pid), records.life(pid)
    process = Distant(pid, record.app)
    if record.finished is not None:
        fault = from_dict(life.fault) if life.fault else None
        if fault is None and record.error:  # of a version that kept no more
            fault = Unavailable(record.error)
        process.end(record.exit_code or 0, fault, life.result)
    return process, record.finished is not None


async def _show_end(registry: Registry, process: Started, output: AppOutput) -> None:
    """The result where it was not written already, or the error."""
    console = out()
    if output.text and not output.text.endswith("\n"):
        console.print()
    if process.error is not None:
        err().print(fault_line(process.error, f"llmos: {process.app}"), soft_wrap=True)
    elif rest := await _rest(registry, process, output.text):
        console.print(rest)


async def _rest(registry: Registry, process: Started, text: str) -> Text:
    try:
        info = registry.get(process.app)
    except NotFound:  # removed since: the plain result has to do
        plain: Any = process.result
        return Text() if plain is None else Text(clean(json.dumps(plain, ensure_ascii=False)))
    return await remainder(info, process, text)


def _write(text: str) -> None:
    sys.stdout.write(clean(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
