#!/usr/bin/env python3
"""A process of 1,000 tokens out of its stream and in again, by memory and by disk, and copied, against computing it.

    python benchmarks/states.py --model FILE.gguf [--ways exact,exact-q8,fast] [--tokens 1000] [--runs 21] [--json FILE]

Medians in milliseconds. "disk" puts the state on a shelf without memory, waits for its file, and reads that; the file
is in the page cache, as that of a process which waits for a tool is. "fork" copies the stream into another.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from llmos.kernel.shelf import Shelf
from llmos.models.engine import Slice
from llmos.models.llama import LlamaEngine

GOALS = {"memory_out_and_in": 10.0, "fork": 15.0}  # ms, at 1,000 tokens


def timed(act: Callable[[], object]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000


def measure(model: Path, way: str, tokens: int, runs: int, threads: int) -> dict[str, float | str | int]:
    """Medians for one way of keeping keys and values."""
    engine = LlamaEngine(model, streams=2, window=tokens + 128, way=way, threads=threads)
    prompt = [(7 * i) % 40_000 + 100 for i in range(tokens)]
    found: dict[str, list[float]] = {"memory_out_and_in": [], "disk_out": [], "disk_in": [], "fork": [], "prefill": []}

    def prefill() -> None:
        engine.trim(0, 0)
        for at in range(0, tokens, engine.info.batch):
            engine.step([Slice(0, prompt[at : at + engine.info.batch], at)])

    def again() -> None:
        state = engine.save(0)
        engine.trim(0, 0)
        engine.restore(0, state)

    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            if run < 3:
                found["prefill"].append(timed(prefill))
            found["memory_out_and_in"].append(timed(again))
            found["fork"].append(timed(lambda: engine.restore(1, engine.save(0))))
            out, back = _by_disk(engine, Path(folder) / "swap")
            found["disk_out"].append(out)
            found["disk_in"].append(back)
    size = len(engine.save(0))
    engine.close()
    return {"way": way, "tokens": tokens, "bytes": size} | {k: round(statistics.median(v), 2) for k, v in found.items()}


def _by_disk(engine: LlamaEngine, folder: Path) -> tuple[float, float]:
    """Milliseconds out and in."""
    shelf = Shelf(folder, ram=0)

    def out() -> int:
        key = shelf.put(engine.save(0), 1.0, pinned=True)
        while shelf.meters()["in_files"] == 0:
            time.sleep(0.0002)
        return key

    def back() -> None:
        state = shelf.get(key)
        if state is None:
            raise RuntimeError("the state was lost")
        engine.restore(0, state)

    begun = time.perf_counter()
    key = out()
    there = time.perf_counter()
    engine.trim(0, 0)
    came = timed(back)
    shelf.close()
    return (there - begun) * 1000, came


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--ways", default="exact,exact-q8,fast")
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for way in given.ways.split(","):
        row = measure(given.model, way, given.tokens, given.runs, given.threads)
        print("  ".join(f"{name} {value}" for name, value in row.items()))
        rows.append(row)
    for name, goal in GOALS.items():
        worst = max(float(row[name]) for row in rows)
        print(f"{name}: worst median {worst} ms, goal at 1,000 tokens {goal} ms")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
