"""The k-th write, flush or truncation of a run fails, for every k: a typed error, nothing lost, and it goes on.

``LLMOS_IO_ERRORS=all python -m pytest tests/memory/test_io_errors.py`` tries every k; otherwise every 29th.
"""

import os
import shutil

import pytest
from llmos.memory.database import Database
from llmos.memory.faults import Full

from .faulty import FULL, SYNC, WRITE, Disk, Trouble
from .scenario import Machine, seen

STEP = 1 if os.environ.get("LLMOS_IO_ERRORS") == "all" else 29
ACTIONS = 10
KINDS = {
    "one write": (WRITE, 1, ("write",)),
    "ten writes": (WRITE, 10, ("write",)),
    "one flush": (SYNC, 1, ("sync",)),
    "three flushes": (SYNC, 3, ("sync",)),
    "a full disk": (FULL, 8, ("write", "truncate")),
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A store with a history, closed."""
    path = tmp_path_factory.mktemp("begun") / "llmos.db"
    machine = Machine(Database(path), 1)
    for _ in range(20):
        machine.act()
    machine.close()
    return path


def act(machine, view):
    """One action; what is to be seen afterwards, and whether it failed."""
    try:
        machine.act()
    except Full:
        assert machine.seen() == view  # nothing of it is there
        return view, True
    return machine.seen(), False


@pytest.mark.parametrize("kind", KINDS)
def test_every_action_is_done_or_fails_as_a_whole_and_later_ones_work(begun, tmp_path, kind):
    code, lasting, among = KINDS[kind]
    first, struck = 1, 0
    while True:
        path = tmp_path / str(first) / "llmos.db"
        path.parent.mkdir()
        shutil.copy(begun, path)
        disk = Disk()
        machine = Machine(Database(path, connect=disk.connect), first)
        disk.trouble = Trouble(first, code, lasting, among)
        view, failures = machine.seen(), 0
        for _ in range(ACTIONS):
            view, failed = act(machine, view)
            failures += failed
        over = disk.trouble.seen < first
        disk.trouble = None
        struck += failures > 0
        for _ in range(3):
            view, failed = act(machine, view)
            assert not failed
        assert seen(machine.database) == view  # what is held in memory has kept step
        killed = tmp_path / "killed"
        shutil.rmtree(killed, ignore_errors=True)
        shutil.copytree(path.parent, killed)  # as after kill -9: the log is there, nothing was closed
        machine.close()
        for found in (path, killed / "llmos.db"):
            again = Database(found)
            assert seen(again) == view
            assert again.check() == []
            again.close()
        if over:
            break
        first += STEP
    assert struck > 0


@pytest.mark.parametrize("code", [WRITE, SYNC, FULL])
@pytest.mark.parametrize("new", [True, False])
def test_a_store_that_cannot_be_opened_now_can_be_opened_later(begun, tmp_path, code, new):
    first, failures, over = 1, 0, False
    while not over:
        path = tmp_path / str(first) / "llmos.db"
        path.parent.mkdir()
        if not new:
            shutil.copy(begun, path)
        disk = Disk()
        disk.trouble = Trouble(first, code, lasting=1000)
        try:
            Database(path, connect=disk.connect).close()
        except Full:
            failures += 1
        over = disk.trouble.seen < first
        again = Database(path)
        assert again.check() == []
        assert bool(seen(again)["journal"]) != new
        again.close()
        first += STEP
    assert failures > 0 or not new  # one that is there already is opened without a write
