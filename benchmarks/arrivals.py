"""A trace of processes that arrive at a machine: made from a seed, in three classes, in bursts, with heavy tails.

Bursts come by a Poisson process; each brings a geometric number of process trees. Lengths are lognormal.

| class | tree | turns | prompt of the first turn, then of each other | answer |
|---|---|---|---|---|
| interactive | one process | 1 to 6, some 8 s of reading between them | 45 tokens, 30 | 60 |
| normal | agents, mostly one, at most 16 | 1 to 6, half a second between them | a shared beginning and 45, 45 | 40 |
| batch | 1 to 64 children | one | 300 tokens, at most 4,000 | 60 |

There are 40 shared beginnings, of 560 or 1,500 tokens; few of them are most of what comes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

CLASSES = ("interactive", "normal", "batch")
MIX = (0.4, 0.45, 0.15)  # of trees
NICE = (0, 0, 0, 0, 0, 0, 0, 0, -3, 3)  # one tree in five is not like the others
BURST = 3.0  # trees, on average
PREFIXES = [0, *([560] * 28), *([1500] * 12)]  # tokens by number; 0 is none


@dataclass(frozen=True)
class Turn:
    """What a process asks of the engine at once, and how long it is away afterwards, in milliseconds."""

    prompt: int
    answer: int
    pause: float


@dataclass(frozen=True)
class Arrival:
    """A process that comes: time in units of the mean distance of trees, to be stretched to a load."""

    time: float
    tree: int
    priority: int
    nice: int
    prefix: int  # number of the shared beginning, 0 for none; its tokens are in the first prompt
    turns: tuple[Turn, ...]


def trace(processes: int, seed: int) -> Iterator[Arrival]:
    """So many processes in the order of their time."""
    rng = random.Random(seed)
    time, tree, left = 0.0, 0, processes
    while left > 0:
        time += rng.expovariate(1 / BURST)
        for _ in range(1 + int(rng.expovariate(1 / (BURST - 1)))):
            tree += 1
            for arrival in _tree(rng, time, tree)[:left]:
                yield arrival
                left -= 1


def _tree(rng: random.Random, time: float, tree: int) -> list[Arrival]:
    (priority,) = rng.choices(range(3), MIX)
    nice = rng.choice(NICE)
    if priority == 0:
        turns = _turns(rng, rng.randint(1, 6), (45, 30, 600), 60, 8000.0)
        return [Arrival(time, tree, 0, nice, 0, turns)]
    if priority == 1:
        prefix = min(int(rng.paretovariate(0.6)), len(PREFIXES) - 1)  # few apps have most of the users
        fan = min(int(rng.paretovariate(1.2)), 16)
        return [
            Arrival(time, tree, 1, nice, prefix, _agent(rng, PREFIXES[prefix])) for _ in range(fan)
        ]  # fmt: skip
    fan = min(int(rng.paretovariate(0.7)), 64)
    return [Arrival(time, tree, 2, nice, 0, _turns(rng, 1, (300, 0, 4000), 60, 0.0)) for _ in range(fan)]


def _agent(rng: random.Random, shared: int) -> tuple[Turn, ...]:
    first, *others = _turns(rng, rng.randint(1, 6), (45, 45, 400), 40, 500.0)
    return (Turn(first.prompt + shared, first.answer, first.pause), *others)


def _turns(
    rng: random.Random, count: int, prompts: tuple[int, int, int], answer: int, pause: float
) -> tuple[Turn, ...]:  # fmt: skip
    first, other, most = prompts
    return tuple(
        Turn(
            _length(rng, other if number else first, most),
            _length(rng, answer, 1000),
            rng.expovariate(1 / pause) if pause else 0.0,
        )
        for number in range(count)
    )


def _length(rng: random.Random, median: int, most: int) -> int:
    return max(1, min(most, round(rng.lognormvariate(0, 0.8) * median)))
