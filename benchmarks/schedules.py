"""One process under 1,000 random schedules: neighbours, stops, swaps, numbers of streams. Does it always write the same?

    python benchmarks/schedules.py --model FILE.gguf [--ways exact,exact-q8,fast] [--schedules 1000] [--seed 7] [--json FILE]

Each schedule draws the neighbours (how many, their prompts and lengths, some beginning as the process does), who is
stopped when and for how long, and whether what the last schedule left in the streams may be shared. Every few dozen
schedules the machine is another: 1 to 8 streams, a quantum of 16 to 256 tokens, a shelf whose memory is small. The
process draws at random from its seed. `fast` promises nothing and is the control: it should differ somewhere.
"""

import asyncio
import json
import random
import tempfile
from pathlib import Path

from llmos.apps.system.bench.cases import text
from llmos.kernel.process import Priority, Signal
from llmos.kernel.shelf import Shelf
from llmos.kernel.signals import deliver
from llmos.models.engine import Sampling
from writers import options, process, scheduler

LENGTH, ANSWER = 300, 24  # tokens of the prompt and of the answer
MACHINES = ((4, 64), (1, 16), (2, 96), (8, 256), (3, 32))
"""Streams, and the quantum in tokens."""
PART = 40
"""Schedules on one machine, at most."""


async def disturbed(queue, prompt: list[int], draw: random.Random) -> tuple[int, ...]:
    """The tokens that the process writes under one random schedule."""
    if draw.random() < 0.5:
        queue.streams.clear()
    one = process(1, draw.choice(list(Priority)))
    others = [process(2 + n, draw.choice(list(Priority))) for n in range(draw.randrange(7))]
    tasks = [asyncio.ensure_future(_neighbour(queue, other, prompt, draw)) for other in others]
    await asyncio.sleep(draw.random() * 0.05)
    written = asyncio.ensure_future(
        queue.write(one, prompt, most=ANSWER, sampling=Sampling(temperature=0.9, seed=11), ignore_end=True)
    )
    for _ in range(draw.randrange(4)):
        await asyncio.sleep(draw.random() * 0.05)
        stopped = draw.choice([one, *others])
        deliver(stopped, Signal.STOP, queue)
        await asyncio.sleep(draw.random() * 0.1)
        deliver(stopped, Signal.CONT, queue)
    await asyncio.gather(written, *tasks)
    return tuple(written.result().tokens)


async def _neighbour(queue, other, prompt: list[int], draw: random.Random) -> None:
    alike = prompt[: draw.randrange(len(prompt))] if draw.random() < 0.4 else []
    own = queue.engine.tokenize(text(draw.randrange(8, 200), draw.randrange(10**6)))
    await asyncio.sleep(draw.random() * 0.05)
    await queue.write(other, alike + own, most=draw.randrange(1, 32), sampling=Sampling(), ignore_end=True)


async def measure(model: Path, way: str, count: int, seed: int) -> dict:
    """How many of so many schedules gave what the process writes alone."""
    draw, same, swaps, alone = random.Random(seed), 0, 0, None
    part = max(1, min(PART, count // len(MACHINES)))
    for first in range(0, count, part):
        streams, quantum = MACHINES[first // part % len(MACHINES)]
        with tempfile.TemporaryDirectory() as folder:
            shelf = Shelf(Path(folder) / "swap", ram=16 << 20)
            async with scheduler(model, way, streams, window=1024, quantum=quantum, shelf=shelf) as queue:
                prompt = queue.engine.tokenize(text(2 * LENGTH, seed))[:LENGTH]
                if alone is None:
                    alone = await disturbed(queue, prompt, _Calm())
                for _ in range(min(part, count - first)):
                    same += await disturbed(queue, prompt, draw) == alone
                swaps += queue.swaps
    return {"way": way, "schedules": count, "identical": same, "swaps": swaps}


class _Calm(random.Random):
    """Draws no neighbours and no stops."""

    def randrange(self, *bounds: int) -> int:
        return 0


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    rows = [asyncio.run(measure(given.model, way, given.schedules, given.seed)) for way in given.ways.split(",")]
    for row in rows:
        print(f"{row['way']:9} {row['identical']} of {row['schedules']} identical, {row['swaps']} swaps")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
