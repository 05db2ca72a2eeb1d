"""States of processes in a home: where they lie, how many bytes they may take, and what is told of them."""

import asyncio

import pytest
from llmos.apps.system.boot import boot
from llmos.apps.system.client import ask
from llmos.apps.system.control import serve
from llmos.apps.system.settings import FILE, settings
from llmos.kernel.errors import BadInput
from llmos.models.scripted import ScriptedEngine


async def test_they_lie_in_the_home_while_it_is_held_and_their_figures_are_told(home):
    home.swap.mkdir(parents=True)
    (home.swap / "3.state").write_bytes(b"of a program that died")
    async with boot(home, engine=ScriptedEngine()) as running, serve(running):
        assert list(home.swap.iterdir()) == []
        assert home.swap.stat().st_mode & 0o777 == 0o700
        told = await asyncio.to_thread(ask, home, "meters")
        assert told == await running.meters()
        assert (told["streams"], told["tokens_asked"], told["states_in_memory"]) == (4, 0, 0)
    assert not home.swap.exists()


def test_their_room_is_set_by_file_and_environment(home, monkeypatch):
    (home.root).mkdir(exist_ok=True)
    (home.root / FILE).write_text('[states]\nram = "64M"\n')
    monkeypatch.setenv("LLMOS_STATES_DISK", "1G")
    assert settings(home).states.model_dump() == {"ram": 64 * 2**20, "disk": 2**30}
    monkeypatch.setenv("LLMOS_STATES_DISK", "much")
    with pytest.raises(BadInput, match="much"):
        settings(home)


async def test_the_shelf_has_the_room_that_was_set(home, monkeypatch):
    monkeypatch.setenv("LLMOS_STATES_RAM", "0")
    monkeypatch.setenv("LLMOS_STATES_DISK", "1000")
    async with boot(home, engine=ScriptedEngine()) as running:
        shelf = running.machine.scheduler.shelf
        key = shelf.put(b"s" * 900, 1.0)
        while shelf.meters()["in_files"] == 0:
            await asyncio.sleep(0.001)
        assert shelf.get(key) == b"s" * 900
        shelf.put(b"t" * 200, 1e9)
        while shelf.meters()["written"] < 2:
            await asyncio.sleep(0.001)
        assert shelf.get(key) is None
