import asyncio
import io

import pytest
from llmos.apps.system.top import shown, watch
from llmos.kernel.scheduler import Scheduler
from llmos.models.scripted import ScriptedEngine
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console


def rows(*states):
    return [{"pid": pid, "state": state} for pid, state in enumerate(states, 1)]


def test_the_living_come_first_and_then_the_newest(monkeypatch):
    told = shown(rows("done", "done", "running", "done", "waiting"), 24)
    assert [row["pid"] for row in told] == [3, 5, 4, 2, 1]
    told = shown(rows("done", "done", "running", "done", "waiting"), 7)
    assert [row["pid"] for row in told] == [3, 5, 4]


@pytest.mark.parametrize("key", ["q", "\x03", "\x04"])
async def test_a_key_ends_it(key):
    async def nothing():
        return []

    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        typed.send_text(key)
        async with asyncio.timeout(5):
            await watch(console, nothing, nothing, every=0.01)


async def test_the_figures_of_the_scheduler_stand_above():
    async def nothing():
        return []

    async def meters():
        typed.send_text("q")
        return scheduler.meters()

    scheduler = Scheduler(ScriptedEngine())
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        async with asyncio.timeout(5):
            await watch(console, nothing, meters, every=0.01)
    await scheduler.close()
    assert "0 of 4 streams" in console.file.getvalue()
