"""The promise at its full size: 32 customers' questions, the whole app, the embedded model."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import llmos
import pytest
from llmos.apps.system.boot import boot
from llmos.apps.system.home import Home
from llmos.apps.system.output import AppOutput
from llmos.kernel.process import Signal

SHOP = Path(llmos.__file__).parent / "examples" / "shop"
COUNT = 32

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def home(model_file, tmp_path_factory) -> Home:
    """A home with the model prepared."""
    root = tmp_path_factory.mktemp("support")
    (root / "models").symlink_to(model_file.parent)
    return Home(root)


def start(running):
    """Processes as they are asked for, one for each question."""
    handed = {f"in/articles/{p.name}": p for p in sorted((SHOP / "articles").glob("*.md"))}
    for line in (SHOP / "questions.jsonl").read_text().splitlines()[:COUNT]:
        yield running.launcher.launch(
            "support", {"kb": "in/articles", "question": json.loads(line)["question"]}, owner="customer",
            output=AppOutput(), handed=handed,
        )  # fmt: skip


async def answers(processes) -> list[str]:
    for process in processes:
        await process.ended.wait()
        assert process.error is None
    return [process.result.model_dump_json() for process in processes]


@pytest.fixture(scope="module")
def alone(home) -> list[str]:
    """One after another: each begins when the one before has ended."""

    async def run() -> list[str]:
        async with boot(home) as running:
            found = []
            for process in start(running):
                found += await answers([process])
            return found

    return asyncio.run(run())


@pytest.mark.parametrize("streams", [16, 4])
async def test_together_they_answer_as_one_after_another(home, alone, streams):
    async with boot(home, streams=streams) as running:
        scheduler = running.machine.scheduler
        if streams < 16:  # whoever has computed a few tokens gives way, so that many are swapped in mid-answer
            scheduler._budget = replace(scheduler._budget, quantum=24)
        assert await answers(list(start(running))) == alone
        assert streams == 16 or scheduler.swaps > 0
        assert running.machine.idle()


async def test_with_half_of_them_stopped_midway_and_continued(home, alone):
    async with boot(home) as running:
        processes = list(start(running))
        half = processes[::2]
        while sum(p.usage.first_token is not None for p in processes) < COUNT // 4:
            await asyncio.sleep(0.01)
        for process in half:
            await running.machine.signal(process.pid, Signal.STOP)
        await answers(processes[1::2])
        assert any(process.alive for process in half)
        for process in half:
            await running.machine.signal(process.pid, Signal.CONT)
        assert await answers(processes) == alone
