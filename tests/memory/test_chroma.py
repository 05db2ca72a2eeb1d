from pathlib import Path

import numpy as np
import pytest
from llmos.memory.database import Database
from llmos.memory.passages import Passage, make_space, write_vectors
from llmos.memory.vectors import ExactIndex, IndexBroken, Mark, Sidecar, chroma, follow

VECTORS = np.random.default_rng(7).standard_normal((400, 16)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


@pytest.fixture
def truth():
    """Three hundred passages; the vector of passage n is VECTORS[n]."""
    database = Database(Path(":memory:"))
    space = make_space(database, "ann", "support", "default")
    append(space, range(1, 301))
    yield space
    database.close()


def append(space, numbers):
    with space.db.transaction() as connection:
        for number in numbers:
            assert space.insert(connection, Passage(f"text {number}").row(), 0.0) == number
        write_vectors(connection, "random", list(numbers), VECTORS[list(numbers)])


def remove(space, numbers):
    with space.db.transaction() as connection:
        space.delete(connection, list(numbers))


@pytest.fixture
def index(tmp_path):
    made = chroma(tmp_path / "index")()
    yield made
    made.close()


def test_it_finds_what_exact_search_finds(index, truth):
    exact = ExactIndex()
    remove(truth, range(3, 300, 3))
    for followed in (index, exact):
        assert follow(followed, "space-1", truth)
    assert index.keys("space-1") == exact.keys("space-1")
    for number in range(1, 20):
        near, right = (followed.search("space-1", VECTORS[number], 5) for followed in (index, exact))
        assert [key for key, _ in near] == [key for key, _ in right]
        assert [score for _, score in near] == pytest.approx([score for _, score in right], abs=1e-5)


def test_it_is_still_in_step_after_opening_again(index, truth, tmp_path):
    follow(index, "space-1", truth)
    index.search("space-1", VECTORS[1], 1)
    index.close()
    again = chroma(tmp_path / "index")()
    assert again.mark("space-1") == truth.mark
    append(truth, [301])
    remove(truth, [7])
    assert follow(again, "space-1", truth)
    assert again.keys("space-1") == {*range(1, 302)} - {7}
    again.close()


def test_what_was_added_and_not_settled_is_noticed_on_opening(index, truth, tmp_path):
    follow(index, "space-1", truth)
    index.search("space-1", VECTORS[1], 1)
    index.add("space-1", [399], VECTORS[399:])
    index.close()
    again = chroma(tmp_path / "index")()
    assert again.mark("space-1") is None
    again.close()


def test_after_an_opening_that_did_not_survive_it_begins_anew(index, truth, tmp_path):
    follow(index, "space-1", truth)
    index.close()  # never searched: as if the program had died on the way
    again = chroma(tmp_path / "index")()
    assert again.mark("space-1") is None
    assert follow(again, "space-1", truth)
    assert again.search("space-1", VECTORS[5], 1)[0][0] == 5
    again.close()


def test_a_damaged_file_is_an_error_and_the_sidecar_repairs_it(index, truth, tmp_path):
    follow(index, "space-1", truth)
    index.search("space-1", VECTORS[1], 1)
    index.close()
    (tmp_path / "index" / "chroma.sqlite3").write_bytes(b"garbage" * 1000)
    sidecar = Sidecar(chroma(tmp_path / "index"))
    assert sidecar.search("space-1", truth, VECTORS[5], 1, 1000) is None
    assert sidecar.search("space-1", truth, VECTORS[5], 1, 1000) == [5]
    sidecar.close()


def test_a_folder_that_cannot_be_made_is_index_broken(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(IndexBroken, match="failed"):
        chroma(tmp_path / "file" / "index")().mark("space-1")


def test_an_unknown_mark_is_no_mark(index):
    assert index.mark("space-1") is None
    index.settle("space-1", Mark(0, 3))
    assert index.mark("space-1") == Mark(0, 3)
    index.add("space-1", [1], np.zeros((1, 16), dtype=np.float32))
    assert index.mark("space-1") is None
