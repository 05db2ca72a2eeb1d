#!/usr/bin/env python3
"""Decoding with B streams at once, in our engine and in llama-batched-bench: same file, cache, threads and cells.

    python benchmarks/decode.py --model FILE.gguf --batched-bench PATH [--ways exact,exact-q8,fast] [--runs 3]

Both prefill 128 tokens into each stream and then decode 32 more, greedily in ours (batched-bench draws nothing). Runs
of the two alternate; medians. Without --batched-bench ours alone is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

from llmos.models.engine import Sampling, Slice
from llmos.models.llama import LlamaEngine

STREAMS, PROMPT, TOKENS, WINDOW = (1, 8, 16, 32, 64), 128, 32, 1024
FLAGS = {
    "exact": ("off", "f16"),
    "exact-q8": ("on", "q8_0"),
    "fast": ("on", "f16"),
}  # flash attention, type of keys and values


def ours(model: Path, way: str, threads: int) -> dict[int, float]:
    """Tokens a second by number of streams."""
    engine = LlamaEngine(model, streams=max(STREAMS), window=WINDOW, way=way, threads=threads)
    found = {count: _decode(engine, count) for count in STREAMS}
    engine.close()
    return found


def _decode(engine: LlamaEngine, count: int) -> float:
    for stream in range(engine.info.streams):
        engine.trim(stream, 0)
    samplers = [engine.sampler(Sampling()) for _ in range(count)]
    last = []
    for stream in range(count):
        prompt = [(7 * i + 13 * stream) % 40_000 + 100 for i in range(PROMPT)]
        (result,) = engine.step([Slice(stream, prompt, 0, samplers[stream])])
        last.append(result.tokens[0])
    begun = time.perf_counter()
    for at in range(PROMPT, PROMPT + TOKENS):
        results = engine.step([Slice(s, (last[s],), at, samplers[s]) for s in range(count)])
        last = [result.tokens[0] for result in results]
    took = time.perf_counter() - begun
    for sampler in samplers:
        sampler.close()
    return count * TOKENS / took


def theirs(program: Path, model: Path, way: str, threads: int) -> dict[int, float]:
    """The same from llama-batched-bench."""
    flash, kind = FLAGS[way]
    line = [
        str(program), "-m", str(model), "-c", str(max(STREAMS) * WINDOW), "-b", "512", "-ub", "512", "-fa", flash,
        "-ctk", kind, "-ctv", kind, "-npp", str(PROMPT), "-ntg", str(TOKENS), "-npl", ",".join(map(str, STREAMS)),
        "-t", str(threads), "--output-format", "jsonl",
    ]  # fmt: skip
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    rows = [json.loads(row) for row in said.splitlines() if row.startswith("{")]
    return {row["pl"]: row["speed_tg"] for row in rows}


def compare(
    model: Path, program: Path | None, way: str, threads: int, runs: int
) -> list[dict[str, float | str | None]]:
    """One row for each number of streams: medians, and the median of the ratios of neighbouring runs."""
    mine: list[dict[int, float]] = []
    others: list[dict[int, float]] = []
    for _ in range(runs):
        if program is not None:
            others.append(theirs(program, model, way, threads))
        mine.append(ours(model, way, threads))
    return [
        {
            "way": way,
            "streams": count,
            "llmos": round(statistics.median(run[count] for run in mine), 1),
            "batched_bench": round(statistics.median(run[count] for run in others), 1) if others else None,
            "ratio": round(statistics.median(a[count] / b[count] for a, b in zip(mine, others, strict=True)), 3)
            if others
            else None,
        }
        for count in STREAMS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--batched-bench", type=Path, help="the program llama-batched-bench")
    parser.add_argument("--ways", default="exact,exact-q8,fast")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = []
    for way in given.ways.split(","):
        for row in compare(given.model, given.batched_bench, way, given.threads, given.runs):
            line = "{way:9} B={streams:<3} {llmos:8} tok/s, batched-bench {batched_bench}, ratio {ratio}"
            print(line.format(**row))
            found.append(row)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
