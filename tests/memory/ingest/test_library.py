"""A collection follows the files it was made from, whatever breaks off in between."""

import os
import random
import sqlite3
import threading
from pathlib import Path
from typing import ClassVar

import llmos
import pytest
from llmos.memory.database import Database
from llmos.memory.embedder import StaticEmbedder
from llmos.memory.faults import BadPath, Damaged, Held, Missing
from llmos.memory.ingest import adding, exchange
from llmos.memory.ingest.adding import Wanted
from llmos.memory.ingest.library import Library
from llmos.memory.ingest.shelf import Place
from llmos.memory.recall import Recall

pytestmark = pytest.mark.programs
ME = {"owner": "me", "app": "memory"}


class Counting(StaticEmbedder):
    """The shipped embedder; keeps what it embedded."""

    embedded: ClassVar[list[str]] = []

    def embed(self, texts):
        self.embedded += texts
        return super().embed(texts)


EMBEDDER = Counting(Path(llmos.__file__).parent / "models" / "shipped" / "embedder.npz")


class Desk:
    """A library on a database, and a folder of files."""

    def __init__(self, path, folder):
        self.folder = folder
        self.now = 1e10  # long after the files were written, so that they are taken to rest
        self.open(path)

    def open(self, path):
        self.path = path
        self.database = Database(path)
        self.recall = Recall(self.database, EMBEDDER)
        self.library = Library(self.database, self.recall, lambda: self.now)

    def close(self):
        self.recall.close()
        self.database.close()

    def write(self, **files):
        for name, text in files.items():
            path = self.folder / f"{name}.md"
            if text is None:
                path.unlink()
            else:
                path.write_text(text)

    def add(self, *paths, collection="default", **how):
        wanted = Wanted(tuple(map(str, paths)) or (str(self.folder),), **how)
        return finish(self.library.add(wanted, Place(**ME, collection=collection)))

    def forget(self, path):
        return finish(self.library.forget(str(path), **ME))

    def texts(self, collection="default"):
        sql = "SELECT p.text FROM passages p JOIN collections c ON c.id = p.collection WHERE c.name = ? ORDER BY p.text"
        return [text for (text,) in self.database.rows(sql, (collection,))]

    def hit(self, text):
        return next(hit for hit in self.recall.search(text, k=100, **ME) if hit.text == text)

    def sound(self):
        """Every passage is held by a source, and every source's passages are there; nothing is under way."""
        seen = "(SELECT id FROM collections WHERE substr(name, 1, 1) != '/')"  # others are being taken apart
        orphans = (
            f"SELECT key FROM passages WHERE collection IN {seen} AND key NOT IN (SELECT key FROM source_passages)"
        )
        dangling = "SELECT key FROM source_passages WHERE key NOT IN (SELECT key FROM passages)"
        parted = "SELECT 1 FROM source_passages p JOIN sources s ON s.id = p.source WHERE p.reading != s.reading"
        return [self.database.rows(sql) for sql in (orphans, dangling, parted)] == [[], [], []]


def finish(steps):
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


@pytest.fixture
def desk(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    made = Desk(tmp_path / "llmos.db", folder)
    yield made
    assert made.sound()
    made.close()


def test_a_second_time_only_what_changed_is_read(desk):
    desk.write(a="# Returns\nThirty days.", b="Nine pounds.", c="At nine.")
    told = desk.add()
    assert (told.added, told.changed, told.unchanged, told.passages) == (3, 0, 0, 3)
    desk.write(b="Ten pounds.")
    embedded = len(EMBEDDER.embedded)
    told = desk.add()
    assert (told.added, told.changed, told.unchanged, told.passages) == (0, 1, 2, 1)
    assert len(EMBEDDER.embedded) == embedded + 1
    assert desk.texts() == ["At nine.", "Ten pounds.", "Thirty days."]
    hit = desk.hit("Thirty days.")
    assert (hit.title, hit.source, hit.meta) == (
        "Returns",
        str(desk.folder / "a.md"),
        {"line": 2, "heading": ["Returns"]},
    )


def test_a_file_that_was_only_touched_is_compared_and_not_embedded(desk, monkeypatch):
    desk.write(a="Thirty days.")
    desk.add()
    os.utime(desk.folder / "a.md", (5, 5))
    told = desk.add()
    assert (told.changed, told.unchanged) == (0, 1)
    assert desk.library.sources(**ME)[0].source.mtime_ns == 5 * 10**9
    monkeypatch.setattr(adding, "read", lambda jobs, most: iter([Exception("read")] * len(list(jobs))))
    assert desk.add().unchanged == 1


def test_a_file_that_changed_just_before_it_was_read_is_compared_again(desk):
    desk.write(a="Thirty days.")
    path = desk.folder / "a.md"
    desk.now = path.stat().st_mtime + 0.001
    desk.add()
    times = path.stat()
    path.write_text("Forty! days.")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert desk.add().changed == 1
    desk.now = 1e10
    desk.add()
    path.write_text("Fifty! days.")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert desk.add().changed == 0
    assert desk.add(thorough=True).changed == 1
    assert desk.texts() == ["Fifty! days."]


def test_the_same_text_in_two_files_is_one_passage_until_the_last_goes(desk):
    desk.write(a="# A\nThe same.", b="# B\nThe same.")
    desk.add()
    assert desk.texts() == ["The same."]
    hit = desk.hit("The same.")
    assert (hit.source, hit.title) == (str(desk.folder / "a.md"), "A")
    names = desk.library.also_in(Place(**ME), [hit.key])[hit.key]
    assert names == [str(desk.folder / "a.md"), str(desk.folder / "b.md")]
    assert [listed.passages for listed in desk.library.sources(**ME)] == [1, 1]
    assert desk.forget(desk.folder / "a.md") == 1
    hit = desk.hit("The same.")
    assert (hit.source, hit.title) == (str(desk.folder / "b.md"), "B")
    desk.write(a=None, b="Another.")
    desk.add()
    assert desk.texts() == ["Another."]


def test_a_text_that_two_files_lose_at_the_same_time_is_forgotten(desk):
    desk.write(a="The same.", b="The same.")
    desk.add()
    desk.write(a="One.", b="Two.")
    desk.add()
    assert desk.texts() == ["One.", "Two."]


def test_tags_and_labels_are_those_of_all_files_that_hold_a_text(desk):
    desk.write(a="The same.", b="The same.")
    desk.add(desk.folder / "a.md", tags=("x",), label="trusted")
    assert (desk.hit("The same.").tags, desk.hit("The same.").label) == (("x",), "trusted")
    desk.add(desk.folder / "b.md", tags=("y",))
    assert (desk.hit("The same.").tags, desk.hit("The same.").label) == (("x", "y"), "untrusted")
    desk.add(desk.folder / "b.md", tags=(), label="trusted")
    assert (desk.hit("The same.").tags, desk.hit("The same.").label) == (("x",), "trusted")


def test_a_file_that_is_gone_is_told_and_forgotten_only_when_asked(desk):
    desk.write(a="One.", b="Two.")
    desk.add()
    desk.write(b=None)
    gone = str(desk.folder / "b.md")
    told = desk.add()
    assert (told.vanished, told.forgotten, desk.texts()) == ([gone], 0, ["One.", "Two."])
    told = desk.add(prune=True)
    assert (told.vanished, told.forgotten, desk.texts()) == ([gone], 1, ["One."])
    assert desk.add(prune=True).vanished == []


def test_only_what_was_looked_for_and_not_found_is_gone(desk):
    (desk.folder / "in").mkdir()
    (desk.folder / "in" / "c.md").write_text("Three.")
    (desk.folder / ".hidden.md").write_text("Hidden.")
    desk.write(a="One.")
    desk.add(desk.folder, desk.folder / ".hidden.md")
    assert desk.add().vanished == []  # hidden, but there
    (desk.folder / "in" / "c.md").unlink()
    assert desk.add(desk.folder / "a.md", prune=True).vanished == []
    os.rename(desk.folder, desk.folder.with_name("away"))
    told = desk.add(prune=True)  # the folder may be on a disk that is not mounted
    assert (told.vanished, [s.code for s in told.skipped]) == ([], ["missing"])
    assert len(desk.texts()) == 3


def test_a_renamed_file_is_not_embedded_again(desk):
    desk.write(a="# T\nOne.")
    desk.add()
    count = len(EMBEDDER.embedded)
    os.rename(desk.folder / "a.md", desk.folder / "b.md")
    desk.add(prune=True)
    assert [listed.source.name for listed in desk.library.sources(**ME)] == [str(desk.folder / "b.md")]
    assert desk.hit("One.").source == str(desk.folder / "b.md")
    assert len(EMBEDDER.embedded) <= count + 2  # its row names the new source, its vector is that of its text


def test_what_cannot_be_read_keeps_what_was_read_before(desk):
    desk.write(a="One.", b="Two.")
    desk.add()
    (desk.folder / "a.md").write_bytes(b"\0\0\0")
    (desk.folder / "new.md").write_bytes(b"\0")
    (desk.folder / "e.md").touch()
    told = desk.add(desk.folder, desk.folder / "new.md")
    assert {(os.path.basename(s.name), s.code, s.failed) for s in told.skipped} == {
        ("a.md", "binary", False), ("new.md", "binary", False), ("e.md", "empty", False),
    }  # fmt: skip
    assert desk.texts() == ["One.", "Two."]
    assert desk.add(desk.folder / "new.md").skipped[0].failed
    desk.write(a="New.")
    assert desk.add().changed == 1
    assert desk.texts() == ["New.", "Two."]


def test_a_file_that_fails_in_its_midst_leaves_nothing(desk, monkeypatch):
    monkeypatch.setattr(adding, "_TOGETHER", 20)
    lines = "\n".join(f'{{"text": "{n} {"word " * 150}"}}' for n in range(200))
    (desk.folder / "a.jsonl").write_text(lines)
    assert desk.add().passages == 200
    (desk.folder / "a.jsonl").write_text(lines.replace("word", "other") + '\n{"a": "' + "x" * 2**23)
    told = desk.add(most=2**24)
    assert [s.code for s in told.skipped] == ["damaged"]
    assert len(desk.texts()) == 200
    assert "word" in desk.texts()[0]


@pytest.mark.parametrize("seed", range(12))
def test_broken_off_anywhere_it_is_put_right_by_the_next_add(desk, monkeypatch, seed):
    """Files change at random; each add is broken off at a random write to the store, as by a kill."""
    chance = random.Random(seed)
    monkeypatch.setattr(adding, "_TOGETHER", 3)

    class Killed(BaseException):
        pass

    transaction = Database.transaction

    def fragile(database):
        if threading.current_thread() is threading.main_thread() and chance.random() < 0.12:
            raise Killed
        return transaction(database)

    expected = {}
    for _ in range(6):
        for name in "abcdef":
            if chance.random() < 0.5:
                expected[name] = [f"Text {chance.randrange(9)}." for _ in range(chance.randrange(1, 4))]
                desk.write(**{name: "\n\n".join(f"# {n}\n{text}" for n, text in enumerate(expected[name]))})
        monkeypatch.setattr(Database, "transaction", fragile)
        try:
            desk.add(tags=("x",) if chance.random() < 0.3 else ())
        except Killed:
            pass
        finally:
            monkeypatch.setattr(Database, "transaction", transaction)
        desk.close()
        desk.open(desk.path)
    desk.add()
    assert desk.texts() == sorted({text for texts in expected.values() for text in texts})
    assert desk.sound()
    for text in desk.texts():
        assert text in (desk.folder / os.path.basename(desk.hit(text).source)).read_text()
    assert desk.forget(desk.folder) == len(expected)
    assert desk.texts() == []


def test_ctrl_c_keeps_what_was_read_and_the_next_add_goes_on(desk, monkeypatch, programs_left):
    monkeypatch.setattr(adding, "_TOGETHER", 5)
    monkeypatch.setattr(adding, "_BEAT", 0)
    desk.write(**{f"n{n:03}": f"Number {n}." for n in range(60)})
    steps = desk.library.add(Wanted((str(desk.folder),)), Place(**ME))
    while next(steps).passages < 30:
        pass
    steps.close()
    assert programs_left() == []
    assert 25 <= len(desk.texts()) < 60
    told = desk.add()
    assert told.unchanged >= 25
    assert len(desk.texts()) == 60


def test_two_do_not_add_at_the_same_time_and_others_search_meanwhile(desk):
    desk.write(a="One.")
    steps = desk.library.add(Wanted((str(desk.folder),)), Place(**ME))
    next(steps)
    other = Library(desk.database, desk.recall)
    with pytest.raises(Held, match="being added already"):
        finish(other.add(Wanted((str(desk.folder),)), Place(**ME)))
    assert desk.recall.search("One.", **ME) == []
    thread = threading.Thread(target=steps.close)  # as when a client goes away
    thread.start()
    thread.join()
    assert desk.add().added == 1


def test_a_name_that_no_collection_can_have(desk):
    with pytest.raises(BadPath, match="a/b"):
        desk.add(collection="a/b")


def test_single_passages_and_whole_collections_are_forgotten(desk):
    desk.write(a="# A\nOne.\n# B\nTwo.", b="# A\nOne.")
    desk.add()
    desk.add(collection="other")
    assert desk.library.forget_passage(desk.hit("One.").handle, **ME) == 1
    assert desk.library.forget_passage("nowhere/x", **ME) == 0
    assert desk.texts() == ["Two."]
    assert desk.library.empty(Place(**ME, collection="other")) == 2
    assert desk.texts("other") == []
    assert desk.library.collections(**ME) == ["default"]
    assert desk.add(collection="other").added == 2


def test_the_passages_of_a_file_and_of_a_folder(desk):
    desk.write(a="# A\nOne.\n# B\nTwo.", b="One.")
    desk.add()
    a, b, both = (desk.library.keys(str(desk.folder / name), **ME) for name in ("a.md", "b.md", ""))
    assert len(a) == len(both) == 2
    assert set(b) < set(a)
    assert desk.library.keys(str(desk.folder / "c.md"), **ME) is None
    assert [hit.text for hit in desk.recall.search("Two.", keys=b, **ME)] == ["One."]


def damage(path, sql):
    """Change rows as a broken disk would: their digests do not change with them."""
    other = sqlite3.connect(path)
    other.create_function("digest", -1, lambda *_: 7, deterministic=True)
    other.execute(sql)
    other.commit()
    other.close()


def test_notes_that_are_damaged_are_found_and_their_files_read_again(desk):
    desk.write(a="# A\nOne.\n# B\nTwo.", b="# B\nTwo.", c="Four.", d="Five.")
    desk.add()
    assert desk.library.check() == []
    a, b, c, _ = (str(desk.folder / f"{name}.md") for name in "abcd")
    damage(desk.path, f"UPDATE sources SET size = size + 1 WHERE name = '{a}'")
    damage(
        desk.path, f"UPDATE source_passages SET title = 'Z' WHERE source = (SELECT id FROM sources WHERE name = '{b}')"
    )
    desk.recall.forget([desk.hit("Four.").handle], **ME)
    wrong = desk.library.check()
    assert [a in wrong[0], wrong[1][:7], wrong[2]] == [True, "1 notes", f"1 passages of {c} are not there"]
    assert "Z" not in {hit.title for hit in desk.recall.search("Two.", **ME)}
    assert desk.library.mend() == [a, b, c]
    assert desk.library.check() == []
    told = desk.add()
    assert (told.added, told.changed, told.unchanged) == (1, 2, 1)
    assert desk.texts() == ["Five.", "Four.", "One.", "Two."]


@pytest.fixture
def elsewhere(tmp_path):
    made = Desk(tmp_path / "elsewhere.db", tmp_path / "docs")
    yield made
    assert made.sound()
    made.close()


def moved(desk, path, **how):
    return finish(desk.library.take_in(path, **ME, **how))


def test_what_is_exported_is_the_same_elsewhere(desk, elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "_TOGETHER", 2)
    desk.write(a="# A\nThe same.\n# B\nOne.", b="# C\nThe same.", c="Grüße aus 東京.")
    desk.add(tags=("x", "y"))
    desk.add(desk.folder / "c.md", collection="other", label="trusted")
    file = tmp_path / "memory.jsonl"
    told = finish(desk.library.export(file, **ME))
    assert (told.passages, told.sources) == (4, 4)
    for _ in range(2):
        told = moved(elsewhere, file)
        assert (told.passages, told.sources) == (4, 4)
        for collection in ("default", "other"):
            assert elsewhere.texts(collection) == desk.texts(collection)
        assert elsewhere.hit("The same.") == desk.hit("The same.").__class__(
            **{**vars(desk.hit("The same.")), "created": elsewhere.hit("The same.").created}
        )
    assert elsewhere.add(tags=("x", "y")).unchanged == 3
    assert elsewhere.forget(desk.folder / "a.md") == 1
    assert elsewhere.texts() == ["Grüße aus 東京.", "The same."]
    moved(elsewhere, file, collection="all")
    assert len(elsewhere.texts("all")) == 3
    assert list(tmp_path.glob(".*")) == []


def test_nothing_is_taken_from_a_file_that_is_not_whole(desk, elsewhere, tmp_path):
    desk.write(a="One.", b="Two.")
    desk.add()
    file = tmp_path / "memory.jsonl"
    finish(desk.library.export(file, **ME))
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    bad = [
        whole[:-1], b"".join(lines[:-1]), b"".join([lines[0], *lines[2:]]), whole.replace(b"One.", b"On3."), b"",
        b"{}\n", b"\xff\xfe\n", whole + b"{}\n", whole.replace(b'"version": 1', b'"version": 9'),
    ]  # fmt: skip
    for data in bad:
        file.write_bytes(data)
        with pytest.raises(Damaged):
            moved(elsewhere, file)
    assert elsewhere.library.collections(**ME) == []
    with pytest.raises(FileNotFoundError):
        moved(elsewhere, tmp_path / "nope")
    with pytest.raises(Missing, match="nothing to export"):
        finish(elsewhere.library.export(file, **ME))
