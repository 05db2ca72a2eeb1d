"""`llmos memory` as a user meets it: alone and beside a running llmos, and with all that can be given wrongly."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from llmos.apps.system.client import NotRunning, ask
from llmos.apps.system.home import Home
from llmos.apps.system.main import run

pytestmark = pytest.mark.programs
PROGRAM = [sys.executable, "-m", "llmos.apps.system.main"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path / "home")


@pytest.fixture
def docs(home, tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "returns.md").write_text("# Returns\nShoes may be returned within thirty days.\n## Fees\nNone at all.\n")
    (folder / "delivery.txt").write_text("Express parcels cost nine pounds.")
    return folder


@pytest.fixture(params=["alone", "beside"])
def llmos(request, home, capfd):
    """Run a command line in this program: (exit code, standard output, standard error)."""
    held = None
    if request.param == "beside":
        held = subprocess.Popen([*PROGRAM, "--model", "scripted", "serve"], stderr=subprocess.DEVNULL)
        _until_it_answers(home)

    def call(*words):
        capfd.readouterr()
        code = run([str(word) for word in words])
        told = capfd.readouterr()
        return code, told.out, told.err

    yield call
    if held:
        assert held.poll() is None
        held.terminate()
        held.wait()


def _until_it_answers(home):
    limit = time.monotonic() + 60
    while True:
        try:
            ask(home, "ping")
            return
        except NotRunning:
            assert time.monotonic() < limit
            time.sleep(0.05)


def rows(told):
    return [json.loads(line) for line in told[1].splitlines()]


def test_what_was_added_is_found_listed_and_forgotten(llmos, docs):
    code, out, err = llmos("memory", "add", "docs", "--tag", "shop")
    assert (code, err) == (0, "")
    assert out.startswith("2 new files, 3 passages in ")
    code, out, _ = llmos("memory", "search", "when may shoes be returned?", "-k", "1")
    assert code == 0
    title, text, source, why, *rest = out.splitlines()
    assert title.split() == ["1.", "Returns"]
    assert text.strip() == "Shoes may be returned within thirty days."
    assert source.strip() == "docs/returns.md, line 2; shop"
    assert "words no. 1" in why
    assert "default/" in why
    assert rest == []
    [hit] = rows(llmos("memory", "search", "express", "-k", "1", "--json"))
    assert (hit["source"], hit["meta"], hit["tags"]) == (str(docs / "delivery.txt"), {"line": 1}, ["shop"])
    out = llmos("memory", "ls")[1].splitlines()
    assert [line.split()[0] for line in out] == ["kind", "text", "markdown"]
    assert [row["tags"] for row in rows(llmos("memory", "ls", "--json"))] == [["shop"], ["shop"]]
    assert len(llmos("memory", "forget", "a" * 4000)[2]) < 500
    assert llmos("memory", "add", "docs", "--tag", "shop")[1].startswith("2 unchanged files, 0 passages")
    assert llmos("memory", "forget", "docs/delivery.txt")[:2] == (0, "1 file and 0 single passages forgotten\n")
    assert llmos("memory", "forget", rows(llmos("memory", "search", "fees", "--json"))[0]["handle"])[0] == 0
    left = rows(llmos("memory", "search", "express shoes", "--json"))
    assert [hit["source"] for hit in left] == [str(docs / "returns.md")]
    assert len(rows(llmos("memory", "search", "shoes returned", "--json"))) == 1
    code, _, err = llmos("memory", "forget", "docs/delivery.txt")
    assert (code, err) == (2, "llmos: docs/delivery.txt is not remembered (llmos memory ls lists what is)\n")


def test_a_search_is_narrowed_down(llmos, docs):
    llmos("memory", "add", "docs/returns.md", "--tag", "a", "--label", "trusted", "-c", "one")
    llmos("memory", "add", "docs/delivery.txt", "--tag", "b", "-c", "two")

    def found(*options):
        return {
            os.path.basename(hit["source"])
            for hit in rows(llmos("memory", "search", "shoes or parcels", *options, "--json"))
        }

    both = {"returns.md", "delivery.txt"}
    assert found() == found("--since", "1h") == found("--until", "2999-01-01", "--source", "docs") == both
    assert found("--tag", "a") == found("-c", "one") == found("--label", "trusted") == {"returns.md"}
    assert found("--source", "docs/delivery.txt") == {"delivery.txt"}
    assert found("--tag", "a", "--tag", "b") == found("--until", "1h") == found("--since", "2999-01-01T10:00") == set()
    assert found("--owner", "somebody") == found("--app", "support") == set()


def test_memory_is_taken_elsewhere(llmos, docs, tmp_path):
    llmos("memory", "add", "docs")
    code, out, _ = llmos("memory", "export", "memory.jsonl")
    assert (code, out) == (0, "3 passages of 2 files written to memory.jsonl\n")
    code, _, err = llmos("memory", "export", "memory.jsonl")
    assert (code, "is there already" in err) == (2, True)
    assert rows(llmos("memory", "export", "memory.jsonl", "--force", "--json")) == [{"passages": 3, "sources": 2}]
    code, out, _ = llmos("memory", "import", "memory.jsonl", "--app", "support")
    assert (code, out) == (0, "3 passages of 2 files remembered from memory.jsonl\n")
    told = rows(llmos("memory", "stats", "--json"))[0]
    assert [(c["app"], c["passages"], c["sources"]) for c in told["collections"]] == [
        ("memory", 3, 2),
        ("support", 3, 2),
    ]
    assert llmos("memory", "check")[:2] == (0, "all is as it was stored\n")
    assert llmos("memory", "rebuild")[:2] == (0, "6 passages made anew\n")
    assert len(rows(llmos("memory", "search", "shoes fees express", "--app", "support", "--json"))) == 3
    (tmp_path / "memory.jsonl").write_bytes((tmp_path / "memory.jsonl").read_bytes()[:-9])
    code, _, err = llmos("memory", "import", "memory.jsonl")
    assert (code, "cut short" in err) == (74, True)
    assert llmos("memory", "forget", "-c", "default", "--app", "support")[:2] == (0, "3 passages forgotten\n")


def test_what_cannot_be_read_is_told_and_the_others_are_taken(llmos, docs, tmp_path):
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    (docs / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (docs / "old.txt").write_bytes("für 30 €".encode("windows-1252"))
    (docs / ".hidden").write_text("x")
    code, out, err = llmos("memory", "add", "docs", "docs/returns.md", "nowhere", "x" * 4000)
    assert (code, err) == (2, "")
    lines = out.splitlines()
    assert lines[0].startswith("3 new files, 4 passages")
    assert any("cannot be read" in line and "docs/broken.pdf" in line for line in lines)
    assert "left out: is not there (check the spelling and where you are): nowhere" in lines
    assert any("has too long a name" in line and len(line) < 500 for line in lines)
    assert "left out: is no text: docs/picture.png" in lines
    assert "left out: 1 hidden" in lines
    assert "read as windows-1252: docs/old.txt" in lines
    (docs / "broken.pdf").unlink()
    (docs / "delivery.txt").unlink()
    code, out, _ = llmos("memory", "add", "docs")
    assert code == 0
    assert "1 gone from the disk, still remembered (--prune forgets them): docs/delivery.txt" in out.splitlines()
    told = rows(llmos("memory", "add", "docs", "--prune", "--json"))[0]
    assert (told["vanished"], told["forgotten"], told["unchanged"]) == ([str(docs / "delivery.txt")], 1, 2)
    (docs / "big.txt").write_text("word " * 1000)
    code, out, _ = llmos("memory", "add", "docs", "--max-size", "4K")
    assert (code, "raise the limit with --max-size" in out) == (2, True)


@pytest.mark.parametrize("llmos", ["alone"], indirect=True)
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["search", "x", "--since", "soon"], 2, "--since: 'soon' is no time"),
        (["search", "x", "--source", "nowhere.md"], 2, "nowhere.md is not remembered"),
        (["add", "docs", "--max-size", "much"], 2, "--max-size: 'much' is no size"),
        (["add", "docs", "-c", "a/b"], 2, "a collection cannot be named 'a/b'"),
        (["add", "~nobody-of-this-name/x"], 2, "no such home folder"),
        (["forget"], 2, "nothing is named"),
        (["export", "nowhere/memory.jsonl"], 2, "No such file or directory"),
        (["import", "docs/returns.md"], 74, "no memory that llmos exported"),
        (["import", "docs"], 69, "Is a directory"),
    ],
)
def test_what_is_given_wrongly(llmos, docs, words, code, says):
    llmos("memory", "add", "docs")
    got = llmos("memory", *words)
    assert (got[0], says in got[2], got[2].count("\n")) == (code, True, 1), got
    assert "error" in rows(llmos("memory", *words, "--json"))[-1]


def stored(home):
    """Files that were noted so far, by a connection of its own."""
    try:
        with closing(sqlite3.connect(f"file:{home.database}?mode=ro", uri=True)) as store:
            return store.execute("SELECT count(*) FROM sources").fetchone()[0]
    except sqlite3.Error:  # not there yet, or without tables
        return 0


def test_ctrl_c_leaves_what_was_read(home, tmp_path):
    for number in range(4000):
        path = tmp_path / "many" / f"{number:04}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"Number {number}.")
    adding = subprocess.Popen([*PROGRAM, "memory", "add", "many"], stderr=subprocess.PIPE, text=True)
    while not stored(home):  # the rest takes longer than the signal
        time.sleep(0.002)
    adding.send_signal(signal.SIGINT)
    _, err = adding.communicate()
    assert (adding.returncode, err.strip()) == (130, "llmos: interrupted")
    told = json.loads(subprocess.check_output([*PROGRAM, "memory", "add", "many", "--json"]))
    assert told["added"] + told["unchanged"] == 4000
    assert (
        json.loads(subprocess.check_output([*PROGRAM, "memory", "stats", "--json"]))["collections"][0]["passages"]
        == 4000
    )
