"""`llmos resume`: processes of earlier runs go on in the foreground, and what they say from now on is shown."""

from __future__ import annotations

import sys
from collections.abc import Collection

from rich.text import Text

from ...kernel.process import Process
from ...memory.records import Record
from .comeback import come_back, suspended
from .display import clean, err, out
from .options import Options
from .output import AppOutput, ask_terminal, fault_line, remainder
from .session import session


async def run_resume(options: Options, pids: Collection[int]) -> int:
    """Until all have ended; the exit code of the first that failed. Ctrl-C ends them, as in `llmos app run`."""
    outputs: dict[int, AppOutput] = {}

    def output(record: Record) -> AppOutput:
        outputs[record.pid] = AppOutput(ask_terminal if sys.stdin.isatty() else None)
        return outputs[record.pid]

    async with session(options) as running:
        if not suspended(running):
            err().print("no process is suspended", markup=False)
            return 0
        back = come_back(running, output, pids)
        for process in back:
            process.came_back = False  # it is this command's now: Ctrl-C and SIGTERM reach it
        codes = []
        for process in (process for process in back if process.pid in outputs):
            await process.ended.wait()
            info = running.launcher.registry.get(process.app)
            _show(process, outputs[process.pid], await remainder(info, process, outputs[process.pid].text))
            codes.append(process.exit_code or 0)
    return next((code for code in codes if code), 0)


def _show(process: Process, output: AppOutput, rest: Text) -> None:
    console = out()
    console.print(Text(f"{process.pid} {process.app}", style="bold"))
    output.watch(lambda words: console.print(Text(clean(words)), end=""))
    if output.text and not output.text.endswith("\n"):
        console.print()
    if process.error is not None:
        err().print(fault_line(process.error, f"llmos: {process.app}"), soft_wrap=True)
    elif rest:
        console.print(rest)
