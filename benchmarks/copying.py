"""Answers that copy their prompt, with guesses from the prompt and without: how much faster, and are they the same?

    python benchmarks/copying.py --model FILE.gguf [--ways exact-q8] [--texts 4] [--tokens 96] [--runs 3] [--json FILE]

One process at a time is asked to sum a text up in its own sentences. Guesses need a way in which any cut gives the same
bits. Runs with and without take turns; the median of their ratios.
"""

import asyncio
import json
import statistics
import time
from pathlib import Path

from llmos.models.engine import Sampling
from writers import options, process, prompts, scheduler

DOCUMENTS = Path(__file__).parents[1] / "examples" / "documents"
ASK = "Sum up this text by quoting its most important sentences word for word.\n\n"
LONGEST = 4000  # characters of a text


def texts() -> list[str]:
    """Ordinary prose and reports."""
    return [path.read_text()[:LONGEST] for path in sorted(DOCUMENTS.iterdir())]


async def answer(queue, prompt: list[int], most: int, lookup: bool) -> tuple[list[int], float]:
    """Its tokens, and seconds from the first to the last: prefill is the same with and without."""
    moments: list[float] = []
    written = await queue.write(
        process(1), prompt, most=most, sampling=Sampling(), ignore_end=True, lookup=lookup,
        on_text=lambda _: moments.append(time.perf_counter()),
    )  # fmt: skip
    return list(written.tokens), time.perf_counter() - moments[0]


async def measure(model: Path, way: str, count: int, most: int, runs: int) -> dict:
    async with scheduler(model, way, streams=1, window=2048) as queue:
        if not queue.engine.info.any_cut:
            raise SystemExit(f"guesses are not exact in the way {way}: try --ways exact-q8")
        asked = [prompts(model, queue.engine).tokens([("user", ASK + one)]) for one in texts()[:count]]
        same, gains = [True] * len(asked), []
        for _ in range(runs):
            for number, prompt in enumerate(asked):
                plain, without = await answer(queue, prompt, most, lookup=False)
                guessed, took = await answer(queue, prompt, most, lookup=True)
                same[number] &= plain == guessed
                gains.append(without / took)
    return {"way": way, "texts": len(asked), "same": sum(same), "faster": round(statistics.median(gains), 3),
            "least": round(min(gains), 3), "most": round(max(gains), 3)}  # fmt: skip


def main() -> None:
    parser = options(__doc__, ways="exact-q8")
    parser.add_argument("--texts", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    rows = [
        asyncio.run(measure(given.model, way, given.texts, given.tokens, given.runs)) for way in given.ways.split(",")
    ]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
