"""`llmos resume`: processes of earlier runs go on in the foreground, and what they say from now on is shown."""

from __future__ import annotations

import sys
from collections.abc import Collection

from rich.text import Text

from ...memory.records import Record
from .display import clean, err, out
from .options import Options
from .output import AppOutput, ask_terminal, fault_line, remainder
from .seat import Started
from .session import session


async def run_resume(options: Options, pids: Collection[int]) -> int:
    """Until all have ended; the exit code of the first that failed. Ctrl-C ends them, as in `llmos app run`."""
    outputs: dict[int, AppOutput] = {}

    def output(record: Record) -> AppOutput:
        outputs[record.pid] = AppOutput(ask_terminal if sys.stdin.isatty() else None)
        return outputs[record.pid]

    async with session(options) as seat:
        if not pids and not await seat.suspended():
            err().print("no process is suspended", markup=False)
            return 0
        codes = []
        for process in await seat.resume(output, pids):
            await process.ended.wait()
            info = seat.registry.get(process.app)
            _show(process, outputs[process.pid], await remainder(info, process, outputs[process.pid].text))
            codes.append(process.exit_code or 0)
    return next((code for code in codes if code), 0)


def _show(process: Started, output: AppOutput, rest: Text) -> None:
    console = out()
    console.print(Text(f"{process.pid} {process.app}", style="bold"))
    output.watch(lambda words: console.print(Text(clean(words)), end=""))
    if output.text and not output.text.endswith("\n"):
        console.print()
    if process.error is not None:
        err().print(fault_line(process.error, f"llmos: {process.app}"), soft_wrap=True)
    elif rest:
        console.print(rest)
