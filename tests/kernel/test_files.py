import pytest
from llmos.kernel.files import ProcessFiles
from llmos.memory.database import Database
from llmos.memory.faults import BadPath, Damaged, Missing
from llmos.memory.files import FileStore, FileTree


@pytest.fixture
def store(tmp_path):
    database = Database(tmp_path / "llmos.db")
    yield FileStore(database)
    database.close()


@pytest.fixture
def files(store, tmp_path):
    host = tmp_path / "host"
    host.mkdir()
    (host / "a.md").write_text("Shoes: thirty days\nHats: none\n")
    (host / "b.bin").write_bytes(b"\xff\xfe\x00")
    (host / "secret.txt").write_text("not handed in")
    handed = {"in/docs/a.md": host / "a.md", "in/docs/b.bin": host / "b.bin", "in/gone.txt": host / "gone.txt"}
    return ProcessFiles(FileTree(store, "ann", "shop", 7), None, handed)


def make(store, write):
    with store.database.transaction() as connection:
        write(connection)


def test_what_was_handed_in_is_read_and_listed_beside_the_own_files(files, store):
    make(store, files.writing("notes.txt", "mine"))
    assert files.read("in/docs/a.md").startswith("Shoes")
    assert [e.path for e in files.listing()] == ["notes.txt", "in/docs/a.md", "in/docs/b.bin"]
    assert [e.path for e in files.listing("in/docs")] == ["in/docs/a.md", "in/docs/b.bin"]
    assert [(line.path, line.line) for line in files.search("DAYS")] == [("in/docs/a.md", 1)]
    assert [e.path for e in FileTree(store, "ann").entries()] == ["shop/notes.txt"]


def test_an_app_sees_no_other_apps_files_nor_another_owners(files, store):
    make(store, files.writing("notes.txt", "mine"))
    for other in (FileTree(store, "ann", "bank"), FileTree(store, "bob", "shop")):
        assert other.entries() == []
        with pytest.raises(Missing):
            other.read("notes.txt")


def test_a_change_is_known_by_its_process_and_can_be_taken_back(files, store):
    make(store, files.writing("a.txt", "one", "trusted"))
    make(store, files.writing("a.txt", " two", append=True))
    assert files.labelled("a.txt") == ("one two", "untrusted")
    make(store, files.deleting("a.txt"))
    make(store, files.rolling_back("a.txt", 1))
    make(store, files.renaming("a.txt", "b.txt"))
    make(store, files.tagging("b.txt", ["x", "y"], ["y"]))
    assert files.labelled("b.txt") == ("one", "trusted")
    assert [(v.number, v.size, v.pid) for v in files.versions("b.txt")] == [
        (1, 3, 7),
        (2, 7, 7),
        (3, None, 7),
        (4, 3, 7),
    ]
    assert [e.tags for e in files.listing() if e.path == "b.txt"] == [("x",)]
    assert files.labelled("in/docs/a.md")[1] == "untrusted"


@pytest.mark.parametrize("path", ["in/docs/a.md", "in/new.txt", "/in/x"])
def test_nothing_handed_in_can_be_changed(files, path):
    for prepare in (
        lambda: files.writing(path, "x"), lambda: files.deleting(path), lambda: files.renaming(path, "a"),
        lambda: files.renaming("a", path), lambda: files.rolling_back(path, 1), lambda: files.tagging(path, ["a"]),
        lambda: files.versions(path),
    ):  # fmt: skip
        with pytest.raises(BadPath):
            prepare()


@pytest.mark.parametrize("path", ["in/secret.txt", "in/docs/../../secret.txt", "in/gone.txt", "in"])
def test_only_the_files_that_were_named_are_there(files, path):
    with pytest.raises(Missing):
        files.read(path)


def test_a_file_that_is_no_text_says_where(files):
    with pytest.raises(Damaged, match="byte 0"):
        files.read("in/docs/b.bin")


def test_handing_in_stands_below_its_folder(store, tmp_path):
    with pytest.raises(BadPath):
        ProcessFiles(FileTree(store, "ann", "shop"), None, {"elsewhere/a": tmp_path / "a"})


def test_a_file_can_be_handed_in_later_and_nowhere_else(files, tmp_path):
    files.hand_in("in/late.txt", tmp_path / "host" / "secret.txt")
    assert files.read("in/late.txt") == "not handed in"
    assert "in/late.txt" in [e.path for e in files.listing("in")]
    with pytest.raises(BadPath):
        files.hand_in("late.txt", tmp_path / "host" / "secret.txt")
