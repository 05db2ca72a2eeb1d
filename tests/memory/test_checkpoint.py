"""A process as a file: whole, checked, and under new numbers where the old ones are taken."""

import json
import zipfile
from pathlib import Path

import pytest
from llmos.memory import checkpoint, mail
from llmos.memory.database import Database
from llmos.memory.faults import DamagedFile, Missing, MissingFile
from llmos.memory.journal import appending, entries
from llmos.memory.records import Records


def run(database, *writes):
    with database.transaction() as connection:
        return [write(connection) for write in writes]


@pytest.fixture
def lived(database, tmp_path):
    """A store with process 3, its child 4, and others that do not belong to them."""
    records = Records(database)
    handed = tmp_path / "data.csv"
    handed.write_text("a,b\n")
    common = {"owner": "me", "app": "chat", "args": {}, "priority": "normal", "started": 5.0, "model": "m"}
    run(
        database,
        records.entering(3, parent=None, handed={"in/data.csv": str(handed)}, **common),
        records.entering(4, parent=3, spawned=2, **common),
        records.entering(9, parent=None, **common),
        appending(3, "now", {}), appending(3, "run", {"goal": "x"}), appending(9, "now", {}),
    )  # fmt: skip
    outer = entries(database, 3)[1].id
    run(
        database,
        appending(3, "count", {"text": "y"}, outer),
        appending(4, "now", {}),
        lambda connection: mail.put(connection, 3, 9, {"hello": [1]}),
        lambda connection: connection.execute("INSERT INTO contexts VALUES (3, '{}')"),
    )
    return database


@pytest.fixture
def elsewhere(tmp_path):
    found = Database(tmp_path / "elsewhere.db")
    yield found
    found.close()


def take_in(database, path, folder):
    found = checkpoint.read(path)
    pids = iter(range(Records(database).next_pid(), 1000))
    with database.transaction() as connection:
        return checkpoint.restore(connection, found, lambda: next(pids), folder)


def test_it_comes_out_as_it_went_in_under_new_numbers(lived, elsewhere, tmp_path):
    path = tmp_path / "chat.llmos"
    run(elsewhere, Records(elsewhere).entering(
        1, parent=None, owner="you", app="other", args={}, priority="normal", started=1.0))  # fmt: skip
    assert checkpoint.write(lived, 3, path) == [3, 4]
    pids = take_in(elsewhere, path, tmp_path / "handed")
    assert pids == {3: 2, 4: 3}
    records = Records(elsewhere)
    assert [(r.pid, r.parent) for r in records.alive()] == [(1, None), (2, None), (3, 2)]
    life = records.life(2)
    assert life.aliases == {3: 2, 4: 3}
    (file,) = life.handed.values()
    assert Path(file).read_text() == "a,b\n"
    assert records.life(3).spawned == 2
    first, outer, inner = entries(elsewhere, 2)
    assert (first.call, outer.call, inner.within) == ("now", "run", outer.id)
    assert [message for _, _, message in mail.waiting(elsewhere, 2)] == [{"hello": [1]}]
    assert elsewhere.rows("SELECT pid FROM contexts") == [(2,)]


def test_what_came_before_the_saved_state_stays_behind(lived, elsewhere, tmp_path):
    run(lived, Records(lived).changing(3, saved={"at": 1}, saved_n=2))
    checkpoint.write(lived, 3, tmp_path / "c")
    take_in(elsewhere, tmp_path / "c", tmp_path / "handed")
    assert [entry.call for entry in entries(elsewhere, 1)] == ["run", "count"]
    assert Records(elsewhere).life(1).saved == {"at": 1}


def test_a_child_alone_is_nobodys_child(lived, elsewhere, tmp_path):
    checkpoint.write(lived, 4, tmp_path / "c")
    take_in(elsewhere, tmp_path / "c", tmp_path / "handed")
    assert Records(elsewhere).get(1).parent is None
    assert Records(elsewhere).life(1).spawned is None


def test_what_does_not_live_and_what_is_no_checkpoint(lived, tmp_path):
    run(lived, Records(lived).finishing(9))
    for pid in (9, 77):
        with pytest.raises(Missing, match=f"{pid} does not live"):
            checkpoint.write(lived, pid, tmp_path / "c")
    with pytest.raises(MissingFile):
        checkpoint.read(tmp_path / "c")
    (tmp_path / "c").write_bytes(b"no zip at all")
    with pytest.raises(DamagedFile, match="no sound checkpoint"):
        checkpoint.read(tmp_path / "c")


def test_every_byte_that_is_changed_is_found_or_does_not_matter(lived, tmp_path):
    path = tmp_path / "c"
    checkpoint.write(lived, 3, path)
    whole, sound = path.read_bytes(), checkpoint.read(path)
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            found = checkpoint.read(path)
        except DamagedFile:
            continue
        assert (found.tables, found.model) == (sound.tables, sound.model), place
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedFile):
        checkpoint.read(path)


def test_another_version_of_the_store_is_refused(lived, tmp_path):
    path = tmp_path / "c"
    checkpoint.write(lived, 3, path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(members["manifest.json"])
    members["manifest.json"] = json.dumps({**manifest, "store": manifest["store"] + 1}).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    with pytest.raises(DamagedFile, match="made with a store of version"):
        checkpoint.read(path)
