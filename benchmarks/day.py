"""A day of conversation in minutes: does the program grow, and how much does a turn leave in the database?

    python benchmarks/day.py [--turns 2880] [--json FILE]

A turn each half minute for 24 hours, with the scripted engine, through the whole of llmos: what is said, an answer,
every tenth turn a question that brings pages back, and compaction by itself. Sizes are bytes; in the first quarter
the program warms up, so it is left out.
"""

import argparse
import asyncio
import gc
import json
import os
import tempfile
import tracemalloc
from dataclasses import asdict, dataclass
from pathlib import Path

from conversation import conversation, facts
from llmos.apps.system.boot import Running, boot
from llmos.apps.system.home import Home
from llmos.apps.system.launch import LocalPort
from llmos.apps.system.output import AppOutput
from llmos.kernel.limits import Limits
from llmos.kernel.process import Priority
from llmos.models.scripted import ScriptedEngine
from llmos.syscalls.api import Sys

FREE = Limits(tokens=None, seconds=None, pages=None, calls=None)
WINDOW = 4096


@dataclass
class Sizes:
    """As they stand after so many turns."""

    turn: int
    traced: int  # bytes that Python has allocated
    resident: int  # bytes of the program in memory
    database: int
    journal: int  # bytes of the journal's entries within the database
    out: int  # pages that are out


async def day(turns: int, samples: int = 8) -> list[Sizes]:
    """The sizes after each of equally many turns."""
    told = facts(min(200, turns // 5))
    talk = conversation(turns, told)
    found: list[Sizes] = []
    with tempfile.TemporaryDirectory() as folder:
        engine = ScriptedEngine(lambda prompt: "I see.", window=WINDOW)
        async with boot(Home(Path(folder)), engine=engine) as running:

            async def body(process) -> None:
                sys = Sys(LocalPort(running.gate, process))
                await sys.tune(compact=200)
                heard: list = []
                for number, (said, _) in enumerate(talk, 1):
                    heard += [fact for fact in told if fact.said in said]
                    asked = number % 10 == 0 and bool(heard)
                    await sys.generate(heard[number % len(heard)].question if asked else said, max_tokens=40,
                                       recall=3 if asked else 0, keep=True)  # fmt: skip
                    engine.steps.clear()  # the record that a scripted engine keeps for tests
                    if number % (turns // samples) == 0:
                        found.append(measured(running, process, number))

            process = running.machine.start(
                body, app="day", owner="bench", rights=frozenset({"model:use"}), limits=FREE,
                priority=Priority.NORMAL, output=AppOutput(),
            )  # fmt: skip
            await process.ended.wait()
            if process.error:
                raise process.error
    return found


def measured(running: Running, process, turn: int) -> Sizes:
    running.machine.cores.local.prompts._cached.cache_clear()  # bounded, but full only after a thousand turns
    gc.collect()
    database = running.machine.parts.database
    pages, size = (database.one(f"PRAGMA {name}")[0] for name in ("page_count", "page_size"))
    journal = database.one("SELECT sum(length(args) + length(coalesce(reply, ''))) FROM journal")[0]
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    traced = tracemalloc.get_traced_memory()[0]
    return Sizes(turn, traced, resident, pages * size, journal, process.context.out)


def growth(found: list[Sizes], of: str) -> float:
    """Bytes a turn, from the first quarter to the end."""
    first, last = found[len(found) // 4], found[-1]
    return (getattr(last, of) - getattr(first, of)) / (last.turn - first.turn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2880)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    tracemalloc.start()
    found = asyncio.run(day(given.turns))
    for sizes in found:
        print(json.dumps(asdict(sizes)))
    print({of: round(growth(found, of), 1) for of in ("traced", "resident", "database", "journal")}, "bytes a turn")
    if given.json:
        given.json.write_text(json.dumps([asdict(sizes) for sizes in found], indent=1))


if __name__ == "__main__":
    main()
