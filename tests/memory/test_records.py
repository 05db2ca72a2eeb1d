import pytest
from llmos.memory.database import Database
from llmos.memory.faults import Missing
from llmos.memory.pages import Kind, Page, PageStore
from llmos.memory.records import Records


def enter(records: Records, pid: int, **more):
    fields = {"parent": None, "owner": "me", "app": "chat", "args": {"a": 1}, "priority": "normal", "started": 5.0}
    records.open(pid, **(fields | more))


def test_a_process_is_entered_changed_and_found_again(database):
    records = Records(database)
    enter(records, 3)
    records.update(3, state="running", tokens_in=7)
    assert (records.get(3).state, records.get(3).tokens_in, records.get(3).args) == ("running", 7, {"a": 1})
    records.finish(3, state="done", exit_code=0, seconds=1.5)
    assert records.get(3).finished > 5.0
    assert records.listing() == []
    assert [r.exit_code for r in records.listing(everything=True)] == [0]


def test_what_is_not_there_and_what_cannot_change(database):
    records = Records(database)
    enter(records, 3)
    with pytest.raises(Missing, match="4"):
        records.get(4)
    for column in ("owner", "pid", "colour"):
        with pytest.raises(TypeError, match=column):
            records.update(3, **{column: "you"})


def test_a_listing_shows_the_newest_in_order_of_pid(database):
    records = Records(database)
    for pid in (2, 1, 4, 3):
        enter(records, pid)
    records.finish(4)
    assert [r.pid for r in records.listing()] == [1, 2, 3]
    assert [r.pid for r in records.listing(everything=True, limit=2)] == [3, 4]


def test_an_error_may_name_a_file_whose_name_is_no_utf8(database):
    records = Records(database)
    enter(records, 1, args={"file": "caf\udce9"})
    records.finish(1, error="no file caf\udce9")
    assert (records.get(1).args, records.get(1).error) == ({"file": "caf\udce9"}, "no file caf?")


def test_pids_go_on_and_what_a_dead_run_left_is_lost(path):
    first = Database(path)
    records = Records(first)
    assert records.next_pid() == 1
    for pid in (41, 7):
        enter(records, pid)
    records.finish(7, state="done")
    for pid in (41, 7):
        PageStore(first, pid).put([Page("p1", "user", Kind.DIALOGUE, "text", 1, 1)])
    first.close()
    second = Database(path)
    records = Records(second)
    assert records.next_pid() == 42
    assert (records.get(41).state, records.get(7).state) == ("lost", "done")
    assert records.listing() == []
    assert second.rows("SELECT pid FROM pages") == [(7,)]
    second.close()


def test_looking_from_another_terminal_changes_nothing(path, database):
    enter(Records(database), 1)
    looking = Database(path, read_only=True)
    assert [r.state for r in Records(looking, writer=False).listing()] == ["ready"]
    looking.close()
