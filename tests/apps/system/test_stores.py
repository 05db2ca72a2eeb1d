"""Services: the same by way of the llmos that holds the home and without one."""

import asyncio
import json
import threading
import time
from contextlib import AsyncExitStack

import pytest
from llmos.apps.system import stores as module
from llmos.apps.system.boot import boot
from llmos.apps.system.control import serve
from llmos.apps.system.home import HomeLock
from llmos.apps.system.stores import SERVICES, opened, use
from llmos.kernel.errors import BadInput, HomeHeld, NotFound, Storage
from llmos.memory.faults import Full
from llmos.memory.recall import Passage
from llmos.models.scripted import ScriptedEngine

WHO = {"owner": "ann", "app": "memory"}


def keep(stores, *, text):
    return stores.recall.remember([Passage(text)], **WHO)


def count(stores, *, to):
    for number in range(to):
        yield {"done": number, "total": to}
    return stores.recall.count(**WHO)


def fail(stores, *, how):
    yield {"done": 0}
    if how == "full":
        raise Full("the disk is full", hint="free some room")
    raise NotFound("no such thing", hint="look elsewhere", what=how)


@pytest.fixture(autouse=True)
def services(monkeypatch):
    for service in (keep, count, fail):
        monkeypatch.setitem(SERVICES, f"test.{service.__name__}", service)


@pytest.fixture(params=["here", "there"])
async def asked(request, home):
    """``await asked(name, …)`` with no llmos on the home, or with one that holds it."""
    async with AsyncExitStack() as stack:
        if request.param == "there":
            running = await stack.enter_async_context(boot(home, engine=ScriptedEngine()))
            await stack.enter_async_context(serve(running))
        yield lambda *words, **fields: asyncio.to_thread(use, home, *words, **fields)


async def test_a_service_does_its_work_and_says_how_far_it_is(asked, home):
    (handle,) = await asked("test.keep", text="Shoes may be returned.")
    assert handle.startswith("default/")
    steps = []
    assert await asked("test.count", steps.append, to=3) == 1
    assert steps == [{"done": 0, "total": 3}, {"done": 1, "total": 3}, {"done": 2, "total": 3}]


async def test_errors_arrive_as_they_are(asked):
    with pytest.raises(NotFound, match="no such thing") as found:
        await asked("test.fail", how="lost")
    assert (found.value.hint, found.value.details) == ("look elsewhere", {"what": "lost"})
    with pytest.raises(Storage, match="disk is full"):
        await asked("test.fail", how="full")
    with pytest.raises(BadInput, match=r"test\.fly"):
        await asked("test.fly")
    with pytest.raises(BadInput, match="missing a required argument: 'to'"):
        await asked("test.count", words=3)


async def test_a_long_request_is_taken(asked):
    assert await asked("test.keep", text="word " * 100_000)


async def test_a_service_ends_soon_when_its_client_goes(running, monkeypatch):
    ended = threading.Event()

    def endless(stores):
        try:
            while True:
                yield {"done": 0}
        finally:
            ended.set()

    monkeypatch.setitem(SERVICES, "test.endless", endless)
    async with serve(running):
        reader, writer = await asyncio.open_unix_connection(str(running.home.run / "control"))
        writer.write(json.dumps({"call": "service", "name": "test.endless", "with": {}}).encode() + b"\n")
        assert json.loads(await reader.readline()) == {"step": {"done": 0}}
        writer.close()
        assert await asyncio.to_thread(ended.wait, 10)


async def test_a_llmos_that_ends_closes_its_services_before_its_stores(running, monkeypatch):
    begun, saw = threading.Event(), []

    def slow(stores):
        try:
            while True:
                begun.set()
                time.sleep(0.01)
                yield {}
        finally:
            saw.append(stores.recall.count(**WHO))  # the store is still open

    monkeypatch.setitem(SERVICES, "test.slow", slow)
    monkeypatch.setattr("llmos.apps.system.control.PATIENCE", 0.05)
    async with serve(running):
        asking = asyncio.ensure_future(asyncio.to_thread(use, running.home, "test.slow"))
        await asyncio.to_thread(begun.wait, 10)
    assert saw == [0]
    asking.cancel()


def test_a_home_that_is_held_for_a_moment_is_waited_for(home, monkeypatch):
    lock = HomeLock(home)
    lock.acquire()
    monkeypatch.setattr(module.time, "sleep", lambda _: lock.release())
    assert use(home, "test.count", to=1) == 0
    with opened(home):
        monkeypatch.setattr(module, "PATIENCE", 0.0)
        monkeypatch.setattr(module.time, "sleep", lambda _: None)
        with pytest.raises(HomeHeld, match="held by another llmos"):
            use(home, "test.count", to=1)
