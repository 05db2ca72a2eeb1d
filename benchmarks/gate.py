"""System calls a second through the gate, with no model: journalled, reading, and needing no journal.

python benchmarks/gate.py [--calls N] [--runs N] [--json]     in a home of its own, which is removed

Each row is the median of the runs. ``alone`` is one process that makes one call after another; ``together`` are
64 processes at once, which share the journal's commits. ``fsync`` is what the disk takes for one commit by itself.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from llmos.apps.system.boot import Running, boot
from llmos.apps.system.home import Home
from llmos.apps.system.launch import LocalPort
from llmos.apps.system.output import AppOutput
from llmos.kernel.limits import Limits
from llmos.kernel.process import Priority
from llmos.models.scripted import ScriptedEngine
from llmos.syscalls.api import Sys
from llmos.syscalls.rights import RIGHTS

TOGETHER = 64
FREE = Limits(tokens=None, seconds=None, pages=None, calls=None, children=None)

Once = Callable[[Sys], Awaitable[object]]
KINDS: dict[str, tuple[str, Once]] = {
    "acts": ("progress: intent and outcome on disk", lambda sys: sys.progress(1, 2)),
    "reads": ("now: outcome on disk", lambda sys: sys.now()),
    "pure": ("count: no journal", lambda sys: sys.count("how many tokens are these?")),
}


@asynccontextmanager
async def machine():
    """A booted llmos with the scripted engine in a folder that is removed."""
    with tempfile.TemporaryDirectory() as folder:
        async with boot(Home(Path(folder, "home")), engine=ScriptedEngine()) as running:
            yield running


def start(running: Running, main: Callable[[Sys], Awaitable[object]], app: str = "gate"):
    """Start a function as a process with all rights and without limits."""

    async def body(process):
        return await main(Sys(LocalPort(running.gate, process)))

    return running.machine.start(
        body, app=app, owner="bench", rights=frozenset(RIGHTS), limits=FREE, priority=Priority.NORMAL,
        output=AppOutput(),
    )  # fmt: skip


async def rate(running: Running, once: Once, processes: int, calls: int) -> float:
    """Calls a second of so many processes that make so many calls in all."""
    each, go, done = max(calls // processes, 1), asyncio.Event(), [0.0]

    async def main(sys: Sys) -> None:
        await go.wait()
        for _ in range(each):
            await once(sys)
        done[0] = time.perf_counter()

    started = [start(running, main) for _ in range(processes)]
    await asyncio.sleep(0.2)
    begun = time.perf_counter()
    go.set()
    for process in started:
        await process.ended.wait()
        assert process.exit_code == 0, process.error
    return each * processes / (done[0] - begun)


def fsync_ms() -> float:
    """Milliseconds of one fsync after a small write, the median of 50."""
    with tempfile.NamedTemporaryFile() as file:
        times = []
        for _ in range(50):
            file.write(b"x" * 4096)
            begun = time.perf_counter()
            file.flush()
            os.fsync(file.fileno())
            times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times)


async def measure(calls: int, runs: int) -> list[dict[str, object]]:
    """One row for each kind of call and number of processes."""
    rows: list[dict[str, object]] = []
    async with machine() as running:
        for kind, (what, once) in KINDS.items():
            for name, processes in (("alone", 1), ("together", TOGETHER)):
                share = calls * 5 if kind == "pure" else calls if processes > 1 else calls // 5
                found = [await rate(running, once, processes, share) for _ in range(runs)]
                rows.append({"kind": kind, "what": what, "processes": name, "calls_s": round(statistics.median(found))})
    return rows


def main() -> None:
    """All figures, as lines or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000, help="calls of a run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    disk, rows = fsync_ms(), asyncio.run(measure(given.calls, given.runs))
    if given.json:
        print(json.dumps({"fsync_ms": disk, "rows": rows}))
        return
    print(f"fsync {disk:.2f} ms")
    for row in rows:
        print(f"{row['what']:<40} {row['processes']:<9} {row['calls_s']:>9,} calls/s")


if __name__ == "__main__":
    main()
