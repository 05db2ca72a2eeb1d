"""The support app itself: started together, stopped midway, on few streams, the answers stay the same."""

import asyncio
import json
from pathlib import Path

import llmos
import pytest
from llmos.apps.system.boot import boot
from llmos.apps.system.home import Home
from llmos.kernel.process import Signal

SHOP = Path(llmos.__file__).parent / "examples" / "shop"
ASKED = [json.loads(line) for line in (SHOP / "questions.jsonl").read_text().splitlines()]
QUESTIONS = [q["question"] for q in ASKED if q["answerable"]][:6]

pytestmark = pytest.mark.model


def start(running, collected, question):
    handed = {f"in/articles/{p.name}": p for p in sorted((SHOP / "articles").glob("*.md"))}
    args = {"kb": "in/articles", "question": question}
    return running.launcher.launch("support", args, owner="me", output=collected(), handed=handed)


async def finish(processes):
    await asyncio.gather(*(p.ended.wait() for p in processes))
    return [p.result.model_dump_json() for p in processes]


async def test_the_same_answers_alone_together_stopped_and_on_two_streams(tmp_path, collected):
    async with boot(Home(tmp_path)) as running:
        alone = [(await finish([start(running, collected, q)]))[0] for q in QUESTIONS]
        assert sum(not json.loads(a)["handed_over"] for a in alone) >= 3
        assert await finish([start(running, collected, q) for q in QUESTIONS]) == alone

        processes = [start(running, collected, q) for q in QUESTIONS]
        while running.machine.scheduler.idle():
            await asyncio.sleep(0.01)
        for process in processes[::2]:
            await running.machine.signal(process.pid, Signal.STOP)
        await finish(processes[1::2])
        for process in processes[::2]:
            await running.machine.signal(process.pid, Signal.CONT)
        assert await finish(processes) == alone
    async with boot(Home(tmp_path), streams=2) as running:
        assert await finish([start(running, collected, q) for q in QUESTIONS]) == alone
