"""Which files are meant by a path."""

import os

import pytest
from llmos.memory.ingest.walking import Walk, below


@pytest.fixture
def tree(tmp_path):
    for name in ("b.md", "a.md", "deep/er/c.md", ".hidden.md", ".git/config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def walked(*paths):
    walk = Walk()
    found = [found.name for found in walk.files(map(str, paths)) if found]
    return walk, found


def test_a_folder_is_its_files_in_order_without_hidden_ones(tree):
    walk, found = walked(tree)
    assert found == [str(tree / name) for name in ("a.md", "b.md", "deep/er/c.md")]
    assert (walk.hidden, walk.refused, walk.unseen, walk.roots) == (2, [], [], [str(tree)])
    assert walked(tree / ".hidden.md")[1] == [str(tree / ".hidden.md")]


def test_each_file_comes_once(tree):
    assert len(walked(tree, tree / "a.md", tree / "deep", f"{tree}/deep/../a.md")[1]) == 3


def test_links_are_not_followed_but_when_they_are_named(tree):
    (tree / "ring").symlink_to(tree)
    (tree / "deep" / "up").symlink_to("..")
    (tree / "self").symlink_to("self")
    (tree / "z.md").symlink_to("a.md")
    walk, found = walked(tree)
    assert len(found) == 3
    assert {(os.path.basename(name), why.code, named) for name, why, named in walk.refused} == {
        (name, "link", False) for name in ("ring", "up", "self", "z.md")
    }
    assert walked(tree / "z.md")[1] == [str(tree / "a.md")]
    assert len(walked(tree / "ring")[1]) == 3
    walk, found = walked(tree / "self")
    assert (found, walk.refused[0][1].code) == ([], "link")


def test_what_is_no_file(tree):
    os.mkfifo(tree / "pipe")
    for path, code in (
        ("pipe", "special"),
        ("nope", "missing"),
        ("x" * 4000, "name"),
        ("a.md/b", "missing"),
        ("a\0b", "name"),
    ):
        walk, found = walked(tree / path)
        assert (found, walk.refused[0][1].code, walk.refused[0][2]) == ([], code, True)


def test_a_tree_deeper_than_any_path_may_be_long(tmp_path):
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(here)
    (tmp_path / "a.md").write_text("x")
    walk, found = walked(tmp_path)
    assert found == [str(tmp_path / "a.md")]
    assert [why.code for _, why, _ in walk.refused] == ["name"]
    assert len(walk.unseen) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_may_not_be_seen_is_noted(tree):
    (tree / "deep").chmod(0)
    walk, found = walked(tree)
    (tree / "deep").chmod(0o700)
    assert len(found) == 2
    assert walk.unseen == [str(tree / "deep")]


def test_names_that_are_no_text_are_spelt_out(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "w") as file:
        file.write("x")
    assert walked(tmp_path)[1] == [str(tmp_path / "\\xff.txt")]


def test_below():
    assert below("/a/b", "/a")
    assert below("/a", "/a")
    assert below("/a", "/")
    assert not below("/ab", "/a")
