"""What scheduler, gate and journal cost in a run of many processes: the time in which the engine does not compute.

python benchmarks/overhead.py [--processes 64] [--model FILE] [--way exact|fast] [--json]     in a home of its own

Every process makes several calls: it counts, writes a little with the model, prints, and writes again. The engine is
the real one, watched: what lies between the end of one of its steps and the begin of the next, while there is work, is
overhead. ``share`` is that against the time of the steps.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path

from gate import start
from llmos.apps.system.boot import boot
from llmos.apps.system.home import Home
from llmos.syscalls.api import Sys

WORDS = "the sea is green where the river meets it and boats go out before dawn".split()  # noqa: SIM905


class Watched:
    """Notes when an engine's own work begins and ends."""

    def __init__(self, engine) -> None:
        self.spans: list[tuple[float, float, int, int]] = []  # begin, end, slices, tokens
        self._within = False  # a step may call the others itself
        for name in ("trim", "save", "restore"):
            setattr(engine, name, self._timed(getattr(engine, name), lambda args: (0, 0)))
        engine.step = self._timed(engine.step, lambda args: (len(args[0]), sum(len(part.tokens) for part in args[0])))

    def _timed(self, function, sizes):
        def call(*args, **named):
            if self._within:
                return function(*args, **named)
            self._within, begun = True, time.perf_counter()
            try:
                return function(*args, **named)
            finally:
                self._within = False
                self.spans.append((begun, time.perf_counter(), *sizes(args)))

        return call


async def main_of(sys: Sys, number: int, tokens: int) -> None:
    """What one process does."""
    asked = " ".join(WORDS[number % 7 :] + WORDS[: number % 11])
    await sys.count(asked)
    first = await sys.generate(f"{number}: {asked}", max_tokens=tokens, temperature=0.7)
    await sys.print(first.text)
    await sys.generate(f"{number}: {first.text}", max_tokens=tokens, temperature=0.7)


async def measure(home: Home, processes: int, tokens: int, model: str | None, way: str) -> dict[str, float]:
    """The figures, by name."""
    async with boot(home, model=model, streams=processes, window=512, way=way) as running:
        watched = Watched(running.machine.cores.local.engine)
        started = [start(running, lambda sys, n=n: main_of(sys, n, tokens)) for n in range(processes)]
        for process in started:
            await process.ended.wait()
            assert process.error is None, process.error
    return figures(watched.spans, processes)


def figures(spans: list[tuple[float, float, int, int]], processes: int) -> dict[str, float]:
    """Of the time from the first step to the last; of the steps in which nearly all processes decode, apart."""
    gaps = [max(after[0] - before[1], 0.0) for before, after in itertools.pairwise(spans)]
    busy = sum(end - begin for begin, end, _, _ in spans)
    full = [
        (gap, after[1] - after[0])
        for gap, after in zip(gaps, spans[1:], strict=False)
        if after[2] == after[3] and after[2] >= 0.75 * processes
    ]
    return {
        "steps": sum(1 for span in spans if span[2]), "busy_s": busy, "between_s": sum(gaps), "share": sum(gaps) / busy,
        "full_steps": len(full),
        "full_step_ms": 1000 * statistics.median(step for _, step in full) if full else 0.0,
        "full_between_ms": 1000 * statistics.median(gap for gap, _ in full) if full else 0.0,
        "full_share": sum(gap for gap, _ in full) / sum(step for _, step in full) if full else 0.0,
    }  # fmt: skip


def main() -> None:
    """The figures, one a line, or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=48, help="most tokens of an answer")
    parser.add_argument("--model", default="", help="a name or a GGUF file; else the default")
    parser.add_argument("--way", default="exact")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder, "home"))
        told = asyncio.run(measure(home, given.processes, given.tokens, given.model or None, given.way))
    print(json.dumps(told) if given.json else "\n".join(f"{name:<16} {value:>10.3f}" for name, value in told.items()))


if __name__ == "__main__":
    main()
