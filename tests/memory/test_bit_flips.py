"""One bit turns in a store: what is read afterwards is the truth, or somebody is told; never a wrong answer in silence.

``LLMOS_FLIPS=1000 python -m pytest tests/memory/test_bit_flips.py`` is the long run: so many for each kind of store.
"""

import os
import random
import signal
from collections import Counter

import pytest
from llmos.memory.database import Database
from llmos.memory.faults import Damaged, MemoryFault
from llmos.memory.recall import Recall
from llmos.memory.salvage import mend

from .scenario import Letters, Machine, put, seen

FLIPS = int(os.environ.get("LLMOS_FLIPS", "15"))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The files of a store whose llmos was killed, the same closed, and all that is to be seen in it."""
    folder = tmp_path_factory.mktemp("stores")
    child = os.fork()
    if child == 0:
        try:
            machine = Machine(Database(folder / "llmos.db"), 3)
            for turn in range(120):
                machine.act()
                if turn == 80:  # some of it in the store itself, some in the log
                    machine.database.rows("PRAGMA wal_checkpoint")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    killed = {path.name: path.read_bytes() for path in folder.iterdir()}
    database = Database(folder / "llmos.db")
    truth = seen(database)
    database.close()
    closed = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(killed) == {"llmos.db", "llmos.db-wal", "llmos.db-shm"}
    assert set(closed) == {"llmos.db", "llmos.db-seal"}
    return {"killed": killed, "closed": closed, "unsealed": {"llmos.db": closed["llmos.db"]}}, truth


def flipped(files, name, bit):
    data = bytearray(files[name])
    data[bit // 8] ^= 1 << bit % 8
    return {**files, name: bytes(data)}


def found(path, truth):
    """What a flip has come to: "told" of it, "same" as ever, or "wrong"."""
    try:
        database = Database(path)
    except MemoryFault:
        return "told"
    try:
        if database.suspect:
            recall = Recall(database, Letters())
            mend(database, recall)
            recall.close()
        view = seen(database)
    except MemoryFault:
        return "told"
    finally:
        database.close()
    return "same" if view == truth else "wrong"


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ("closed", "llmos.db"),
        ("closed", "llmos.db-seal"),
        ("unsealed", "llmos.db"),
        ("killed", "llmos.db"),
        ("killed", "llmos.db-wal"),
        ("killed", "llmos.db-shm"),
    ],
)
def test_a_bit_that_turns_is_told_of_or_harmless(stores, tmp_path, state, name):
    files, truth = stores[0][state], stores[1]
    dice = random.Random(name)
    results = Counter()
    for _ in range(FLIPS):
        bit = dice.randrange(len(files[name]) * 8)
        result = found(put(tmp_path / "found", flipped(files, name, bit)), truth)
        assert result != "wrong", f"bit {bit} of {name}"
        results[result] += 1
    print(f"{state} {name}: {dict(results)}")
    assert results["told"] or (state, name) not in (("closed", "llmos.db"), ("killed", "llmos.db-wal"))


def test_every_bit_of_a_closed_store_is_watched(stores, tmp_path):
    files = stores[0]["closed"]
    dice = random.Random(1)
    for _ in range(FLIPS):
        path = put(tmp_path / "found", flipped(files, "llmos.db", dice.randrange(len(files["llmos.db"]) * 8)))
        try:
            database = Database(path)
        except Damaged:
            continue
        assert database.suspect
        database.close()
