"""The promise: a process's output depends on its own inputs alone. On the embedded model, in the way `exact`."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import llmos
import pytest
from llmos.kernel.limits import Account, Limits
from llmos.kernel.process import Priority, Process, Signal
from llmos.kernel.scheduler import Scheduler
from llmos.kernel.signals import deliver
from llmos.models.engine import Sampling, Slice

EXAMPLES = Path(llmos.__file__).parent / "examples"
COUNT, ANSWER = 32, 12

pytestmark = pytest.mark.model


def process(pid: int) -> Process:
    limits, nothing = Limits(), SimpleNamespace()
    return Process(
        pid, "t", "me", frozenset(), Account(limits), limits, Priority.NORMAL, nothing, nothing, nothing, core=nothing
    )


def prompts(engine) -> list[list[int]]:
    """Real text of many lengths; half of the prompts share their first block and a half."""
    articles = sorted((EXAMPLES / "shop" / "articles").glob("*.md"))
    texts = [engine.tokenize(a.read_text()) for a in articles[:COUNT]]
    head = engine.tokenize((EXAMPLES / "documents" / "the-ferry-bell.txt").read_text())[:190]
    return [(head if i % 2 else []) + t[: 20 + i * 37 % 160] for i, t in enumerate(texts)]


async def write(scheduler, who, i, prompt) -> str:
    """Every third answer is drawn at random from its own seed, every fifth under a grammar."""
    sampling = Sampling(temperature=0.8, seed=i) if i % 3 == 0 else Sampling()
    grammar = 'root ::= "{" [a-z ]+ "}"' if i % 5 == 0 else None
    written = await scheduler.write(who, prompt, most=ANSWER, sampling=sampling, constraint=grammar)
    return json.dumps(written.tokens)


@pytest.fixture(scope="module")
def alone(load_engine) -> list[str]:
    """Every prompt by itself on an engine with one stream, nothing cached."""

    async def run() -> list[str]:
        found = []
        scheduler = Scheduler(load_engine(streams=1))
        for i, prompt in enumerate(prompts(scheduler.engine)):
            scheduler.streams.clear()
            found.append(await write(scheduler, process(i), i, prompt))
        await scheduler.close()
        return found

    return asyncio.run(run())


@pytest.mark.parametrize("streams", [16, 4])
async def test_together_on_many_or_few_streams(load_engine, alone, streams):
    scheduler = Scheduler(load_engine(streams=streams), quantum=96)
    texts = await asyncio.gather(*(write(scheduler, process(i), i, p) for i, p in enumerate(prompts(scheduler.engine))))
    assert texts == alone
    assert streams == 16 or scheduler.swaps > 0
    await scheduler.close()


async def test_with_half_of_them_stopped_and_continued_midway(load_engine, alone):
    scheduler = Scheduler(load_engine(streams=6), quantum=96)
    processes = [process(i) for i in range(COUNT)]
    tasks = [asyncio.create_task(write(scheduler, processes[i], i, p)) for i, p in enumerate(prompts(scheduler.engine))]
    while scheduler.steps < 25:
        await asyncio.sleep(0.01)
    for one in processes[::2]:
        deliver(one, Signal.STOP, scheduler)
    await asyncio.wait(tasks[1::2])
    assert all(t.done() for t in tasks[1::2])
    assert not all(t.done() for t in tasks[::2])
    for one in processes[::2]:
        deliver(one, Signal.CONT, scheduler)
    assert await asyncio.gather(*tasks) == alone
    await scheduler.close()


async def test_with_prefixes_from_the_cache(load_engine, alone):
    scheduler = Scheduler(load_engine(streams=8))
    texts, reused = [], 0
    for i, prompt in enumerate(prompts(scheduler.engine)):
        texts.append(await write(scheduler, process(i), i, prompt))
        reused += max(p.whole for p in scheduler.streams.places) >= 128
    assert texts == alone
    assert reused > COUNT // 2
    await scheduler.close()


def test_the_control_a_cut_in_another_place_does_change_the_bits(load_engine):
    """Cuts at fixed places are there for a reason: if this ever passes without them, they can go."""
    engine = load_engine(streams=2)
    tokens = prompts(engine)[1][:150]
    whole = likelihoods(engine, 0, tokens, [128, 22])
    single = likelihoods(engine, 1, tokens, [1] * 150)
    assert whole != single
    engine.close()


def likelihoods(engine, stream, tokens, cuts) -> float | None:
    at, found = 0, None
    for cut in cuts:
        part = tokens[at : at + cut]
        (result,) = engine.step([Slice(stream, part, at, targets=[5] * cut)])
        at, found = at + cut, result.logprobs[-1]
    return found
