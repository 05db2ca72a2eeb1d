"""A long conversation with facts strewn in, and what its window costs. benchmarks/context.py runs the full one."""

import sys
from pathlib import Path

import pytest
from llmos.kernel.limits import Limits

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from conversation import conversation, facts

pytestmark = pytest.mark.long

WINDOW = 12_288  # of the scripted engine's tokens, which are bytes: as many words as 4k of a model's
ROOM = 400
FREE = Limits(tokens=None, seconds=None, pages=None, calls=None)


async def run(bench, main):
    process = bench.start(main, limits=FREE)
    await process.ended.wait()
    assert process.error is None, process.error
    return process.result


async def tell(sys, talk):
    for said, answer in talk:
        await sys.add(said)
        await sys.add(answer, role="assistant")


async def test_facts_are_found_again_where_a_sliding_window_has_lost_them(boot_with):
    seen = []
    bench = await boot_with(lambda prompt: seen.append(prompt) or "", window=WINDOW)
    told = facts(30)
    talk = conversation(300, told)

    async def main(sys):
        await tell(sys, talk)
        for fact in told:
            await sys.generate(fact.question, max_tokens=ROOM, recall=20)

    await run(bench, main)
    found = sum(fact.said in prompt for fact, prompt in zip(told, seen, strict=True))
    assert found >= 0.9 * len(told)
    measure = bench.machine.cores.local.prompts.measure
    messages = [message for said, answer in talk for message in (("user", said), ("assistant", answer))]
    while measure(messages) + ROOM > WINDOW:
        del messages[:5]
    lost = sum(not any(fact.said in text for _, text in messages) for fact in told)
    assert lost >= 0.6 * len(told)


async def test_a_turn_costs_at_most_a_third_of_what_a_sliding_window_costs(boot_with):
    window = 4096
    talk = conversation(200, [])

    async def paged(sys):
        computed = 0
        for said, answer in talk:
            reply = await sys.generate(said, max_tokens=200)
            computed += reply.tokens_in - reply.tokens_reused
            await tell(sys, [(said, answer)])
        return computed

    async def sliding(sys):
        messages, computed = [], 0
        measure = bench.machine.cores.local.prompts.measure
        for said, answer in talk:
            while measure([*messages, ("user", said)]) + 200 > window:
                del messages[0]
            shown = [{"role": role, "text": text} for role, text in messages]
            reply = await sys.generate(said, messages=shown, max_tokens=200)
            computed += reply.tokens_in - reply.tokens_reused
            messages += [("user", said), ("assistant", answer)]
        return computed

    bench = await boot_with(lambda prompt: "", window=window, streams=1)
    costs = [await run(bench, way) for way in (paged, sliding)]
    assert 3 * costs[0] <= costs[1]
