"""The power goes at every moment of a run: what was acknowledged is there, and nothing is there by half.

``LLMOS_POWER_LOSSES=2000 python -m pytest tests/memory/test_power_loss.py`` is the long run.
"""

import os
import random

import pytest
from llmos.memory.database import Database
from llmos.memory.faults import Damaged
from llmos.memory.journal import appending, entries

from .faulty import Disk
from .scenario import Machine, put, seen

LOSSES = int(os.environ.get("LLMOS_POWER_LOSSES", "40"))
ACTIONS = 40


def history(path, seed, *, careless=False):
    """A run on a disk that writes everything down; what was to be seen after each action; when the actions were."""
    disk = Disk(careless=careless)
    machine = Machine(Database(path, connect=disk.connect), seed)
    views = [machine.seen()]
    begin = len(disk.log)
    for _ in range(ACTIONS):
        machine.act()
        disk.tell(path)
        views.append(machine.seen())
    end = len(disk.log)
    machine.close()
    return disk.log, views, range(begin, end + 1)


def losses(log, views, moments, folder, seed):
    """At how many of the moments something was lost that had been acknowledged, or was there by half."""
    lost = 0
    for moment, files in log.after_power_loss(sorted(moments), seed):
        told = log.told(moment)
        try:
            database = Database(put(folder, files))
        except Damaged:
            lost += 1
            continue
        lost += seen(database) not in views[told : told + 2]
        database.close()
    return lost


@pytest.mark.parametrize("seed", range(max(1, LOSSES // 40)))
def test_what_was_acknowledged_is_there_and_nothing_by_half(path, tmp_path, seed):
    log, views, run = history(path, seed)
    moments = random.Random(seed).sample(run, 40)
    assert losses(log, views, moments, tmp_path / "found", seed) == 0


def test_the_control_a_disk_that_is_not_told_to_flush_loses_something(path, tmp_path):
    log, views, run = history(path, 1, careless=True)
    moments = random.Random(1).sample(run, 20)
    assert losses(log, views, moments, tmp_path / "found", 1) > 0


def test_a_store_that_was_being_made_is_made_anew(path, tmp_path):
    disk = Disk()
    database = Database(path, connect=disk.connect)
    view = seen(database)
    moments = random.Random(5).sample(range(len(disk.log) + 1), 40)
    assert losses(disk.log, [view], moments, tmp_path / "found", 5) == 0
    database.close()


def test_processes_that_share_a_flush_keep_all_that_they_were_told(path, tmp_path):
    disk = Disk()
    machine = Machine(Database(path, connect=disk.connect))
    told = []  # when, and what
    for turn in range(12):
        writes = [machine.journal.post(appending(pid, "now", {"turn": turn})) for pid in range(1, 30)]
        for write in writes:
            asked = write.result(timeout=30)
            told.append((len(disk.log), asked.id))
    moments = random.Random(3).sample(range(told[0][0], len(disk.log) + 1), 40)
    machine.close()
    for moment, files in disk.log.after_power_loss(sorted(moments), 3):
        database = Database(put(tmp_path / "found", files))
        kept = [entry for pid in range(1, 30) for entry in entries(database, pid)]
        assert {number for when, number in told if when <= moment} <= {entry.id for entry in kept}
        assert all(entry.args == {"turn": entry.n - 1} for entry in kept)
        database.close()
