"""What the window of a long conversation holds, and what it costs to keep it.

    python benchmarks/context.py [prefix|facts|policies] [--turns N] [--facts N] [--window N] [--json FILE]

The tokens are those of the embedded model; no model is run, so nothing here is a time.

prefix     tokens that the engine has to compute anew in each of 200 turns, by the scheduler's own account: llmos
           against a window that slides on with every turn
facts      2,000 turns with 200 facts strewn in, then a question for each, in other words: the share whose page is in
           the window once the question has brought pages back, and the same for a plain sliding window
policies   a conversation that comes back to its facts again and again, by policy and low-water mark: tokens computed
           anew in a turn, faults, and the share of facts in the window when they are asked for
"""

import argparse
import asyncio
import json
import random
import tempfile
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from conversation import Fact, conversation, facts
from llmos.apps.system.boot import Running, boot
from llmos.apps.system.home import Home
from llmos.apps.system.launch import LocalPort
from llmos.apps.system.output import AppOutput
from llmos.kernel.limits import Limits
from llmos.kernel.process import Priority
from llmos.memory.policies import POLICIES
from llmos.memory.tokens import BytePairTokens
from llmos.models.catalog import Catalog
from llmos.models.gguf import vocabulary
from llmos.models.prepare import ready
from llmos.models.scripted import ScriptedEngine
from llmos.syscalls.api import Sys

SYSTEM = "You are a helpful assistant. You write clearly and do what you are asked."
ROOM = 256  # tokens kept for an answer
FREE = Limits(tokens=None, seconds=None, pages=None, calls=None)


@cache
def words() -> BytePairTokens:
    """The vocabulary of the embedded model."""
    with tempfile.TemporaryDirectory() as folder:
        known = vocabulary(ready(Catalog(Path(folder)).get(), Path(folder)))
    return BytePairTokens(known.tokens, known.kinds, known.pre)


class Counting(ScriptedEngine):
    """Counts in the embedded model's tokens, and answers with nothing."""

    def tokenize(self, text: str, *, markup: bool = False) -> list[int]:
        return words().encode(text, markup=markup)

    def _text(self, held: list[int]) -> str:
        return ""


@asynccontextmanager
async def machine(window: int):
    with tempfile.TemporaryDirectory() as home:
        async with boot(Home(Path(home)), engine=Counting(lambda _: "", streams=1, window=window)) as running:
            yield running


async def run(running: Running, main):
    """``async def main(sys, process)`` as a process; its result."""

    async def body(process):
        return await main(Sys(LocalPort(running.gate, process)), process)

    process = running.machine.start(
        body, app="bench", owner="bench", rights=frozenset({"model:use"}), limits=FREE, priority=Priority.NORMAL,
        output=AppOutput(),
    )  # fmt: skip
    await process.ended.wait()
    if process.error:
        raise process.error
    return process.result


# -- prefix --


async def paged(sys: Sys, process, talk) -> list[tuple[int, int]]:
    """(tokens of the prompt, of these computed anew) of each turn, by pages."""
    await sys.add(SYSTEM, role="system", kind="system")
    counted = []
    for said, answer in talk:
        reply = await sys.generate(said, max_tokens=ROOM)
        counted.append((reply.tokens_in, reply.tokens_in - reply.tokens_reused))
        await sys.add(said)
        await sys.add(answer, role="assistant")
    return counted


async def sliding(sys: Sys, process, talk) -> list[tuple[int, int]]:
    """The same with the latest messages that fit, as chat programs do it."""
    measure, window = process.context._renderer.measure, process.context.window
    messages: list[tuple[str, str]] = []
    counted = []
    for said, answer in talk:
        while measure([("system", SYSTEM), *messages, ("user", said)]) + ROOM > window:
            del messages[0]
        shown = [{"role": role, "text": text} for role, text in [("system", SYSTEM), *messages]]
        reply = await sys.generate(said, messages=shown, max_tokens=ROOM)
        counted.append((reply.tokens_in, reply.tokens_in - reply.tokens_reused))
        messages += [("user", said), ("assistant", answer)]
    return counted


async def prefix(turns: int, window: int) -> dict:
    talk = conversation(turns, [])
    found = {}
    for name, way in (("paged", paged), ("sliding", sliding)):
        async with machine(window) as running:
            counted = await run(running, lambda sys, process, way=way: way(sys, process, talk))
        found[name] = {"prompt": mean(c[0] for c in counted), "computed": mean(c[1] for c in counted)}
    found["ratio"] = round(found["paged"]["computed"] / found["sliding"]["computed"], 3)
    return {"turns": turns, "window": window, **found}


# -- facts --


async def converse(sys: Sys, talk) -> None:
    for said, answer in talk:
        await sys.add(said)
        await sys.add(answer, role="assistant")


def in_sight(messages, fact: Fact) -> bool:
    return any(fact.said in text for _, text in messages)


async def facts_found(turns: int, count: int, window: int) -> dict:
    told = facts(count)
    talk = conversation(turns, told)

    async def main(sys: Sys, process) -> dict:
        await sys.add(SYSTEM, role="system", kind="system")
        await converse(sys, talk)
        context, hits = process.context, dict.fromkeys((0, 1, 3, 5, 10, 20, 30, 40), 0)
        for fact in told:
            pages = context.peek(running.machine.pages.search(process.pid, fact.question, 40, context.resident()))
            for k in hits:
                hits[k] += in_sight(context.plan(ROOM, [("user", fact.question)], pages[:k]).messages, fact)
        return {k: round(n / count, 3) for k, n in hits.items()}

    async with machine(window) as running:
        by_recall = await run(running, main)
        measure = running.machine.cores.local.prompts.measure
    said = [m for turn in talk for m in (("user", turn[0]), ("assistant", turn[1]))]
    longest = max((fact.question for fact in told), key=len)
    system, asked = ("system", SYSTEM), ("user", longest)
    last = next(n for n in range(len(said), 0, -1) if measure([system, *said[n - 1 :], asked]) + ROOM > window)
    hits = sum(in_sight(said[last:], fact) for fact in told)
    return {
        "turns": turns, "facts": count, "window": window, "recall": by_recall, "sliding": round(hits / count, 3),
    }  # fmt: skip


# -- policies --


async def by_policy(turns: int, count: int, window: int, policy: str, low: float) -> dict:
    """After each third turn a fact is asked for, often one of the last that were; eight pages may come back."""
    told = facts(count)
    talk = conversation(turns, told)

    async def main(sys: Sys, process) -> dict:
        draw, heard, asked = random.Random(7), [], []
        computed = hits = 0
        await sys.add(SYSTEM, role="system", kind="system")
        await sys.tune(policy=policy, low=low)
        for number, (said, answer) in enumerate(talk):
            heard += [fact for fact in told if fact.said in said]
            query, fact = said, None
            if number % 3 == 2 and heard:
                fact = draw.choice(asked[-6:]) if asked and draw.random() < 0.6 else draw.choice(heard)
                asked.append(fact)
                query = fact.question
            reply = await sys.generate(query, max_tokens=ROOM, recall=8 if fact else 0)
            computed += reply.tokens_in - reply.tokens_reused
            hits += fact is not None and any(fact.said in page.text for page in process.context._pages.values())
            await sys.add(query)
            await sys.add(fact.answer if fact else answer, role="assistant")
        return {
            "policy": policy, "low": low, "computed": round(computed / turns, 1), "faults": process.context.faults,
            "evictions": process.context.evictions, "found": round(hits / max(1, len(asked)), 3),
        }  # fmt: skip

    async with machine(window) as running:
        return await run(running, main)


async def policies(turns: int, count: int, window: int) -> dict:
    ways = [(policy, 0.5) for policy in POLICIES] + [("recency", low) for low in (0.0, 0.25, 0.75, 0.9)]
    rows = [await by_policy(turns, count, window, *way) for way in ways]
    return {"turns": turns, "facts": count, "window": window, "rows": rows}


def mean(values) -> float:
    values = list(values)
    return round(sum(values) / len(values), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["prefix", "facts", "policies"])
    parser.add_argument("--turns", type=int)
    parser.add_argument("--facts", type=int, default=200)
    parser.add_argument("--window", type=int, default=4096)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {}
    if "prefix" in given.what:
        found["prefix"] = asyncio.run(prefix(given.turns or 200, given.window))
    if "facts" in given.what:
        found["facts"] = asyncio.run(facts_found(given.turns or 2000, given.facts, given.window))
    if "policies" in given.what:
        found["policies"] = asyncio.run(policies(given.turns or 600, given.facts, given.window))
    for name, result in found.items():
        rows = result.pop("rows", [])
        print(name, json.dumps(result))
        for row in rows:
            print("   ", json.dumps(row))
        result["rows"] = rows
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
