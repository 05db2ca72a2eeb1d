import errno
import os
import threading
import unicodedata

import pytest
from llmos.memory import files
from llmos.memory.faults import BadPath, Damaged, Full, Missing
from llmos.memory.files import DEEPEST, FileTree


@pytest.fixture
def root(tmp_path):
    return tmp_path / "outer" / "tree"


@pytest.fixture
def tree(root):
    return FileTree(root)


def paths(tree, folder=""):
    return [entry.path for entry in tree.entries(folder)]


def on_disk(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*"))


def open_handles():
    return len(os.listdir("/proc/self/fd"))


def test_files_are_written_read_listed_and_deleted(tree):
    tree.write("b/c/notes.txt", b"one")
    tree.write("a.txt", b"two")
    tree.append("a.txt", b" three")
    tree.append("new.txt", b"!")
    assert tree.read("a.txt") == b"two three"
    assert [(e.path, e.size) for e in tree.entries()] == [("a.txt", 9), ("b/c/notes.txt", 3), ("new.txt", 1)]
    assert paths(tree, "b") == paths(tree, "./b/c/") == ["b/c/notes.txt"]
    tree.delete("a.txt")
    assert paths(tree) == ["b/c/notes.txt", "new.txt"]


def test_an_empty_tree_has_no_files(tree, root):
    assert tree.entries() == tree.entries("nowhere") == tree.search("x") == []
    for action in (tree.read, tree.read_text, tree.delete):
        with pytest.raises(Missing, match=r"nothing\.txt"):
            action("nothing.txt")


def test_a_deleted_file_leaves_no_empty_folders_and_spares_the_others(tree, root):
    tree.write("a/b/c.txt", b"")
    tree.write("a/d.txt", b"")
    tree.delete("a/b/c.txt")
    assert on_disk(root) == ["a", "a/d.txt"]
    tree.delete("a/d.txt")
    tree.write("a", b"now a file")
    assert paths(tree) == ["a"]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../x", "a/../../x", "..", ".", "", "/", "a\0b", "a\nb", "\x1b[31m", "C:\\x", "\udc80",
        "n" * 256, "ü" * 128, "/".join("d" * (DEEPEST + 1)), ".llmos-part", "a/.llmos-part",
    ],
)  # fmt: skip
def test_a_path_that_is_none_is_refused(tree, root, path):
    for action in (tree.read, tree.delete, lambda p: tree.write(p, b"x"), lambda p: tree.append(p, b"x")):
        with pytest.raises(BadPath):
            action(path)
    assert paths(tree) == []
    assert not (root.parent / "x").exists()


def test_the_longest_and_deepest_names_work(tree):
    deep = "/".join(["d"] * (DEEPEST - 1) + ["n" * 255])
    tree.write(deep, b"x")
    assert paths(tree) == [deep]
    tree.remove()
    assert paths(tree) == []


def test_names_are_one_however_they_are_composed(tree):
    tree.write("café.txt", b"1")
    assert tree.read(unicodedata.normalize("NFD", "café.txt")) == b"1"
    assert paths(tree) == [unicodedata.normalize("NFC", "café.txt")]


def test_no_link_is_followed(tree, root, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.txt").write_text("secret")
    tree.write("own.txt", b"own")
    (root / "folder").symlink_to(tmp_path / "secret")
    (root / "file").symlink_to(tmp_path / "secret" / "key.txt")
    for action in (
        lambda: tree.read("file"), lambda: tree.read("folder/key.txt"), lambda: tree.delete("folder/key.txt"),
        lambda: tree.write("folder/new.txt", b"x"), lambda: tree.entries("folder"),
    ):  # fmt: skip
        with pytest.raises(BadPath, match="link"):
            action()
    assert paths(tree) == ["own.txt"]
    assert tree.search("secret") == []
    tree.write("file", b"mine")  # takes the link's place
    assert (tmp_path / "secret" / "key.txt").read_text() == "secret"
    assert os.listdir(tmp_path / "secret") == ["key.txt"]


def test_what_is_no_file_is_refused_and_no_handle_is_lost(tree, root):
    tree.write("folder/file", b"x")
    os.mkfifo(root / "pipe")
    before = open_handles()
    for action in (
        lambda: tree.read("folder"), lambda: tree.read("pipe"), lambda: tree.delete("folder"),
        lambda: tree.write("folder", b"x"), lambda: tree.write("folder/file/inner", b"x"),
        lambda: tree.entries("folder/file"),
    ):  # fmt: skip
        with pytest.raises(BadPath):
            action()
    assert open_handles() == before
    assert on_disk(root) == ["folder", "folder/file", "pipe"]


def test_text_must_be_utf8_and_the_byte_is_named(tree):
    tree.write("good.txt", b"\xef\xbb\xbfna\xc3\xafve")
    tree.write("bad.txt", b"\xef\xbb\xbfab\xff")
    assert tree.read_text("good.txt") == "naïve"
    with pytest.raises(Damaged, match=r"bad\.txt.*byte 5"):
        tree.read_text("bad.txt")


@pytest.mark.parametrize("failing", ["open", "fsync", "rename"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tree, root, monkeypatch, failing):
    tree.write("a.txt", b"old")
    device = os.open("/dev/full", os.O_WRONLY)
    open_it = os.open

    def opened(name, flags, *args, **named):
        handle = open_it(name, flags, *args, **named)
        return os.dup2(device, handle) if name == ".llmos-part" else handle

    def fail(*args, **named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, opened if failing == "open" else fail)
    for action in (tree.write, tree.append):
        with pytest.raises(Full, match=r"a\.txt.*No space"):
            action("a.txt", b"new")
    monkeypatch.undo()
    os.close(device)
    assert on_disk(root) == ["a.txt"]
    assert tree.read("a.txt") == b"old"


def test_what_a_dead_writer_left_is_not_seen_and_is_cleared_away(tree, root):
    tree.write("a.txt", b"old")
    (root / ".llmos-part").write_bytes(b"half")
    assert paths(tree) == ["a.txt"]
    tree.write("a.txt", b"new")
    assert on_disk(root) == ["a.txt"]


def test_the_quota_counts_what_is_there_and_what_is_replaced(root):
    tree = FileTree(root, quota=10)
    tree.write("a", b"1" * 6)
    tree.write("./a", b"2" * 10)  # the same file: its old bytes are free again
    for action in (lambda: tree.append("a", b"3"), lambda: tree.write("b", b"3")):
        with pytest.raises(Full, match=r"bytes do not fit"):
            action()
    assert tree.read("a") == b"2" * 10
    tree.delete("a")
    tree.write("b", b"3" * 10)


def test_writers_at_once_lose_nothing_and_stay_within_the_quota(root):
    added, refused = [], []

    def work(number):
        tree = FileTree(root, quota=90)
        for turn in range(12):
            try:
                tree.append("log", b"xy")
                added.append(number)
                tree.write(f"own{number}", b"z" * turn)
            except Full:
                refused.append(number)
            tree.entries()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tree = FileTree(root)
    assert len(tree.read("log")) == 2 * len(added)
    assert sum(e.size for e in tree.entries()) <= 90
    assert refused


def test_search_finds_lines_by_text_and_by_pattern(tree):
    tree.write("a.txt", "Eins\r\nZWEI Straße\n\nvier".encode())
    tree.write("b/c.txt", b"zwei again")
    tree.write("d.bin", b"zwei\xff")
    assert [(x.path, x.line, x.text) for x in tree.search("zwei")] == [
        ("a.txt", 2, "ZWEI Straße"), ("b/c.txt", 1, "zwei again"),
    ]  # fmt: skip
    assert [x.line for x in tree.search("STRASSE")] == [2]
    assert [(x.path, x.line) for x in tree.search("^z.*n$", regex=True)] == [("b/c.txt", 1)]
    assert [x.line for x in tree.search("^$", regex=True)] == [3]
    assert [x.path for x in tree.search("zwei", "b")] == ["b/c.txt"]
    assert len(tree.search("zwei", limit=1)) == 1
    assert tree.search("E.ns") == []  # plain text unless told otherwise


@pytest.mark.parametrize("pattern", ["(", "a{1000000000}", "(" * 1000 + ")" * 1000, r"(a)\1", "(?=a)"])
def test_a_pattern_that_cannot_be_used_is_refused(tree, pattern):
    with pytest.raises(BadPath, match="pattern") as caught:
        tree.search(pattern, regex=True)
    assert "\n" not in caught.value.message


def test_a_hostile_pattern_costs_no_more_than_another(tree):
    tree.write("a.txt", b"a" * 20_000 + b"b")
    assert tree.search("(a|aa)+$", regex=True) == []  # with backtracking: 2 ** 10,000 steps
    assert len(tree.search("a", regex=True)[0].text) == files.LONGEST_LINE
