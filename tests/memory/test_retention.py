import sqlite3
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.memory import retention
from llmos.memory.database import Database
from llmos.memory.journal import appending
from llmos.memory.journal import entries as entries_of
from llmos.memory.migrations import scripts
from llmos.memory.records import Records
from llmos.memory.retention import Keep, outlived, remove, shrink

DAY = 86_400


def enter(database, pid, *, parent=None, ended=None, entries=0, text="x"):
    """A process that ended so many seconds after 0, or lives, with a journal."""
    records = Records(database)
    with database.transaction() as connection:
        records.entering(
            pid, parent=parent, owner="ann", app="a", args={}, priority="normal", started=0.0, limits={}, rights=[]
        )(connection)
        for _ in range(entries):
            appending(pid, "print", {"text": text}, None)(connection)
        if ended is not None:
            records.changing(pid, finished=ended, state="done", exit_code=0)(connection)


def pids(database):
    return [pid for (pid,) in database.rows("SELECT pid FROM processes ORDER BY pid")]


def gone(database, keep, now=1000.0):
    trees = outlived(database, keep, now)
    for _ in remove(database, trees):
        pass
    return [pid for tree in trees for pid in tree.pids]


def test_by_age(database):
    for pid, ended in enumerate((0, DAY, 2 * DAY, 3 * DAY, 3 * DAY), 1):
        enter(database, pid, ended=ended)
    assert gone(database, Keep(days=1.5), now=3 * DAY) == [1, 2]
    assert pids(database) == [3, 4, 5]


def test_by_number_the_newest_stay(database):
    for pid in range(1, 7):
        enter(database, pid, ended=-pid)  # the last pid ended first
    assert gone(database, Keep(processes=2)) == [5, 4, 3]
    assert pids(database) == [1, 2, 6]


def test_by_size(database):
    for pid in range(1, 5):
        enter(database, pid, ended=pid, entries=10, text="x" * 1000)
    assert gone(database, Keep(size=25_000)) == [1]
    assert database.rows("SELECT DISTINCT pid FROM journal") == [(2,), (3,), (4,)]


def test_without_limits_all_stays(database):
    enter(database, 1, ended=0)
    enter(database, 2, ended=0)
    assert gone(database, Keep(), now=1e12) == []


def test_children_of_the_living_stay(database):
    enter(database, 1)
    enter(database, 2, parent=1, ended=1)
    enter(database, 3, parent=2, ended=1)
    enter(database, 4, ended=1)
    enter(database, 5, parent=4, ended=1)
    enter(database, 6)
    assert gone(database, Keep(processes=0)) == [5, 4]
    assert pids(database) == [1, 2, 3, 6]


def test_no_pid_is_used_again(database):
    for pid in range(1, 4):
        enter(database, pid, ended=pid)
    gone(database, Keep(days=0, processes=0, size=0), now=1e12)
    assert Records(database).next_pid() == 4


def test_a_removal_that_is_broken_off_goes_on_another_time(database, monkeypatch):
    monkeypatch.setattr(retention, "_ENTRIES", 3)
    enter(database, 1, ended=1, entries=10)
    enter(database, 2)
    trees = outlived(database, Keep(processes=0))
    steps = remove(database, trees)
    assert next(steps) == 3
    steps.close()
    assert database.rows("SELECT n FROM journal WHERE pid = 1 ORDER BY n") == [(n,) for n in range(1, 8)]
    assert gone(database, Keep(processes=0)) == [1]
    assert database.rows("SELECT * FROM journal") == []


def test_the_file_becomes_smaller(database, path):
    for pid in range(1, 20):
        enter(database, pid, ended=pid, entries=20, text="x" * 10_000)
    before = path.stat().st_size
    gone(database, Keep(processes=1))
    left = list(shrink(database))
    assert left == sorted(left, reverse=True)
    assert path.stat().st_size < before / 4
    assert database.check() == []


def test_a_store_of_an_earlier_version_can_shrink_too(tmp_path):
    path = tmp_path / "old.db"
    row = "INSERT INTO processes (pid, owner, app, args, priority, state, started, finished)"
    old = sqlite3.connect(path)
    old.executescript(f"{scripts()[0]};{scripts()[1]};PRAGMA user_version = 2;")
    for pid in (1, 2):
        old.execute(f"{row} VALUES ({pid}, 'a', 'b', '{{}}', 'normal', 'done', 1, 2)")
    old.execute("INSERT INTO journal (pid, n, call, args, asked) VALUES (1, 1, 'print', ?, 1)", ("x" * 1_000_000,))
    old.commit()
    old.close()
    database = Database(path)
    assert gone(database, Keep(processes=0)) == [1]
    list(shrink(database))
    database.close()
    assert path.stat().st_size < 500_000


processes = st.lists(
    st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 9)), st.integers(0, 4)), max_size=9
)
limits = st.one_of(st.none(), st.integers(0, 8))


@settings(max_examples=20, deadline=None)
@given(processes, limits, limits, limits)
def test_whatever_goes_no_living_tree_is_touched(tmp_path_factory, found, days, most, size):
    database = Database(tmp_path_factory.mktemp("store") / "llmos.db")
    parents = {}
    for pid, (parent, ended, entries) in enumerate(found, 1):
        parents[pid] = parent if 0 < parent < pid else None
        enter(database, pid, parent=parents[pid], ended=None if ended is None else ended * DAY, entries=entries)
    before = {pid: database.rows("SELECT * FROM journal WHERE pid = ?", (pid,)) for pid in parents}

    def root(pid):
        return pid if parents[pid] is None else root(parents[pid])

    living = {root(pid) for pid, (_, ended, _) in enumerate(found, 1) if ended is None}
    removed = set(gone(database, Keep(days, most, None if size is None else size * 700), now=9 * DAY))
    stayed = pids(database)
    assert removed | set(stayed) == set(parents)
    assert not removed & set(stayed)
    for pid in parents:
        same = database.rows("SELECT * FROM journal WHERE pid = ?", (pid,))
        assert same == (before[pid] if pid in stayed else [])
        assert (pid in removed) == (root(pid) in removed)
    assert not {root(pid) for pid in removed} & living
    assert max(parents, default=0) not in removed
    database.close()


def test_the_size_of_a_process_is_counted_once(database):
    enter(database, 1, ended=1, entries=3)
    enter(database, 2)
    [tree] = outlived(database, Keep(processes=0))
    assert tree.entries == 3
    assert tree.size > 3 * 64
    database.run("DELETE FROM journal")
    assert outlived(database, Keep(processes=0), time.time()) == [tree]


def test_what_came_before_a_saved_state_goes_when_it_is_old(database):
    enter(database, 1, entries=3000)
    enter(database, 2, entries=5)
    with database.transaction() as connection:
        connection.execute("UPDATE journal SET asked = n")
        connection.execute("UPDATE journal SET asked = 9000 WHERE n = 2900")
        Records(database).changing(1, saved={"n": 1}, saved_n=2950)(connection)
    assert retention.history(database, None) == retention.history(database, 1, now=0.0) == 0
    now = 5000 + DAY
    assert retention.history(database, 1, now) == 2899  # the one that was made later keeps what follows it
    for _ in retention.forget_history(database, 1, now):
        pass
    assert [entry.n for entry in entries_of(database, 1)] == list(range(2900, 3001))
    assert len(entries_of(database, 2)) == 5
    assert database.check() == []
