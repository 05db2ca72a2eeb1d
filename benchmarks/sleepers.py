"""Ten thousand processes that wait for a message: what they take, how long `ps` takes, and how soon one wakes.

python benchmarks/sleepers.py [--processes N] [--model FILE] [--streams N] [--json]

In a home of its own, which is removed. Memory is the resident set of the whole program, as Linux counts it; with a
model, its weights and the whole cache of keys and values (streams times window) are in it from the start, see
``before_mib``. A wake-up is from `process.send` of one process to the reply of another's `process.receive`, both
journalled on disk; the median and the worst of 50 are told.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from gate import start
from llmos.apps.system.boot import Running, boot
from llmos.apps.system.control import serve
from llmos.apps.system.home import Home
from llmos.apps.system.look import processes
from llmos.models.scripted import ScriptedEngine
from llmos.syscalls.api import Sys

WAKE_UPS = 50


def resident_mib() -> float:
    """The resident set of this program."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def wake_ups(running: Running, pids: list[int], woken: dict[int, float]) -> list[float]:
    """Milliseconds of each."""
    times: list[float] = []

    async def main(sys: Sys) -> None:
        for pid in pids:
            begun = time.perf_counter()
            await sys.send(pid, "wake up")
            while pid not in woken:
                await asyncio.sleep(0.0002)
            times.append(1000 * (woken[pid] - begun))

    process = start(running, main)
    await process.ended.wait()
    assert process.exit_code == 0, process.error
    return times


async def measure(home: Home, count: int, model: str | None, streams: int, window: int) -> dict[str, float]:
    """All figures, by name."""
    engine = None if model else ScriptedEngine()
    async with (
        boot(home, engine=engine, model=model, streams=streams, window=window, serves=True) as running,
        serve(running),
    ):
        before, woken, begun = resident_mib(), dict[int, float](), time.perf_counter()

        async def main(sys: Sys) -> None:
            pid = (await sys.info()).pid
            await sys.receive()
            woken[pid] = time.perf_counter()

        started = [start(running, main) for _ in range(count)]
        while any(process.usage.calls < 2 or process.state.value != "waiting" for process in started):
            await asyncio.sleep(0.1)
        told = {"processes": count, "start_s": time.perf_counter() - begun, "before_mib": before}
        told |= {"mib": resident_mib(), "kib_each": 1024 * (resident_mib() - before) / count}
        begun = time.perf_counter()
        rows = await asyncio.to_thread(processes, home)
        told |= {"ps_s": time.perf_counter() - begun, "rows": len(rows)}
        times = await wake_ups(running, [process.pid for process in started[:: max(1, count // WAKE_UPS)]], woken)
        told |= {"wake_ms": statistics.median(times), "wake_worst_ms": max(times)}
    return told


def main() -> None:
    """The figures, one a line, or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=10_000)
    parser.add_argument("--model", default="", help="a GGUF file; without it the scripted engine serves")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--window", type=int, default=4096)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = asyncio.run(
            measure(Home(Path(folder, "home")), given.processes, given.model or None, given.streams, given.window)
        )
    print(json.dumps(told) if given.json else "\n".join(f"{name:<14} {value:>10.2f}" for name, value in told.items()))


if __name__ == "__main__":
    main()
