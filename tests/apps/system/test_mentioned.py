import pytest
from llmos.apps.system import mentioned as module
from llmos.apps.system.mentioned import mentioned


@pytest.fixture
def folder(tmp_path):
    for name in ("report.txt", "my notes.txt", "notes", "README", ".hidden.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.txt").symlink_to(tmp_path / "report.txt")
    (tmp_path / "inner.txt").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("please read report.txt", {"report.txt"}),
        ("what does Report.TXT say?", {"report.txt"}),
        ("compare report.txt with my notes.txt.", {"report.txt", "my notes.txt"}),
        ("is the readme good?", {"README"}),
        ("my notes are a mess", set()),
        ("read other/report.txt or thereport.txt", set()),
        ("read .hidden.txt, link.txt and inner.txt", set()),
        ("what files do you see?", {"report.txt", "my notes.txt", "notes", "README"}),
        ("search my files for heating", {"report.txt", "my notes.txt", "notes", "README"}),
        ("hello there", set()),
        ("", set()),
    ],
)
def test_files_that_a_line_is_about(folder, line, names):
    assert mentioned(line, folder) == {f"in/{name}": folder / name for name in names}


def test_number_and_size_are_bounded(folder, monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    assert len(mentioned("list my files", folder)) == 2
    (folder / "README").write_text("x" * (module.LARGEST + 1))
    assert "in/README" not in mentioned("list my files", folder)
    assert "in/README" in mentioned("what does the README say?", folder)


def test_a_folder_that_is_gone_holds_nothing(tmp_path):
    assert mentioned("list my files", tmp_path / "gone") == {}
