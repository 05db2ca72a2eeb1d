"""`llmos fs`: the same by way of the llmos that holds the home and without one."""

import asyncio
import json
import os
import sys
import threading
from contextlib import AsyncExitStack, suppress

import pytest
from llmos.apps.system import file_transfer, main
from llmos.apps.system.boot import boot
from llmos.apps.system.control import serve
from llmos.apps.system.main import run
from llmos.apps.system.stores import opened, use
from llmos.kernel.errors import BadInput, NotFound, Storage
from llmos.memory.files import FileTree
from llmos.models.scripted import ScriptedEngine


@pytest.fixture
def fs(home, capsys):
    """``fs("ls", …)``: exit code, standard output, standard error."""

    def command(*words):
        capsys.readouterr()
        code = run(["--home", str(home.root), "fs", *map(str, words)])
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def host(tmp_path):
    """A folder of the user's: a text, a file that is no text, one in a folder, one that is hidden, and links."""
    folder = tmp_path / "host"
    (folder / "sub").mkdir(parents=True)
    (folder / "report.txt").write_text("This quarter many parcels arrived late; the depot was flooded.\n")
    (folder / "blob.bin").write_bytes(bytes(range(256)) * 2000)
    (folder / "sub" / "n.md").write_text("one\ntwo\n")
    (folder / ".hidden").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "key").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "outside" / "key")
    (folder / "links").symlink_to(tmp_path / "outside")
    return folder


def test_a_folder_goes_in_and_out_without_links_and_hidden_files(fs, host, tmp_path):
    code, out, _ = fs("put", host, "docs", "--json")
    told = json.loads(out)
    assert (code, told["files"]) == (0, ["docs/blob.bin", "docs/report.txt", "docs/sub/n.md"])
    assert [row["name"] for row in told["skipped"]] == [str(host / "link"), str(host / "links")]
    assert fs("ls")[1].split() == ["docs/blob.bin", "docs/report.txt", "docs/sub/n.md"]
    target = tmp_path / "out"
    assert fs("get", "docs", target)[0] == 0
    assert sorted(p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()) == [
        "blob.bin", "report.txt", "sub/n.md",
    ]  # fmt: skip
    assert (target / "blob.bin").read_bytes() == (host / "blob.bin").read_bytes()
    assert fs("get", "docs/report.txt", target)[0] == 2  # it is there
    (target / "report.txt").write_text("mine")
    assert fs("get", "docs/report.txt", target, "--force")[0] == 0
    assert (target / "report.txt").read_text().startswith("This quarter")
    assert [p.name for p in target.iterdir() if p.name.startswith(".")] == []


def test_versions_are_listed_compared_and_brought_back(fs, host):
    fs("put", host / "sub" / "n.md", "notes.md")
    (host / "sub" / "n.md").write_text("one\ntwo\nthree\n")
    fs("put", host / "sub" / "n.md", "notes.md", "--label", "trusted")
    fs("put", host / "sub" / "n.md", "notes.md", "--label", "trusted")
    assert "+three" in fs("diff", "notes.md")[1]
    assert json.loads(fs("diff", "notes.md", 2, 1, "--json")[1])["diff"].endswith("-three\n")
    assert fs("rm", "notes.md")[0] == 0
    assert fs("cat", "notes.md")[0] == NotFound.exit_code
    assert "notes.md" in fs("ls", "--deleted")[1]
    assert "deleted" in fs("log", "notes.md")[1]
    assert fs("rollback", "notes.md", 1)[0] == 0
    assert fs("cat", "notes.md")[1] == "one\ntwo\n"
    assert fs("cat", "notes.md", "--version", 2)[1] == "one\ntwo\nthree\n"
    rows = [json.loads(line) for line in fs("log", "notes.md", "--json")[1].splitlines()]
    assert [(row["number"], row["size"]) for row in rows] == [(1, 8), (2, 14), (3, None), (4, 8)]


def test_what_is_found_by_meaning_by_name_and_by_tag(fs, host):
    fs("put", host, "docs")
    first = fs("find", "the report about the late parcels")[1].splitlines()[0]
    assert "docs/report.txt" in first
    assert "blob.bin" in fs("find", "blob")[1]
    assert fs("tag", "docs/blob.bin", "+a", "-x", "+b")[1].split() == ["a", "b"]
    assert fs("tag", "docs/blob.bin", "-a")[1].split() == ["b"]
    (hit,) = [json.loads(line) for line in fs("find", "--tag", "b", "--json")[1].splitlines()]
    assert hit["path"] == "docs/blob.bin"
    assert fs("find")[0] == fs("tag", "docs/blob.bin", "a")[0] == BadInput.exit_code
    assert "nothing is found" in fs("find", "quux")[2]


def test_files_and_folders_are_moved_and_removed(fs, host):
    fs("put", host, "docs")
    assert "papers/sub" in fs("mv", "docs/sub", "papers/")[1]
    assert "papers/report.txt" in fs("mv", "docs/report.txt", "papers")[1]
    assert fs("mv", "papers/report.txt", "papers/sub/n.md")[0] == BadInput.exit_code
    assert fs("rm", "papers")[0] == BadInput.exit_code
    assert fs("rm", "-r", "papers", "nothing")[0] == NotFound.exit_code
    assert len(fs("ls", "papers")[1].split()) == 2  # all or nothing
    assert fs("rm", "-r", "papers", "docs")[0] == 0
    assert "no files" in fs("ls")[2]
    assert json.loads(fs("du", "--json")[1])["rows"] == []


def test_room_is_told_with_versions_and_the_quota(fs, host):
    fs("put", host, "docs")
    told = json.loads(fs("du", "--json")[1])
    assert [(row["path"], row["files"]) for row in told["rows"]] == [("docs/", 3)]
    assert [row["path"] for row in json.loads(fs("du", "docs", "--json")[1])["rows"]] == [
        "blob.bin", "report.txt", "sub/",
    ]  # fmt: skip
    assert told["quota"] == 2**30


def test_what_cannot_be_put_is_named_and_the_rest_goes_in(fs, host):
    (host / "in\u202ename").write_text("x")
    os.mkfifo(host / "pipe")
    code, _, err = fs("put", host, "docs")
    assert code == BadInput.exit_code
    assert "U+202E" in err
    assert "pipe" in err
    assert len(fs("ls")[1].split()) == 3
    assert fs("put", host / "pipe")[0] == fs("put", host / "in\u202ename")[0] == BadInput.exit_code
    assert fs("put", host / "nothing")[0] == NotFound.exit_code


def test_a_file_of_two_gigabytes_is_refused_before_it_is_read(fs, tmp_path):
    with (tmp_path / "big").open("wb") as file:
        file.truncate(2 * 2**30)
    code, _, err = fs("put", tmp_path / "big")
    assert code == Storage.exit_code
    assert "2,147,483,648 bytes" in err


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "n" * 4000])
def test_no_path_leaves_the_tree(fs, path, host):
    for words in (("cat", path), ("put", host / "report.txt", path), ("rm", path), ("log", path), ("get", path)):
        assert fs(*words)[0] == BadInput.exit_code


def test_damage_is_named_and_an_older_version_can_be_had(fs, host, home):
    fs("put", host / "report.txt")
    fs("put", host / "sub" / "n.md", "report.txt")
    with opened(home) as stores:
        stores.database.run("UPDATE chunks SET data = x'00', packed = 0 WHERE rowid = (SELECT max(rowid) FROM chunks)")
    assert fs("cat", "report.txt")[0] == Storage.exit_code
    code, out, _ = fs("check")
    assert (code, out.strip()) == (Storage.exit_code, "version 2 of report.txt is damaged")
    assert fs("cat", "report.txt", "-v", 1)[1].startswith("This quarter")


@pytest.mark.parametrize("held", [False, True])
async def test_it_works_beside_a_running_llmos_too(home, host, held):
    async with AsyncExitStack() as stack:
        if held:
            running = await stack.enter_async_context(boot(home, engine=ScriptedEngine()))
            await stack.enter_async_context(serve(running))
            tree = FileTree(running.machine.parts.files, "ann", "docs")
        steps = []

        def ask(name, **fields):
            return asyncio.to_thread(use, home, name, steps.append, owner="ann", **fields)

        await ask("fs.put", source=str(host), path="docs", label="untrusted", tags=[])
        (hit, *_) = await ask("fs.find", query="late parcels", folder="", tags=[], k=3)
        assert hit["path"] == "docs/report.txt"
        steps.clear()
        await ask("fs.cat", path="docs/blob.bin", version=None)
        assert len(steps) == 2
        if held:
            assert tree.read_text("sub/n.md") == "one\ntwo\n"
        with pytest.raises(NotFound):
            await ask("fs.cat", path="docs/nothing", version=None)


@pytest.mark.parametrize("held", [False, True])
async def test_a_reader_that_has_gone_ends_it(home, host, held, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(run, ["--home", str(home.root), "fs", "put", str(host / "blob.bin")])
        if held:
            await stack.enter_async_context(serve(await stack.enter_async_context(boot(home, engine=ScriptedEngine()))))
        with os.fdopen(writer, "w") as broken, suppress(BrokenPipeError):
            monkeypatch.setattr(sys, "stdout", broken)
            monkeypatch.setattr(main, "_drop_output", lambda: None)
            code = await asyncio.to_thread(run, ["--home", str(home.root), "fs", "cat", "blob.bin"])
            monkeypatch.undo()
            assert code == main.BROKEN_PIPE


def test_work_that_nobody_waits_for_is_broken_off(monkeypatch):
    monkeypatch.setattr(file_transfer, "EVERY", 0.001)
    ended = threading.Event()

    def work(report):
        try:
            while True:
                report(done=1)
        finally:
            ended.set()

    steps = file_transfer.stepping(work)
    next(steps)
    steps.close()
    assert ended.is_set()
