"""A prompt of 4,000 tokens comes while 8 processes decode: how many of their steps does an answer stand still?

    python benchmarks/arriving.py --model FILE.gguf [--ways exact,exact-q8,fast] [--tokens 4000] [--runs 3] [--json FILE]

In the scheduler, without HTTP. A step is the median time between two tokens of an answer before the prompt came, the
gap the longest such time of any answer until the prompt was computed. Medians over the runs.
"""

import asyncio
import json
import statistics
import time

from llmos.apps.system.bench.cases import text
from llmos.models.engine import Sampling
from writers import options, process, scheduler

DECODING, BEFORE = 8, 24  # answers under way; tokens of each before the prompt comes


async def once(queue, tokens: int, run: int) -> dict[str, float]:
    """The figures of one run, in milliseconds and steps."""
    words = queue.engine.tokenize
    moments: list[list[float]] = [[] for _ in range(DECODING)]
    under_way = asyncio.Event()

    def heard(number: int):
        def on_text(_: str) -> None:
            moments[number].append(time.perf_counter())
            if all(len(those) >= BEFORE for those in moments):
                under_way.set()

        return on_text

    most = 2 * BEFORE + tokens // 16
    answers = [
        asyncio.ensure_future(
            queue.write(
                process(100 * run + n), words(f"Story {n}. {text(40, 9 * run + n)}"), most=most, sampling=Sampling(),
                on_text=heard(n), ignore_end=True,
            )
        )
        for n in range(DECODING)
    ]  # fmt: skip
    await under_way.wait()
    begun = time.perf_counter()
    await queue.write(process(100 * run + 99), words(text(2 * tokens, 7 + run))[:tokens], most=1, sampling=Sampling())
    ended = time.perf_counter()
    await asyncio.gather(*answers)
    pairs = [(a, b) for those in moments for a, b in zip(those, those[1:], strict=False)]
    step = statistics.median(b - a for a, b in pairs if b <= begun)
    gap = max((b - a for a, b in pairs if b > begun and a < ended), default=0.0)
    return {"step_ms": 1000 * step, "worst_gap_in_steps": gap / step, "prompt_ms": 1000 * (ended - begun)}


async def measure(model, way: str, tokens: int, runs: int) -> dict:
    async with scheduler(model, way, DECODING + 1, window=max(1024, tokens + 256)) as queue:
        found = [await once(queue, tokens, run) for run in range(runs + 1)][1:]  # the first teaches it what steps cost
    return {"way": way} | {name: round(statistics.median(run[name] for run in found), 2) for name in found[0]}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    rows = [asyncio.run(measure(given.model, way, given.tokens, given.runs)) for way in given.ways.split(",")]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
