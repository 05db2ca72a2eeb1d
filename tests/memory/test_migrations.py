"""A store of each earlier version, with something in it, is brought up to date and has lost nothing."""

import sqlite3
from importlib.resources import files

import pytest
from llmos.memory.checks import install
from llmos.memory.database import Database
from llmos.memory.faults import Damaged, Full
from llmos.memory.journal import entries
from llmos.memory.mail import waiting
from llmos.memory.migrations import scripts
from llmos.memory.pages import PageStore
from llmos.memory.recall import Recall
from llmos.memory.records import Records

from .scenario import OWNER, Letters

NAMES = sorted(path.name for path in files("llmos.memory.migrations").iterdir() if path.name.endswith(".sql"))

# What a llmos of a version would have written, by the script from which on it would; written where the tables are
# as it knew them, and carried on by the scripts after.
ROWS = {
    "001_processes.sql": """
        INSERT INTO processes (pid, owner, app, args, priority, state, exit_code, started, finished, tokens_in, error)
        VALUES (1, 'ann', 'support', '{"q": "ü"}', 'normal', 'done', 0, 1.5, 2.5, 7, NULL),
               (2, 'ann', 'chat', '{}', 'batch', 'done', 70, 3, 4, 0, 'a crash');
        INSERT INTO journal (pid, n, call, args, asked, ok, reply, ended)
        VALUES (1, 1, 'now', '{}', 1.5, 1, '{"seconds": 1.5}', 1.6),
               (1, 2, '!state', '{"to": "done"}', 2.0, NULL, NULL, NULL),
               (2, 1, 'print', '{"text": "小包"}', 3.0, 0, '{"code": "denied"}', 3.5);
    """,
    "002_passages.sql": """
        INSERT INTO collections (owner, app, name) VALUES ('ann', 'support', 'default');
        INSERT INTO passages (collection, words, created, key, label, source, tags, meta, title, text)
        VALUES (1, 3, 9.0, 'k1', 'untrusted', 'a.md', '["x"]', '{"page": 3}', 'Parcels', 'A late parcel');
        INSERT INTO passage_words (rowid, title, text) VALUES (1, 'Parcels', 'A late parcel');
    """,
    "003_coming_back.sql": """
        INSERT INTO processes (pid, owner, app, args, priority, state, started, rights, saved, saved_n)
        VALUES (3, 'ann', 'chat', '{}', 'normal', 'waiting', 5, '["model:use"]', '{"turn": 4}', 0);
        INSERT INTO mail (pid, sender, message) VALUES (3, 1, '"hello"');
    """,
    "004_context.sql": """
        INSERT INTO pages (pid, handle, role, kind, label, tokens, place, text)
        VALUES (3, 'p1', 'user', 'dialogue', 'trusted', 5, 1, 'what was said');
    """,
}


def store_of(path, version):
    """A store as a llmos of that version left it."""
    connection = sqlite3.connect(path, isolation_level=None)
    install(connection)
    for number, (name, script) in enumerate(zip(NAMES[:version], scripts(), strict=False), 1):
        connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")
        connection.executescript(ROWS.get(name, ""))
    connection.close()


@pytest.mark.parametrize("version", range(1, len(NAMES) + 1))
def test_everything_is_there_in_the_newest_version(path, version):
    store_of(path, version)
    database = Database(path)
    assert database.one("PRAGMA user_version") == (len(NAMES),)
    assert database.check() == []
    has = NAMES[:version].__contains__
    records = Records(database)
    first, second = records.get(1), records.get(2)
    assert (first.args, first.exit_code, first.tokens_in, first.finished) == ({"q": "ü"}, 0, 7, 2.5)
    assert (second.error, second.priority) == ("a crash", "batch")
    assert [(e.n, e.call, e.ok) for e in entries(database, 1)] == [(1, "now", True), (2, "!state", None)]
    assert entries(database, 2)[0].args == {"text": "小包"}
    assert records.next_pid() == (4 if has("003_coming_back.sql") else 3)
    recall = Recall(database, Letters())
    if has("002_passages.sql"):
        (hit,) = recall.search("parcels", **OWNER)
        assert (hit.handle, hit.tags, hit.meta, hit.text) == ("default/k1", ("x",), {"page": 3}, "A late parcel")
    if has("003_coming_back.sql"):
        assert records.life(3).saved == {"turn": 4}
        assert [message for _, _, message in waiting(database, 3)] == ["hello"]
    if has("004_context.sql"):
        assert [page.text for page in PageStore(database, 3).find("p1")] == ["what was said"]
    recall.close()
    database.close()
    Database(path).close()


@pytest.mark.parametrize("version", range(1, len(NAMES)))
def test_a_migration_that_is_broken_off_leaves_the_version_before(path, version, monkeypatch):
    store_of(path, version)
    from llmos.memory import database as module

    broken = tuple(
        f"{script}; INSERT INTO nowhere VALUES (1)" if n == version else script for n, script in enumerate(scripts())
    )
    monkeypatch.setattr(module, "scripts", lambda: broken)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Database(path)
    monkeypatch.undo()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)
    connection.close()
    database = Database(path)
    assert database.check() == []
    assert Records(database).get(1).tokens_in == 7
    database.close()


def test_a_newer_store_is_left_as_it_is(path):
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(NAMES) + 1}")
    connection.close()
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(Damaged, match="newer llmos") as caught:
            Database(path, read_only=read_only)
        assert "upgrade llmos" in caught.value.hint
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"text, and a lot of it " * 400, b"\0" * 8192, b"SQLite format 3\0" + b"\xff" * 8000]
)
def test_a_file_that_is_no_store_is_left_as_it_is(path, content):
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(Damaged):
            Database(path, read_only=read_only)
    assert path.read_bytes() == content


def test_half_a_store_is_damaged(path):
    store_of(path, len(NAMES))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(Damaged):
        Database(path)
    assert path.read_bytes() == content[: len(content) // 2]


def test_a_folder_in_its_place_is_an_error(path):
    path.mkdir()
    with pytest.raises(Full, match="cannot be written"):
        Database(path)
