"""What SQLite would forget in silence after an unclean end is found before it does."""

import os
import random
import signal
import struct

import pytest
from llmos.memory import wal
from llmos.memory.database import Database
from llmos.memory.faults import Damaged
from llmos.memory.salvage import flaws, salvage

COMMITS = 30


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The files of a store whose writer was killed after so many commits."""
    path = tmp_path_factory.mktemp("killed") / "llmos.db"
    Database(path).close()
    child = os.fork()
    if child == 0:
        try:
            database = Database(path)
            for n in range(COMMITS):
                database.run("INSERT INTO journal (pid, n, call, args, asked) VALUES (1, ?, 'now', '{}', 1)", (n + 1,))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("seal")}


@pytest.fixture
def put(path, killed):
    """``put(bit)``: the store with one bit of its log turned; ``index``: with the index beside it."""

    def make(bit=None, *, index=True):
        for old in path.parent.iterdir():
            old.unlink()
        for name, data in killed.items():
            changed = bytearray(data)
            if bit is not None and name.endswith("-wal"):
                changed[bit // 8] ^= 1 << bit % 8
            if index or not name.endswith("-shm"):
                path.with_name(name).write_bytes(changed)
        return path

    return make


def frames(killed):
    log = killed["llmos.db-wal"]
    return (len(log) - wal.HEADER) // (wal.FRAME + 4096)


def count(database):
    return database.one("SELECT count(*) FROM journal")[0]


def test_a_killed_store_is_opened_with_all_that_was_committed(put):
    for index in (True, False):
        database = Database(put(index=index))
        assert count(database) == COMMITS
        assert database.check() == []
        database.close()


def test_every_bit_of_the_log_is_watched(put, killed):
    dice = random.Random(1)
    bits = [*range(0, 56 * 8, 3), *(dice.randrange(len(killed["llmos.db-wal"]) * 8) for _ in range(150))]
    for bit in bits:
        assert wal.forgotten(put(bit)) is not None, bit


def test_without_the_index_only_the_last_transaction_can_be_lost_unseen(put, killed):
    last, size = frames(killed), wal.FRAME + 4096
    log = killed["llmos.db-wal"]
    ends = [n for n in range(last) if struct.unpack_from(">I", log, wal.HEADER + n * size + 4)[0]]
    for frame in range(last):
        told = wal.forgotten(put((wal.HEADER + frame * size + 2000) * 8, index=False))
        assert (told is None) == (frame > ends[-2]), frame


@pytest.mark.parametrize("read_only", [True, False])
def test_who_opens_it_is_told_and_nothing_is_forgotten(put, killed, read_only):
    path = put((wal.HEADER + 3000) * 8)
    for _ in range(2):
        with pytest.raises(Damaged, match="-wal is damaged") as caught:
            Database(path, read_only=read_only)
    assert "--salvage" in caught.value.hint
    assert len(wal.beside(path).read_bytes()) == len(killed["llmos.db-wal"])
    assert len(flaws(path)) == 1


def test_what_was_before_the_damage_can_be_saved_and_the_rest_is_kept(put, killed):
    size = wal.FRAME + 4096
    path = put((wal.HEADER + frames(killed) // 2 * size + 2000) * 8)
    damaged = wal.beside(path).read_bytes()
    (done,) = salvage(path)
    assert "is lost, and kept in" in done
    assert wal.beside(path).with_name("llmos.db-wal-damaged-1").read_bytes() == damaged
    assert flaws(path) == []
    database = Database(path)
    assert 0 < count(database) < COMMITS
    database.close()
    assert salvage(path) == []


def test_a_store_that_is_being_written_is_not_taken_for_a_damaged_one(path):
    database = Database(path)
    for n in range(300):
        database.run("INSERT INTO journal (pid, n, call, args, asked) VALUES (1, ?, 'now', '{}', 1)", (n + 1,))
        assert wal.forgotten(path) is None
        if n % 50 == 0:
            looking = Database(path, read_only=True)
            assert count(looking) == n + 1
            looking.close()
    database.close()


def test_indexes_are_made_anew_from_their_tables(path):
    database = Database(path)
    for n in range(400):
        database.run(
            "INSERT INTO journal (pid, n, call, args, asked) VALUES (?, ?, 'now', '{}', 1)", (n % 5, n // 5 + 1)
        )
    (page,) = database.one("SELECT rootpage FROM sqlite_master WHERE name = 'journal_of_process'")
    database.close()
    data = bytearray(path.read_bytes())
    data[page * 4096 - 3 : page * 4096] = b"\x07\x07\x07"
    path.write_bytes(data)
    with pytest.raises(Damaged):
        Database(path)
    assert salvage(path) == ["the indexes were made anew"]
    database = Database(path)
    assert count(database) == 400
    database.close()
