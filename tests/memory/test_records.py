import pytest
from llmos.memory import mail
from llmos.memory.database import Database
from llmos.memory.faults import Missing
from llmos.memory.pages import Kind, Page, PageStore
from llmos.memory.records import Records


def run(database, write):
    with database.transaction() as connection:
        return write(connection)


def enter(database, pid: int, **more):
    fields = {"parent": None, "owner": "me", "app": "chat", "args": {"a": 1}, "priority": "normal", "started": 5.0}
    run(database, Records(database).entering(pid, **(fields | more)))


def test_a_process_is_entered_changed_and_found_again(database):
    records = Records(database)
    enter(database, 3)
    run(database, records.changing(3, state="running", tokens_in=7))
    assert (records.get(3).state, records.get(3).tokens_in, records.get(3).args) == ("running", 7, {"a": 1})
    assert [r.pid for r in records.alive()] == [3]
    run(database, records.finishing(3, exit_code=0, seconds=1.5))
    assert records.get(3).finished > 5.0
    assert records.listing() == records.alive() == []
    assert [r.exit_code for r in records.listing(everything=True)] == [0]


def test_what_it_needs_to_go_on_comes_out_as_it_went_in(database):
    records = Records(database)
    enter(
        database, 3, rights=["model:use"], limits={"tokens": 7, "seconds": None}, stdin="in \udce9", spawned=4,
        handed={"in/a": "/tmp/a"}, model="m",
    )  # fmt: skip
    run(database, records.using(3, {"computed": 8}))
    run(database, records.using(3, {"computed": 9}))
    run(database, records.changing(3, stopped=True, saved={"at": [1]}, saved_n=5,
                                   counts={"now": 2}, aliases={7: 3}))  # fmt: skip
    life = records.life(3)
    assert (life.rights, life.limits, life.stdin) == (["model:use"], {"tokens": 7, "seconds": None}, "in ?")
    assert (life.spawned, life.handed, life.model, life.stopped) == (4, {"in/a": "/tmp/a"}, "m", True)
    assert (life.saved, life.saved_n, life.counts, life.aliases) == ({"at": [1]}, 5, {"now": 2}, {7: 3})
    assert (life.usage, life.result, life.fault, life.collected) == ({"computed": 9}, None, None, False)


def test_what_ends_leaves_no_pages_and_no_mail(database):
    enter(database, 1)
    PageStore(database, 1).put([Page("p1", "user", Kind.DIALOGUE, "text", 1, 1)])
    run(database, lambda connection: mail.put(connection, 1, 2, "hello"))
    run(database, Records(database).finishing(1, result={"a": 1}, fault={"code": "x"}))
    assert database.rows("SELECT * FROM pages") == database.rows("SELECT * FROM mail") == []
    assert (Records(database).life(1).result, Records(database).life(1).fault) == ({"a": 1}, {"code": "x"})


def test_what_is_not_there_and_what_cannot_change(database):
    records = Records(database)
    enter(database, 3)
    with pytest.raises(Missing, match="4"):
        records.get(4)
    for column in ("owner", "pid", "colour"):
        with pytest.raises(TypeError, match=column):
            records.changing(3, **{column: "you"})


def test_a_listing_shows_the_newest_in_order_of_pid(database):
    records = Records(database)
    for pid in (2, 1, 4, 3):
        enter(database, pid, parent=1 if pid > 2 else None)
    run(database, records.finishing(4))
    assert [r.pid for r in records.listing()] == [1, 2, 3]
    assert [r.pid for r in records.listing(everything=True, limit=2)] == [3, 4]
    assert [r.pid for r in records.children(1)] == [3, 4]


def test_an_error_may_name_a_file_whose_name_is_no_utf8(database):
    records = Records(database)
    enter(database, 1, args={"file": "caf\udce9"})
    run(database, records.finishing(1, error="no file caf\udce9"))
    assert (records.get(1).args, records.get(1).error) == ({"file": "caf\udce9"}, "no file caf?")


def test_pids_go_on_and_what_lived_is_still_alive(path):
    first = Database(path)
    assert Records(first).next_pid() == 1
    for pid in (41, 7):
        enter(first, pid)
    run(first, Records(first).finishing(7))
    first.close()
    second = Database(path)
    assert Records(second).next_pid() == 42
    assert [r.pid for r in Records(second).alive()] == [41]
    second.close()


def test_letters_come_out_in_order_and_can_be_put_back(database):
    first, second = (run(database, lambda c, text=text: mail.put(c, 5, 2, text)) for text in ("one", {"two": 2}))
    assert mail.waiting(database, 5) == [(first, 2, "one"), (second, 2, {"two": 2})]
    run(database, lambda connection: mail.take(connection, first))
    assert mail.waiting(database, 5) == [(second, 2, {"two": 2})]
    for _ in range(2):
        run(database, lambda connection: mail.put_back(connection, 5, (first, 2, "one")))
    assert [number for number, _, _ in mail.waiting(database, 5)] == [first, second]


def test_looking_from_another_terminal_changes_nothing(path, database):
    enter(database, 1)
    looking = Database(path, read_only=True)
    assert [r.state for r in Records(looking).listing()] == ["ready"]
    looking.close()
