"""Streams and the shelf under stress: what the engine holds is what the books say, and no answer is wrong."""

import asyncio
import random

import pytest
from llmos.kernel.process import Signal
from llmos.kernel.scheduler import Scheduler
from llmos.kernel.shelf import Shelf
from llmos.kernel.signals import deliver
from llmos.models.scripted import ScriptedEngine

from tests.kernel.test_scheduler import counting, process, write


class Audited(Scheduler):
    """Compares the engine's streams with the books after every step, and lets a test do harm between steps."""

    harm = staticmethod(lambda: None)

    async def _step(self, turn, ready):
        await super()._step(turn, ready)
        assert self.engine._streams == [place.tokens for place in self.streams.places]
        assert all(place.whole <= len(place.tokens) for place in self.streams.places)
        assert set(self.shelf._entries) <= set(self.streams.kept), "a state that nobody can find"
        self.harm()


class Losses:
    """Breaks files of saved states, and drops some that may go."""

    def __init__(self, folder, shelf, chance):
        self.folder, self.shelf, self.chance, self.done = folder, shelf, chance, 0

    def __call__(self):
        if self.chance.random() > 0.1:
            return
        files = sorted(self.folder.glob("*.state"))
        if not files:
            return
        file, self.done = self.chance.choice(files), self.done + 1
        if self.chance.random() < 0.5:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(b"[1, 2, 3]")


HEADS = ["You are a careful clerk. " * n for n in (8, 20, 32)]


async def agent(scheduler, pid, chance):
    """Some turns of one process, each longer than the last, with a shared head; scoring among them."""
    who = process(pid, owner=chance.choice(["ann", "bob"]))
    prompt = chance.choice(HEADS) + f"I am {pid}. "
    for turn in range(3):
        prompt += f"Turn {turn}: " + "word " * chance.randint(1, 60)
        most = chance.randint(1, 40)
        asking = asyncio.ensure_future(write(scheduler, who, prompt, most))
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.02)
            deliver(who, Signal.STOP, scheduler)
            await asyncio.sleep(chance.random() * 0.02)
            deliver(who, Signal.CONT, scheduler)
        if chance.random() < 0.1:
            asking.cancel()
            await asyncio.wait([asking])
            continue
        assert (await asking).text == counting(prompt)[:most]
        if chance.random() < 0.5:
            tokens = scheduler.engine.tokenize(prompt + "<|im_start|>assistant\n", markup=True)
            right = counting(prompt + "<|im_start|>assistant\n").encode()[:6]
            scores = await scheduler.score(who, tokens, [list(right), list(b"wrong!")])
            assert scores[0] == [-0.1] * 6
            assert scores[1][-1] == -5.0


@pytest.mark.parametrize("seed", range(6))
async def test_books_and_engine_agree_and_every_answer_is_right(tmp_path, seed):
    chance = random.Random(seed)
    folder = tmp_path / "swap"
    shelf = Shelf(folder, ram=4_000, disk=40_000)
    engine = ScriptedEngine(counting, streams=chance.choice([1, 2, 3]), window=4096)
    scheduler = Audited(engine, quantum=24, shelf=shelf)
    scheduler.harm = losses = Losses(folder, shelf, chance)
    agents = [agent(scheduler, pid, random.Random(seed * 100 + pid)) for pid in range(10)]
    await asyncio.wait_for(asyncio.gather(*agents), 120)
    found = scheduler.meters()
    assert found["swaps"] > 0
    assert found["tokens_saved"] > 0
    assert losses.done > 0
    assert scheduler.idle()
    assert scheduler.streams.in_use() == 0
    await scheduler.close()
    assert not folder.exists()


@pytest.mark.parametrize("lost", ["mine", "cache"])
async def test_a_state_that_was_lost_is_computed_again(tmp_path, lost):
    folder = tmp_path / "swap"
    scheduler = Audited(ScriptedEngine(counting, streams=1, window=4096), shelf=Shelf(folder, ram=0))
    head, who = "h" * 400, process(1)
    if lost == "mine":
        shown = asyncio.Event()
        first = asyncio.ensure_future(write(scheduler, who, head, on_text=lambda text: shown.set()))
        await shown.wait()
        deliver(who, Signal.STOP, scheduler)
    else:
        first = asyncio.ensure_future(write(scheduler, who, head))
        await first
    await write(scheduler, process(2, owner="another"), "x" * 300)
    for writing in list(scheduler.shelf._writing):
        await asyncio.wrap_future(writing)
    files, lost_keys = list(folder.iterdir()), set(scheduler.streams.kept)
    assert files
    for file in files:
        file.write_bytes(b"[]")
    if lost == "mine":
        deliver(who, Signal.CONT, scheduler)
        assert (await first).text == counting(head)[:60]
    else:
        written = await asyncio.wait_for(write(scheduler, who, head + "and more"), 10)
        assert not lost_keys & set(scheduler.streams.kept)
        assert (written.text, written.reused) == (counting(head + "and more")[:60], 0)
    await scheduler.close()
