import random
from hashlib import blake2b

import pytest
from llmos.memory.faults import Damaged, Full, Missing
from llmos.memory.files import FileStore, FileTree, Retention
from llmos.memory.files.store import STEP

RANDOM = random.Random(2)


def noise(size):
    return RANDOM.randbytes(size)


def test_content_is_stored_once_and_a_version_costs_what_changed(tree, database, chunks):
    data = noise(1_000_000)
    tree.write("a", data)
    count = chunks()
    FileTree(tree.store, "bob").write("copy", data)
    assert chunks() == count
    tree.write("a", data[:500_000] + b"a word" + data[500_000:])
    assert chunks() - count < 4
    (entry,) = tree.entries()
    assert entry.stored < 1_200_000


def test_text_is_compressed_and_noise_is_not(tree, database):
    tree.write("text", b"the same words again " * 5000)
    tree.write("noise", noise(100_000))
    (text,), (rest,) = (
        database.one("SELECT sum(length(data)) FROM chunks WHERE packed = ?", (packed,)) for packed in (1, 0)
    )
    assert text < 10_000
    assert rest == 100_000


def test_the_quota_counts_what_is_there_and_older_versions_give_way(database, clock):
    store = FileStore(database, quota=1_000_000, clock=clock)
    tree, other = FileTree(store, "ann", "shop"), FileTree(store, "bob")
    for _ in range(5):
        tree.write("a", noise(600_000))
    assert [v.number for v in tree.versions("a")] == [5]
    for action in (lambda: tree.append("a", noise(500_000)), lambda: tree.write("b", noise(500_000))):
        with pytest.raises(Full, match=r"(a|b): .*fit"):
            action()
    other.write("b", noise(1_000_000))
    tree.delete("a")
    tree.write("b", noise(1_000_000))
    assert [e.path for e in tree.entries()] == ["b"]
    assert tree.entries(deleted=True) == []  # it had to give way


def test_a_file_beyond_the_quota_is_refused_before_all_of_it_is_read(database):
    tree = FileTree(FileStore(database, quota=1_000_000), "ann")
    read = []

    def blocks():
        while True:
            read.append(1)
            yield noise(100_000)

    with pytest.raises(Full, match="1000000 bytes"):
        tree.write("endless", blocks())
    assert len(read) < 30


def test_content_that_gave_way_is_freed_on_the_way(database, clock, chunks):
    tree = FileTree(FileStore(database, quota=1_000_000, clock=clock), "ann")
    for _ in range(30):
        tree.write("a", noise(300_000))
    assert chunks() * 16_384 < 3_000_000


def test_versions_are_kept_for_a_time_and_then_the_newest(tree, clock):
    for number in range(20):
        tree.write("a", b"%d" % number)
        tree.write("b", b"only one")
    clock.pass_days(31)
    tree.write("a", b"20")
    swept = tree.store.sweep(dry_run=True)
    assert tree.store.sweep() == swept
    assert (swept.versions, swept.files) == (11, 0)
    assert [v.number for v in tree.versions("a")] == list(range(12, 22))
    assert [v.number for v in tree.versions("b")] == [1]
    assert tree.store.sweep(Retention(days=0, newest=1)).versions == 9
    assert tree.read("a") == b"20"


def test_a_deleted_file_is_kept_for_a_time_and_then_gone_with_its_folders(tree, clock, database, chunks):
    tree.write("d/e/a", noise(100_000))
    tree.delete("d/e/a")
    tree.write("kept", b"x")
    assert tree.store.sweep().files == 0
    clock.pass_days(31)
    tree.store.sweep()
    swept = tree.store.sweep()
    assert (swept.versions, swept.chunks) == (0, 0)
    assert chunks() == 1
    assert database.one("SELECT count(*) FROM nodes") == (2,)  # the root and the file that is kept
    with pytest.raises(Missing):
        tree.versions("d/e/a")


def test_a_sweep_frees_only_what_nobody_has_or_is_about_to_have(tree, chunks):
    data = noise(5_000_000)
    under_way = tree.writing("big", data)  # mostly on disk by now, in no version
    assert tree.store.sweep().chunks == 0
    tree.make(under_way)
    assert tree.read("big") == data
    del under_way
    abandoned = tree.writing("never", noise(5_000_000))
    del abandoned
    freed = tree.store.sweep()
    assert freed.bytes > 500_000
    assert tree.store.sweep().chunks == 0
    assert tree.read("big") == data


def test_a_version_made_in_the_midst_of_a_sweep_keeps_its_content(tree, chunks):
    data = sorted((noise(100) for _ in range(2 * STEP)), key=lambda content: blake2b(content, digest_size=16).digest())
    for number, content in enumerate(data):
        tree.write(f"{number}", content)
        tree.delete(f"{number}")
    made = []

    def write(share):
        if not made:  # once the sweep has seen what is needed, and before it comes to the last hash
            made.append(share)
            tree.write("last", data[-1])

    tree.store.sweep(Retention(days=-1), on_progress=write)
    assert made
    assert tree.read("last") == data[-1]
    assert chunks() == 1


def test_damage_names_file_and_version_and_the_others_can_be_read(tree, database):
    for number in (1, 2, 3):
        tree.write("d/a.txt", noise(20_000) + b"%d" % number)
    third = tree.read("d/a.txt")
    database.run(
        "UPDATE chunks SET data = CAST(x'00' || substr(data, 2) AS BLOB) WHERE rowid = (SELECT max(rowid) FROM chunks)"
    )
    with pytest.raises(Damaged, match=r"version 3 of d/a\.txt"):
        tree.read("d/a.txt")
    assert tree.read("d/a.txt", 2).endswith(b"2")
    (line,) = tree.store.check()
    assert "version 3 of shop/d/a.txt" in line
    tree.rollback("d/a.txt", 2)
    assert tree.read("d/a.txt").endswith(b"2")
    database.run("DELETE FROM chunks WHERE rowid = (SELECT max(rowid) FROM chunks)")
    tree.write("d/a.txt", third)  # mends it
    assert tree.read("d/a.txt", 3) == third
    assert tree.store.check() == []


@pytest.mark.parametrize("column", ["pieces", "size", "made", "number", "node"])
def test_a_damaged_version_row_is_told(tree, path, column):
    for number in (1, 2):
        tree.write("a.txt", b"%d" % number * 100)
    spoil(path, tree.store.database, "versions", column)
    with pytest.raises(Damaged, match=r"version 2 of a\.txt"):
        tree.read("a.txt")
    assert [e.damaged for e in tree.entries()] == [True]
    if column not in ("number", "node"):
        assert [(v.number, v.damaged) for v in tree.versions("a.txt")] == [(1, False), (2, True)]
    assert tree.read("a.txt", 1) == b"1" * 100


@pytest.mark.parametrize("column", ["tags", "stored", "gone", "current", "created"])
def test_a_damaged_entry_is_told(tree, path, column):
    tree.write("a.txt", b"1")
    tree.write("b.txt", b"2")
    spoil(path, tree.store.database, "nodes", column)
    if column != "gone":
        with pytest.raises(Damaged):
            tree.read("b.txt")
    assert [e.path for e in tree.entries() if e.damaged] == ["b.txt"]
    assert tree.read("a.txt") == b"1"
    assert "b.txt" in tree.store.check()[0]


def spoil(path, database, table, column):
    """Change a column of the newest row, and leave its digest as it was; by editing what SQLite takes for a table."""
    import sqlite3

    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    before, _, after = sql.partition("digest INTEGER AS (")
    plain = before + "digest INTEGER" + after[after.index("STORED") + len("STORED") :]
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (plain, table))
    connection.close()
    connection = sqlite3.connect(path, isolation_level=None)
    changed = {"pieces": "CAST(x'01' || substr(pieces, 2) AS BLOB)", "tags": "'[1]'"}.get(column, f"{column} + 1")
    connection.execute(f"UPDATE {table} SET {column} = {changed} WHERE id = (SELECT max(id) FROM {table})")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, table))
    connection.close()
