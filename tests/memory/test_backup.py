import asyncio
import shutil
import sqlite3
import threading

import pytest
from llmos.memory.backup import checked, snapshot
from llmos.memory.database import Database
from llmos.memory.faults import Damaged, Full
from llmos.memory.journal import Journal, appending, entries
from llmos.memory.migrations import scripts


def write(database, pid, count, text="x" * 500):
    with database.transaction() as connection:
        for _ in range(count):
            appending(pid, "print", {"text": text}, None)(connection)


def test_all_that_was_there_is_there(database, path, tmp_path):
    write(database, 1, 100)
    told = []
    snapshot(path, tmp_path / "copy", told.append)
    assert checked(tmp_path / "copy")["journal"] == 100
    assert told[-1] == 1.0
    copy = Database(tmp_path / "copy")
    assert entries(copy, 1) == entries(database, 1)
    copy.close()


async def test_what_was_acknowledged_before_it_began_is_in_it_though_others_write_on(path, tmp_path):
    """Writers without a pause: a copy that began anew with every change would never be done."""
    database = Database(path)
    write(database, 1, 5000)
    journal, stop = Journal(database), asyncio.Event()
    done = [0, 0, 0]

    async def writer(number):
        while not stop.is_set():
            await asyncio.wrap_future(journal.post(appending(number + 2, "print", {"text": "y" * 200}, None)))
            done[number] += 1

    writers = [asyncio.ensure_future(writer(number)) for number in range(3)]
    while min(done) < 5:
        await asyncio.sleep(0.001)
    before = list(done)
    await asyncio.to_thread(snapshot, path, tmp_path / "copy")
    after = list(done)
    stop.set()
    await asyncio.gather(*writers)
    journal.close()
    checked(tmp_path / "copy")
    copy = Database(tmp_path / "copy")
    for number in range(3):
        found = entries(copy, number + 2)
        assert before[number] <= len(found) <= after[number] + 1
        assert [entry.n for entry in found] == list(range(1, len(found) + 1))
    assert len(entries(copy, 1)) == 5000
    assert min(after) > min(before)  # they did write meanwhile
    copy.close()
    database.close()


def test_what_stands_in_the_log_alone_is_in_it(database, path, tmp_path):
    """As after kill -9: nobody has put it into the file yet."""
    write(database, 1, 3)
    left = tmp_path / "left"
    left.mkdir()
    for file in path.parent.glob("llmos.db*"):
        shutil.copy(file, left / file.name)
    assert (left / "llmos.db-wal").stat().st_size > 0
    snapshot(left / "llmos.db", tmp_path / "copy")
    assert checked(tmp_path / "copy")["journal"] == 3


def test_a_copy_that_is_damaged_is_found(database, path, tmp_path):
    write(database, 1, 200)
    copy = tmp_path / "copy"
    snapshot(path, copy)
    data = bytearray(copy.read_bytes())
    place = data.rindex(b"xxxx") // 4096 * 4096
    data[place : place + 64] = b"\xff" * 64
    copy.write_bytes(data)
    with pytest.raises(Damaged, match="damaged"):
        checked(copy)
    copy.write_bytes(b"not a database" * 100)
    with pytest.raises(Damaged):
        checked(copy)


def test_a_store_that_is_damaged_is_not_copied_in_silence(tmp_path):
    (tmp_path / "llmos.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Damaged, match=r"llmos\.db is damaged"):
        snapshot(tmp_path / "llmos.db", tmp_path / "copy")


def test_a_place_that_cannot_be_written(database, path, tmp_path):
    with pytest.raises(Full, match="cannot be written"):
        snapshot(path, tmp_path / "nowhere" / "copy")


def test_a_store_of_an_earlier_version(tmp_path):
    with sqlite3.connect(tmp_path / "llmos.db") as old:
        old.executescript(scripts()[0])
    old.close()
    snapshot(tmp_path / "llmos.db", tmp_path / "copy")
    assert checked(tmp_path / "copy") == {"journal": 0, "pages": 0, "processes": 0}


def test_the_writer_does_not_wait_for_the_copy(database, path, tmp_path):
    write(database, 1, 2000)
    wrote = threading.Event()

    def told(share):
        if not wrote.is_set():
            write(database, 2, 1)
            wrote.set()

    snapshot(path, tmp_path / "copy", told)
    assert wrote.is_set()
    copy = Database(tmp_path / "copy", read_only=True)
    assert copy.rows("SELECT DISTINCT pid FROM journal") == [(1,)]
    copy.close()
