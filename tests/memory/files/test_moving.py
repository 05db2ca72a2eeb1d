"""Files of an older llmos, which stood in folders, are taken in once."""

import os
import unicodedata

import pytest
from llmos.memory.files import FileStore, FileTree, take_in


@pytest.fixture
def folder(tmp_path):
    """What an older llmos left: two owners, two apps, odd names, a link, and a file that was being written."""
    root = tmp_path / "files"
    for path, text in {
        "ann/support/notes.txt": "one", "ann/support/deep/er/b.txt": "two", "ann/chat/c.txt": "three",
        "bob/support/notes.txt": "four", "ann/support/zero\u200bwidth": "five", "ann/support/.llmos-part": "half",
        "ann/support/...": "six",
    }.items():  # fmt: skip
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    os.utime(root / "ann/support/notes.txt", (1000, 2000))
    (root / "ann/support/link").symlink_to("/etc/passwd")
    return root


def content(database, owner):
    tree = FileTree(FileStore(database), owner)
    return {entry.path: tree.read(entry.path).decode() for entry in tree.entries()}


TAKEN = {
    "support/notes.txt": "one", "support/deep/er/b.txt": "two", "chat/c.txt": "three", "support/_zero_width": "five",
    "support/_...": "six",
}  # fmt: skip


def test_all_is_taken_in_with_its_time_and_the_folder_goes(database, folder):
    assert take_in(database, folder) == 6
    assert content(database, "ann") == TAKEN
    assert content(database, "bob") == {"support/notes.txt": "four"}
    assert {e.path: e.modified for e in FileTree(FileStore(database), "ann").entries()}["support/notes.txt"] == 2000
    assert not folder.exists()
    assert take_in(database, folder) == 0


def test_broken_off_it_is_begun_again_and_makes_no_second_version(database, folder):
    def stop(share):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_in(database, folder, stop)
    take_in(database, folder)
    assert content(database, "ann") == TAKEN
    assert {v.number for path in TAKEN for v in FileTree(FileStore(database), "ann").versions(path)} == {1}


def test_what_cannot_be_read_stays_and_the_rest_is_taken_in(database, folder, monkeypatch, caplog):
    whole = os.open

    def unreadable(path, *args, **named):
        if str(path).endswith("c.txt"):
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path, *args, **named)

    monkeypatch.setattr(os, "open", unreadable)
    assert take_in(database, folder) == 5
    assert "c.txt" in caplog.text
    assert (folder / "ann/chat/c.txt").exists()
    monkeypatch.undo()
    assert take_in(database, folder) == 6
    assert content(database, "ann") == TAKEN


def test_names_are_normalised(database, tmp_path):
    name = unicodedata.normalize("NFD", "é.txt")
    (tmp_path / "files/ann/chat").mkdir(parents=True)
    (tmp_path / "files/ann/chat" / name).write_text("x")
    take_in(database, tmp_path / "files")
    assert list(content(database, "ann")) == ["chat/" + unicodedata.normalize("NFC", name)]
