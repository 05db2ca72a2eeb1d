import threading
import unicodedata

import pytest
from llmos.memory.faults import BadPath, Damaged, Full, Missing
from llmos.memory.files import DEEPEST, LONGEST_LINE, FileStore, FileTree


def paths(tree, folder=""):
    return [entry.path for entry in tree.entries(folder)]


def refused(tree, path):
    """Every way to name a file refuses this path."""
    for action in (
        tree.read, tree.delete, tree.versions, lambda p: tree.write(p, b"x"), lambda p: tree.append(p, b"x"),
        lambda p: tree.rename("own", p), lambda p: tree.rename(p, "new"), lambda p: tree.rollback(p, 1),
        lambda p: tree.tag(p, ["t"]),
    ):  # fmt: skip
        with pytest.raises(BadPath):
            action(path)


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


def test_an_empty_tree_has_no_files(tree):
    assert tree.entries() == tree.entries("nowhere") == tree.entries("/") == tree.search("x") == []
    for action in (tree.read, tree.read_text, tree.delete, tree.versions, lambda p: tree.rename(p, "x")):
        with pytest.raises(Missing, match=r"nothing\.txt"):
            action("nothing.txt")


def test_a_folder_is_there_as_long_as_a_file_is(tree):
    tree.write("a/b/c.txt", b"")
    tree.write("a/d.txt", b"")
    tree.delete("a/b/c.txt")
    tree.delete("a/d.txt")
    tree.write("a", b"now a file")
    assert paths(tree) == ["a"]
    with pytest.raises(BadPath, match="a is a file"):
        tree.rollback("a/d.txt", 1)
    tree.rename("a", "b")
    tree.rollback("a/d.txt", 1)
    assert paths(tree) == ["a/d.txt", "b"]


@pytest.mark.parametrize(
    "wrong",
    [
        "/etc/passwd", "../x", "a/../../x", "..", ".", "", "/", "a/..", "a\0b", "a\nb", "\x1b[31m", "C:\\x", "\udc80",
        "n" * 256, "ü" * 128, "n" * 4000, "/".join("d" * DEEPEST), "...",
        "invoice\u202etxt.exe", "a\u200bb", "\ufeffa", "a\u2066b", "a\u00adb", "a\u2028b", "pass\u200dword",
        "a\u00a0b", "a\u3000b", " a", "a ", "a\u2215b", "a\uff0fb", "a/\u0338b",
    ],
)  # fmt: skip
def test_a_path_that_is_none_or_deceives_is_refused(tree, wrong):
    tree.write("own", b"x")
    refused(tree, wrong)
    assert paths(tree) == ["own"]


@pytest.mark.parametrize(
    "name", ["a.b.", ".hidden", "Größe", "ａ", "你好.txt", "👨‍👩‍👧.png", "می‌خواهم", "a b", "-rf", "CON", "a:b", "~"]
)
def test_any_other_name_is_a_name(tree, name):
    tree.write(name, b"x")
    assert paths(tree) == [name]


def test_the_longest_and_deepest_names_work(tree):
    deep = "/".join(["d"] * (DEEPEST - 2) + ["n" * 255])
    tree.write(deep, b"x")
    assert paths(tree) == [deep]
    with pytest.raises(BadPath, match="deep"):
        tree.rename("d", "e/d")


def test_names_are_one_however_they_are_composed_and_case_matters(tree):
    tree.write("café.txt", b"1")
    assert tree.read(unicodedata.normalize("NFD", "café.txt")) == b"1"
    tree.write("Café.txt", b"2")
    assert paths(tree) == ["Café.txt", unicodedata.normalize("NFC", "café.txt")]


def test_a_folder_is_no_file_and_a_file_no_folder(tree):
    tree.write("folder/file", b"x")
    for action in (
        lambda: tree.read("folder"), lambda: tree.delete("folder"), lambda: tree.write("folder", b"x"),
        lambda: tree.append("folder", b"x"), lambda: tree.write("folder/file/inner", b"x"),
        lambda: tree.entries("folder/file"), lambda: tree.read("folder/file/inner"),
        lambda: tree.rename("folder", "folder/inner/x"), lambda: tree.rename("folder/file", "folder"),
    ):  # fmt: skip
        with pytest.raises(BadPath):
            action()
    assert paths(tree) == ["folder/file"]


def test_a_rename_is_one_row_and_takes_versions_tags_and_what_is_below_along(tree, database):
    for number in range(20):
        tree.write(f"old/deep/{number}", b"%d" % number)
    tree.write("old/deep/0", b"new")
    tree.tag("old/deep/0", ["kept"])
    before = database.rows("SELECT id, name, parent, digest FROM nodes")
    tree.rename("old", "new")
    changed = set(before) ^ set(database.rows("SELECT id, name, parent, digest FROM nodes"))
    assert len(changed) == 2  # one row, before and after
    assert tree.read("new/deep/19") == b"19"
    assert len(tree.versions("new/deep/0")) == 2
    assert [e.tags for e in tree.entries("new") if e.tags] == [("kept",)]
    tree.write("there", b"x")
    with pytest.raises(BadPath, match="already"):
        tree.rename("new/deep/1", "there")
    tree.rename("there", "./there")
    assert tree.read("there") == b"x"


def test_every_change_is_a_version_and_any_can_be_brought_back(tree, clock):
    tree.write("a.txt", b"one\n", "trusted")
    tree.write("a.txt", b"one\n", "trusted")  # nothing new
    tree.append("a.txt", b"two\n", "trusted")
    tree.write("a.txt", b"three\n")
    tree.delete("a.txt")
    assert [(v.number, v.size, v.label) for v in tree.versions("a.txt")] == [
        (1, 4, "trusted"), (2, 8, "trusted"), (3, 6, "untrusted"), (4, None, "untrusted"),
    ]  # fmt: skip
    assert [(e.path, e.deleted) for e in tree.entries(deleted=True)] == [("a.txt", True)]
    assert tree.read("a.txt", 2) == b"one\ntwo\n"
    assert tree.diff("a.txt", 1, 2).splitlines()[2:] == ["@@ -1 +1,2 @@", " one", "+two"]
    assert tree.diff("a.txt", 3, 4).splitlines()[-1] == "-three"
    tree.rollback("a.txt", 2)
    assert tree.labelled("a.txt") == ("one\ntwo\n", "trusted")
    assert tree.versions("a.txt")[-1].number == 5
    for wrong, error in ((4, BadPath), (9, Missing)):
        with pytest.raises(error, match=r"a\.txt"):
            tree.rollback("a.txt", wrong)
    for version in (4, 9):
        with pytest.raises(Missing):
            tree.read("a.txt", version)


def test_what_was_deleted_goes_on_when_it_is_written_again(tree):
    tree.write("d/a", b"1")
    tree.delete("d/a")
    tree.write("d/a", b"2")
    assert [v.size for v in tree.versions("d/a")] == [1, None, 1]
    tree.rename("d/a", "d/b")
    assert tree.entries(deleted=True) == []
    tree.write("d/a", b"another file")
    assert len(tree.versions("d/a")) == 1


def test_appending_is_trusted_only_if_both_parts_are(tree):
    tree.append("a", b"1", "trusted")
    tree.append("a", b"2")
    tree.append("a", b"3", "trusted")
    assert [v.label for v in tree.versions("a")] == ["trusted", "untrusted", "untrusted"]


def test_appending_writes_no_more_than_is_new(tree, database):
    size = "SELECT sum(length(data)) FROM chunks"
    tree.write("log", bytes(range(256)) * 4096)
    (before,) = database.one(size)
    for number in range(100):
        tree.append("log", b"line %d\n" % number)
    (after,) = database.one(size)
    assert after - before < 20_000
    assert tree.read("log") == bytes(range(256)) * 4096 + b"".join(b"line %d\n" % n for n in range(100))
    assert tree.read("log", 50).endswith(b"line 48\n")


def test_text_must_be_utf8_and_the_byte_is_named(tree):
    tree.write("good.txt", b"\xef\xbb\xbfna\xc3\xafve")
    tree.write("bad.txt", b"\xef\xbb\xbfab\xff")
    assert tree.read_text("good.txt") == "naïve"
    for action in (lambda: tree.read_text("bad.txt"), lambda: tree.diff("bad.txt", 1, 1)):
        with pytest.raises(Damaged, match=r"bad\.txt.*byte 5"):
            action()


def test_writers_at_once_lose_nothing_and_stay_within_the_quota(database):
    added, refused, store = [], [], FileStore(database, quota=900)

    def work(number):
        tree = FileTree(store, "ann")
        for turn in range(12):
            try:
                tree.append("log", b"xy" * 10)
                added.append(number)
                tree.write(f"own{number}", bytes([number + 1]) * turn * 10)
            except Full:
                refused.append(number)
            tree.entries()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tree = FileTree(store, "ann")
    assert len(tree.read("log")) == 20 * len(added)
    assert sum(e.stored for e in tree.entries()) <= 900
    assert refused


def test_a_change_and_what_is_committed_with_it_are_one(tree, database):
    write = tree.writing("a.txt", b"x" * 100_000)

    def both():
        with database.transaction() as connection:
            write(connection)
            assert tree.read("a.txt") == b"x" * 100_000
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        both()
    assert paths(tree) == []
    tree.make(write)
    tree.make(write)  # carried out again, as after a crash
    assert len(tree.versions("a.txt")) == 1


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
    assert len(tree.search("a", regex=True)[0].text) == LONGEST_LINE


def test_where_all_differs_the_difference_is_one_large_change(tree):
    tree.write("a", "".join(f"{n}\n" for n in range(6000)).encode())
    tree.write("a", ("0\n" + "".join(f"x{n}\n" for n in range(6000)) + "5999").encode())
    lines = tree.diff("a", 1, 2).splitlines()
    assert lines[2] == "@@ -2 +2 @@"
    assert (lines[3], lines[-2], lines[-1]) == ("-1", "+5999", "\\ No newline at end of file")
