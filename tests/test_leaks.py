"""The check after every test sees each kind of thing that a test can leave behind."""

import asyncio
import subprocess
import sys
from contextlib import contextmanager

import pytest


@contextmanager
def running(*command):
    """A program that runs until the block is left."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield child
    finally:
        child.communicate()


async def test_a_process_that_has_ended_leaves_nothing(bench, whats_left):
    async def main(sys):
        await sys.write("a.txt", "hello")
        await sys.generate("hello")

    await bench.run(main)
    assert whats_left(bench) == []


async def test_a_living_process_is_seen(bench, whats_left):
    leave = asyncio.Event()

    async def main(sys):
        await leave.wait()

    process = bench.start(main)
    assert whats_left(bench) == [f"process {process.pid} is {process.state.value}"]
    leave.set()
    await process.ended.wait()


async def test_work_and_streams_are_seen(bench, whats_left, monkeypatch):
    with monkeypatch.context() as planted:
        planted.setattr(bench.machine.scheduler, "_work", [None])
        planted.setattr(bench.machine.scheduler.streams, "in_use", lambda: 2)
        assert whats_left(bench) == ["work in the scheduler", "2 streams"]


async def test_pages_are_seen(bench, whats_left):
    database = bench.machine.parts.database
    into = "INSERT INTO pages (pid, handle, role, kind, label, text, tokens, place)"
    database.run(f"{into} VALUES (9, 'h', 'user', 'text', 'trusted', 'words', 1, 0)")
    assert whats_left(bench) == ["1 pages"]
    database.run("DELETE FROM pages")


async def test_content_that_no_file_has_is_seen(bench, whats_left):
    bench.machine.parts.database.run("INSERT INTO chunks VALUES (x'00', 0, x'00')")
    assert whats_left(bench) == ["1 chunks of no file"]
    bench.machine.parts.files.sweep()
    assert whats_left(bench) == []


@pytest.mark.parametrize(
    "command",
    [("cat",), (sys.executable, "-c", "input()", "llmos.models.trial"), ("sh", "-c", "read line", "bwrap")],
)  # fmt: skip
async def test_any_program_is_seen(bench, whats_left, command):
    with running(*command) as child:
        (left,) = whats_left(bench)
        assert left.startswith(f"child program {child.pid}: ")
    assert whats_left(bench) == []


def test_programs_are_looked_for_without_a_machine_too(programs_left):
    with running("cat") as child:
        assert programs_left() == [f"child program {child.pid}: cat"]


def test_programs_of_this_python_itself_are_no_leak(programs_left):
    import multiprocessing

    multiprocessing.get_context("spawn").Lock()  # starts the tracker, which stays until Python ends
    assert programs_left() == []
