import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from llmos.memory.chroma import ChromaFolder, ChromaServer
from llmos.memory.database import Database
from llmos.memory.faults import BadPath
from llmos.memory.follower import Follower
from llmos.memory.indexes import index_in
from llmos.memory.keywords import Indexed
from llmos.memory.passages import Passage
from llmos.memory.spaces import SpaceVectors, delete, insert, make_space, next_turn, write_vectors
from llmos.memory.vectors import IndexBroken, Mark, compared, follow, nearest

VECTORS = np.random.default_rng(7).standard_normal((400, 16)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


@pytest.fixture
def truth():
    """Three hundred passages; the vector of passage n is VECTORS[n]."""
    database = Database(Path(":memory:"))
    database.run("INSERT INTO embedders (name) VALUES ('random')")
    space = make_space(database, "ann", "support", "default")
    append(space, range(1, 301))
    yield SpaceVectors(space, 1)
    database.close()


def append(space, numbers):
    with space.db.transaction() as connection:
        turn = next_turn(connection, space.id)
        for number in numbers:
            text = f"text {number}"
            indexed = Indexed.of(title="", text=text)
            assert insert(connection, space.id, turn, Passage(text).row(), indexed, 0.0) == number
        write_vectors(connection, 1, list(numbers), list(VECTORS[list(numbers)]))


def remove(space, numbers):
    with space.db.transaction() as connection:
        delete(connection, numbers)


def in_step(index, truth):
    for _ in follow(index, truth):
        pass


def as_exact(index, truth):
    """Whether it finds what exact search finds."""
    every = [mark.key for mark in truth.after(Mark())]
    return all(nearest(index, truth, VECTORS[n], 5, 300) == compared(truth, VECTORS[n], every, 5) for n in range(1, 20))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def index(folder):
    made = ChromaFolder(folder)
    yield made
    made.close()


def test_it_finds_what_exact_search_finds(index, truth):
    remove(truth.space, range(3, 300, 3))
    in_step(index, truth)
    assert as_exact(index, truth)
    append(truth.space, [301])
    remove(truth.space, [7, 8])
    assert as_exact(index, truth)  # what came later is compared one by one, what is gone is passed over


def test_it_is_still_in_step_after_opening_again(index, folder, truth):
    in_step(index, truth)
    held = index.held(truth.name)
    index.close()
    again = ChromaFolder(folder)
    assert again.held(truth.name) == held
    append(truth.space, [301])
    in_step(again, truth)
    assert again.held(truth.name).count == 301
    assert as_exact(again, truth)
    again.close()


def test_what_chromadb_loses_is_noticed_and_filled_in(index, folder, truth):
    """Chroma issues 7090 and 6975: an index, or its last writes, gone after opening again."""
    in_step(index, truth)
    index._open(truth.name).delete(ids=[str(number) for number in range(200, 301)])
    index.close()
    again = ChromaFolder(folder)
    assert again.held(truth.name) is None
    follower = Follower(lambda: again)
    assert [step.done for step in follower.steps(truth)] == [0, 300]
    assert as_exact(again, truth)
    follower.close()


def test_what_was_added_and_not_settled_does_no_harm(index, folder, truth):
    in_step(index, truth)
    append(truth.space, range(301, 311))
    index.add(truth.name, *truth.vectors(range(301, 311)))
    index.close()
    again = ChromaFolder(folder)
    assert as_exact(again, truth)
    in_step(again, truth)
    assert again.held(truth.name).count == 310
    again.close()


@pytest.mark.programs
@pytest.mark.parametrize("name", ["chroma.sqlite3", "data_level0.bin", "header.bin", "link_lists.bin"])
def test_a_damaged_file_costs_the_index_and_nothing_else(index, folder, truth, name):
    in_step(index, truth)
    index.close()
    (path,) = folder.rglob(name)
    content = bytearray(path.read_bytes() or b"\0")
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    again = ChromaFolder(folder)
    assert again.held(truth.name) is None
    in_step(again, truth)
    assert as_exact(again, truth)
    again.close()


@pytest.mark.programs
def test_after_a_program_that_died_another_looks_first(folder, truth, tmp_path):
    fill = (
        "import sys, os, numpy as np\n"
        "from llmos.memory.chroma import ChromaFolder; from llmos.memory.vectors import Mark\n"
        "from pathlib import Path; index = ChromaFolder(Path(sys.argv[1])); rows = np.load(sys.argv[2])\n"
        "index.add(sys.argv[3], np.arange(1, 301), rows[1:301]); index.settle(sys.argv[3], Mark(1, 300), True)\n"
        "os.kill(os.getpid(), 9)"
    )
    np.save(tmp_path / "rows.npy", VECTORS)
    died = subprocess.run([sys.executable, "-c", fill, folder, tmp_path / "rows.npy", truth.name], check=False)
    assert died.returncode == -signal.SIGKILL
    again = ChromaFolder(folder)
    assert again.held(truth.name).count == 300
    assert as_exact(again, truth)
    again.close()
    (folder / "chroma.sqlite3").write_bytes(b"garbage" * 1000)
    again._left.unlink()
    assert again.held(truth.name) is None
    again.close()


def test_a_folder_that_cannot_be_made_is_index_broken(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(IndexBroken, match="failed"):
        ChromaFolder(tmp_path / "file" / "index").held("space-1")


@pytest.fixture
def server(tmp_path):
    """The URL of a Chroma server on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = [sys.executable, "-c", "from chromadb.cli.cli import app; app()", "run", "--path", tmp_path / "server"]
    program = subprocess.Popen(
        [*run, "--host", "127.0.0.1", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", program
    finally:
        program.kill()
        program.wait()


@pytest.mark.programs
def test_a_server_by_its_url(server, truth):
    url, program = server
    one, other = ChromaServer(url, "one"), ChromaServer(url, "other")
    in_step(one, truth)
    assert as_exact(one, truth)
    assert other.held(truth.name) is None  # two stores do not see each other's
    one.close()
    again = ChromaServer(url, "one")
    assert again.held(truth.name).count == 300
    other.clear()
    assert again.held(truth.name).count == 300
    program.kill()
    program.wait()
    with pytest.raises(IndexBroken, match="failed"):
        again.search(truth.name, VECTORS[1], 3)
    with pytest.raises(IndexBroken, match="failed"):
        ChromaServer(url, "one").held(truth.name)


def test_only_what_names_an_index_is_taken_for_one(tmp_path, database):
    assert type(index_in(tmp_path, database)()).__name__ == "ClusterIndex"
    assert type(index_in(tmp_path, database, "embedded")()).__name__ == "ChromaFolder"
    assert type(index_in(tmp_path, database, "https://chroma:8000")()).__name__ == "ChromaServer"
    for wrong in ("yes", "ftp://x", "http://"):
        with pytest.raises(BadPath, match="no Chroma server"):
            index_in(tmp_path, database, wrong)
