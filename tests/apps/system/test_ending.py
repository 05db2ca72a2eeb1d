"""Ctrl-C and SIGTERM: what runs ends in order, and the second one changes nothing of that."""

import asyncio
import ctypes
import os
import signal
import sys
import threading
from unittest.mock import MagicMock

import pytest
from llmos.apps.system import boot
from llmos.apps.system.ending import Ending, held_back
from llmos.apps.system.main import _interrupt
from llmos.apps.system.options import Options
from llmos.apps.system.output import AppOutput
from llmos.apps.system.registry import Registry
from llmos.apps.system.session import session
from llmos.kernel.errors import Interrupted, Terminated
from llmos.models.scripted import ScriptedEngine


async def signalled(number=signal.SIGINT):
    """Send it to ourselves; the loop hears of it before this returns."""
    os.kill(os.getpid(), number)
    await asyncio.sleep(0.01)


async def begun(running, name="slow"):
    output = AppOutput()
    process = running.launcher.launch(name, {}, owner="ann", output=output)
    async with asyncio.timeout(5):
        while not output.text and process.alive:
            await asyncio.sleep(0)
    return process


async def test_the_first_interrupts_every_process(running):
    ending = Ending()
    with ending.guard(running):
        processes = [await begun(running), await begun(running)]
        await signalled()
        for process in processes:
            await process.ended.wait()
    ending.release()
    assert [process.exit_code for process in processes] == [130, 130]
    assert all(isinstance(process.error, Interrupted) for process in processes)


async def test_the_second_kills_and_more_change_nothing(running, apps, monkeypatch):
    async def stubborn(self, sys, args):
        await sys.print("begun")
        while True:
            try:
                await sys.generate("a" * 200, max_tokens=200)
            except Interrupted:
                await sys.print("no")

    monkeypatch.setattr(sys.modules[f"{apps['slow'].package}.app"].App, "main", stubborn)
    ending = Ending()
    with ending.guard(running):
        process = await begun(running)
        await signalled()
        assert process.alive
        for _ in range(3):
            await signalled()
        await process.ended.wait()
    ending.release()
    assert process.exit_code == 137


async def test_where_nothing_lives_the_task_is_broken_off_once(running):
    ending = Ending()

    async def work():
        with ending.guard(running):
            await signalled()
            await asyncio.sleep(5)

    with pytest.raises(Interrupted):
        await work()
    assert asyncio.current_task().cancelling() == 0
    await signalled()  # while the machine is taken apart
    await signalled(signal.SIGTERM)
    await asyncio.sleep(0)
    ending.release()


async def test_a_cancellation_of_somebody_else_stays_one():
    ending = Ending()
    with pytest.raises(asyncio.CancelledError), ending.guard():
        raise asyncio.CancelledError
    ending.release()


async def test_handlers_that_the_shell_took_away_are_back_while_the_machine_closes():
    ending = Ending()
    with ending.guard():
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGINT)
    await signalled()
    ending.release()


async def test_no_signals_are_looked_for_outside_the_main_thread():
    async def work():
        ending = Ending()
        with ending.guard():
            pass
        ending.release()
        with held_back():
            pass

    await asyncio.to_thread(asyncio.run, work())


@pytest.fixture
def options(home, apps, monkeypatch):
    monkeypatch.setattr(Registry, "_found", (apps, {}))
    return Options(home_folder=home.root, model="scripted")


async def test_term_ends_in_order(options):
    processes = []

    async def work():
        async with session(options) as running:
            processes.append(await begun(running))
            await asyncio.sleep(10)

    working = asyncio.ensure_future(work())
    while not processes:
        await asyncio.sleep(0.01)
    await signalled(signal.SIGTERM)
    with pytest.raises(Terminated):
        await working
    assert processes[0].exit_code == 143


async def test_the_engine_is_not_freed_within_a_step(options, monkeypatch):
    """Ctrl-C again and again, as somebody does who is in a hurry."""
    stepping, freed_within = threading.Lock(), []
    step, close = ScriptedEngine.step, ScriptedEngine.close

    def slow_step(engine, slices):
        with stepping:
            threading.Event().wait(0.02)
            return step(engine, slices)

    def noted(engine):
        freed_within.append(stepping.locked())
        close(engine)

    monkeypatch.setattr(ScriptedEngine, "step", slow_step)
    monkeypatch.setattr(ScriptedEngine, "close", noted)
    async with session(options) as running:
        process = await begun(running)
        for _ in range(10):
            await signalled()
        await process.ended.wait()
    assert process.exit_code in (130, 137)
    assert freed_within
    assert not any(freed_within)


def test_a_signal_is_held_back_from_c_that_calls_back():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("then"))
    try:
        with held_back():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            heard.append("first")
        assert heard == ["first", "then"]
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_a_model_loads(monkeypatch, home):
    """llama.cpp calls back to log, and what is raised there gets lost."""
    lost, loaded = [], []

    def load(*_, **__):
        @ctypes.CFUNCTYPE(None)
        def log():
            os.kill(os.getpid(), signal.SIGINT)

        log()
        loaded.append(True)

    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    monkeypatch.setattr("llmos.models.catalog.Catalog", lambda _: MagicMock())
    monkeypatch.setattr("llmos.models.prepare.ready", lambda *_, **__: home.models / "x.gguf")
    monkeypatch.setattr("llmos.models.llama.LlamaEngine", load)
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            boot._processor(home, None, 4, 256, "exact", None, lambda *_: None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (loaded, lost) == ([True], [])
