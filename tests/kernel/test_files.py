import pytest
from llmos.kernel.files import ProcessFiles
from llmos.memory.faults import BadPath, Damaged, Missing
from llmos.memory.files import FileTree


@pytest.fixture
def files(tmp_path):
    host = tmp_path / "host"
    host.mkdir()
    (host / "a.md").write_text("Shoes: thirty days\nHats: none\n")
    (host / "b.bin").write_bytes(b"\xff\xfe\x00")
    (host / "secret.txt").write_text("not handed in")
    handed = {"in/docs/a.md": host / "a.md", "in/docs/b.bin": host / "b.bin", "in/gone.txt": host / "gone.txt"}
    return ProcessFiles(FileTree(tmp_path / "own"), handed)


def test_what_was_handed_in_is_read_and_listed_beside_the_own_files(files):
    files.write("notes.txt", "mine")
    assert files.read("in/docs/a.md").startswith("Shoes")
    assert [e.path for e in files.listing()] == ["notes.txt", "in/docs/a.md", "in/docs/b.bin"]
    assert [e.path for e in files.listing("in/docs")] == ["in/docs/a.md", "in/docs/b.bin"]
    assert [(line.path, line.line) for line in files.search("DAYS")] == [("in/docs/a.md", 1)]


@pytest.mark.parametrize("path", ["in/docs/a.md", "in/new.txt", "/in/x"])
def test_nothing_handed_in_can_be_changed(files, path):
    with pytest.raises(BadPath):
        files.write(path, "x")
    with pytest.raises(BadPath):
        files.delete(path)


@pytest.mark.parametrize("path", ["in/secret.txt", "in/docs/../../secret.txt", "in/gone.txt", "in"])
def test_only_the_files_that_were_named_are_there(files, path):
    with pytest.raises(Missing):
        files.read(path)


def test_a_file_that_is_no_text_says_where(files):
    with pytest.raises(Damaged, match="byte 0"):
        files.read("in/docs/b.bin")


def test_handing_in_stands_below_its_folder(tmp_path):
    with pytest.raises(BadPath):
        ProcessFiles(FileTree(tmp_path), {"elsewhere/a": tmp_path / "a"})


def test_a_file_can_be_handed_in_later_and_nowhere_else(files, tmp_path):
    files.hand_in("in/late.txt", tmp_path / "host" / "secret.txt")
    assert files.read("in/late.txt") == "not handed in"
    assert "in/late.txt" in [e.path for e in files.listing("in")]
    with pytest.raises(BadPath):
        files.hand_in("late.txt", tmp_path / "host" / "secret.txt")
