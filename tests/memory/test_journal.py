import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from llmos.memory.faults import Full
from llmos.memory.journal import Journal, appending, entries


async def intent(journal, pid, call, args) -> int:
    """Record an intent; its id once that is on disk."""
    return (await asyncio.wrap_future(journal.post(appending(pid, call, args)))).id


async def outcome(journal, pid, entry, ok, reply, writes=()):
    """Record an outcome; returns once that is on disk."""
    await asyncio.wrap_future(journal.post(journal.ending(pid, entry, ok, reply, writes)))


@pytest.fixture
def journal(database):
    found = Journal(database)
    yield found
    found.close()


@pytest.fixture
def gate(database, monkeypatch):
    """Holds the next commit back until it is set; counts commits; raises what is put into ``problem``."""

    class Gate(threading.Event):
        commits = 0
        problem = None
        reached = threading.Event()

    found, transaction = Gate(), database.transaction

    @contextmanager
    def held():
        with transaction() as connection:
            yield connection
            found.reached.set()
            found.wait(5)
            found.commits += 1
            if found.problem:
                raise found.problem

    monkeypatch.setattr(database, "transaction", held)
    return found


async def test_intents_and_outcomes_are_on_disk_in_order(path, journal):
    entry = await intent(journal, 7, "now", {})
    journal.event(7, "signal", {"signal": "STOP"})
    await outcome(journal, 7, entry, True, {"seconds": 1.0})
    other = sqlite3.connect(path)  # another connection sees only what was committed
    assert other.execute("SELECT call, ok FROM journal ORDER BY n").fetchall() == [("now", 1), ("!signal", None)]
    other.close()
    first, second = journal.entries(7)
    assert (first.id, first.n, first.call, first.ok, first.reply) == (entry, 1, "now", True, {"seconds": 1.0})
    assert first.asked <= first.ended
    assert (second.n, second.call, second.args, second.ok, second.reply) == (
        2, "!signal", {"signal": "STOP"}, None, None,
    )  # fmt: skip
    await outcome(journal, 7, await intent(journal, 7, "fail", {}), False, {"code": "denied"})
    assert [entry.ok for entry in journal.entries(7)] == [True, None, False]


async def test_each_process_counts_from_one_and_goes_on_in_the_next_run(database, journal):
    for pid in (1, 2, 1, 1):
        await intent(journal, pid, "now", {})
    again = Journal(database)
    await intent(again, 1, "now", {})
    again.close()
    assert [e.n for e in entries(database, 1)] == [1, 2, 3, 4]
    assert [e.n for e in entries(database, 2)] == [1]


async def test_who_waits_shares_a_commit(journal, gate):
    tasks = [asyncio.create_task(intent(journal, pid, "now", {})) for pid in range(200)]
    await asyncio.sleep(0)
    gate.set()
    numbers = await asyncio.gather(*tasks)
    assert [journal.entries(pid)[0].id for pid in range(200)] == numbers
    assert gate.commits <= 2  # the first may have left alone


async def test_nobody_is_answered_before_the_commit(path, journal, gate):
    task = asyncio.create_task(intent(journal, 1, "now", {}))
    await asyncio.wait([task], timeout=0.05)
    assert not task.done()
    assert sqlite3.connect(path).execute("SELECT count(*) FROM journal").fetchone() == (0,)
    gate.set()
    await task


async def test_an_error_reaches_everybody_who_waits_and_the_journal_goes_on(journal, gate):
    gate.problem = Full("disk full")
    tasks = [asyncio.create_task(intent(journal, 1, "now", {})) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for r in results] == [Full] * 5
    gate.problem = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await intent(journal, 1, "now", {})
    gate.problem = None
    await intent(journal, 1, "now", {})
    assert [e.n for e in journal.entries(1)] == [1]


async def test_who_stops_waiting_takes_nobody_along(journal, gate):
    journal.event(1, "started", {})
    await asyncio.to_thread(gate.reached.wait)  # the next batch gathers behind it
    tasks = [asyncio.create_task(intent(journal, 1, str(n), {})) for n in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [e.call for e in journal.entries(1)] == ["!started", "0", "1", "2"]
    assert results[1:] == [e.id for e in journal.entries(1)[2:]]


def test_closing_writes_what_waits(database):
    journal = Journal(database)
    for number in range(50):
        journal.event(1, "state", {"n": number})
    journal.close()
    journal.close()
    assert [e.args["n"] for e in entries(database, 1)] == list(range(50))
    with pytest.raises(RuntimeError):
        journal.event(1, "late", {})


async def test_long_and_odd_texts_are_kept_whole(journal):
    args = {"text": "\ud800 \x00 \u2028 🙂", "long": "ü" * 1_000_000, "list": [1, None, 2.5]}
    await outcome(journal, 1, await intent(journal, 1, "print", args), True, args)
    (entry,) = journal.entries(1)
    assert entry.args == entry.reply == args


def test_a_full_disk_is_full_and_nothing_is_half_written(database, journal):
    database.run("PRAGMA max_page_count = 60")
    told = []

    async def fill():
        for number in range(1000):
            told.append(await intent(journal, 1, "write", {"text": "x" * 4000, "n": number}))

    with pytest.raises(Full):
        asyncio.run(fill())
    kept = journal.entries(1)
    assert [e.id for e in kept] == told
    assert [e.n for e in kept] == list(range(1, len(told) + 1))


CRASH = """
import asyncio, os, signal, sys
from pathlib import Path
from llmos.memory.database import Database
from llmos.memory.journal import Journal, appending
journal = Journal(Database(Path(sys.argv[1])))
async def work(pid):
    for turn in range(1000):
        asked = await asyncio.wrap_future(journal.post(appending(pid, "now", {"turn": turn})))
        os.write(1, f"{asked.id}\\n".encode())
        if turn == 7 and pid == 3:
            os.kill(os.getpid(), signal.SIGKILL)
async def main():
    await asyncio.gather(*(work(pid) for pid in range(1, 6)))
asyncio.run(main())
"""


def test_what_was_told_survives_a_kill(path, database):
    found = subprocess.run([sys.executable, "-c", CRASH, str(path)], capture_output=True, check=False)
    assert found.returncode == -signal.SIGKILL, found.stderr
    told = {int(line) for line in found.stdout.split()}
    kept = {number for (number,) in database.rows("SELECT id FROM journal")}
    assert len(told) >= 8
    assert told <= kept
