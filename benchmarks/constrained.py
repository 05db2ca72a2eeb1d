"""Answers held to a JSON schema against free text: the time of a token, for one process and for eight at once.

    python benchmarks/constrained.py --model FILE.gguf [--ways exact,exact-q8,fast] [--runs 5] [--json FILE]

Both write answers to the same prompts; a free answer goes on until it has as many tokens as the constrained one had.
Tokens that the grammar forces count as tokens: not drawing them is how it may be faster. Medians of ratios of runs.
"""

import asyncio
import json
import statistics
import time
from pathlib import Path

from llmos.models.engine import Sampling
from llmos.models.grammar import from_schema
from writers import options, process, prompts, scheduler

SCHEMA = {
    "type": "object",
    "properties": {
        "customer": {"type": "string", "maxLength": 40},
        "urgent": {"type": "boolean"},
        "topic": {"enum": ["delivery", "refund", "warranty", "account"]},
        "summary": {"type": "string", "maxLength": 120},
        "items": {"type": "array", "items": {"type": "string", "maxLength": 24}, "minItems": 2, "maxItems": 3},
    },
    "required": ["customer", "urgent", "topic", "summary", "items"],
    "additionalProperties": False,
}
ASK = "Case {n}: Mara Holm writes that her kettle came broken and her two cups are missing. Fill in the form."


async def group(queue, asked: list[list[int]], lengths: list[int] | None) -> tuple[list[int], float]:
    """Tokens of each answer, constrained where no lengths are given, and seconds of decoding them all."""
    begun: list[float] = []

    async def one(number: int, prompt: list[int]) -> int:
        written = await queue.write(
            process(number), prompt, most=lengths[number] if lengths else 200, sampling=Sampling(),
            constraint=None if lengths else from_schema(SCHEMA), ignore_end=lengths is not None,
            on_text=lambda _: begun.append(time.perf_counter()),
        )  # fmt: skip
        return len(written.tokens)

    counted = await asyncio.gather(*(one(n, prompt) for n, prompt in enumerate(asked)))
    return counted, time.perf_counter() - begun[0]


async def measure(model: Path, way: str, runs: int) -> list[dict]:
    rows = []
    async with scheduler(model, way, streams=8, window=1024) as queue:
        render = prompts(model, queue.engine)
        for together in (1, 8):
            asked = [render.tokens([("user", ASK.format(n=n))]) for n in range(together)]
            await group(queue, asked, None)  # the prompts are in the streams after this
            found = []
            for _ in range(runs):
                lengths, held = await group(queue, asked, None)
                counted, free = await group(queue, asked, lengths)
                found.append((held / sum(lengths)) / (free / sum(counted)))
            rows.append({"way": way, "processes": together, "tokens": sum(lengths),
                         "slower": round(statistics.median(found), 3)})  # fmt: skip
    return rows


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    rows = [row for way in given.ways.split(",") for row in asyncio.run(measure(given.model, way, given.runs))]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
