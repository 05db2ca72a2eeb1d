import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.memory.vectors import ExactIndex, IndexBroken, Mark, Sidecar, best, follow, similarities

RNG = np.random.default_rng(7)
VECTORS = RNG.standard_normal((400, 16)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


class Rows:
    """A truth in memory; key n has the n-th vector."""

    def __init__(self):
        self.held = []
        self.newest = 0

    def append(self, count):
        self.held += range(self.newest + 1, self.newest + count + 1)
        self.newest += count

    @property
    def mark(self):
        return Mark(len(self.held), self.newest)

    def keys(self, after=0):
        return [key for key in self.held if key > after]

    def vectors(self, keys):
        return VECTORS[list(keys)]


class Flaky(ExactIndex):
    """Breaks on the searches it is told to."""

    def __init__(self, breaks):
        super().__init__()
        self.breaks = breaks
        self.cleared = 0

    def search(self, space, vector, k):
        if next(self.breaks):
            raise IndexBroken("no")
        return super().search(space, vector, k)

    def clear(self):
        self.cleared += 1
        super().clear()


def test_a_score_does_not_depend_on_the_rows_beside_it():
    scores = similarities(VECTORS, VECTORS[5])
    for rows in ([3], [9, 3], range(1, 200), range(400)):
        assert np.array_equal(similarities(VECTORS[list(rows)], VECTORS[5]), scores[list(rows)])


def test_equal_scores_are_ordered_by_key_also_at_the_edge():
    keys = np.array([9, 2, 7, 4, 1])
    scores = np.array([0.5, 0.9, 0.5, 0.5, 0.1], dtype=np.float32)
    assert [key for key, _ in best(keys, scores, 3)] == [2, 4, 7]
    assert [key for key, _ in best(keys, scores, 99)] == [2, 4, 7, 9, 1]
    assert best(keys[:0], scores[:0], 3) == []


@given(st.lists(st.tuples(st.sampled_from(["append", "remove", "follow"]), st.integers(1, 9)), max_size=30))
@settings(max_examples=150, deadline=None)
def test_an_index_is_in_step_whenever_follow_says_so(history):
    truth, index = Rows(), ExactIndex()
    for action, number in [*history, ("follow", 0)]:
        if action == "append":
            truth.append(number)
        elif action == "remove":
            truth.held = [key for key in truth.held if key % 10 != number]
        elif follow(index, "s", truth, number or None):
            assert index.keys("s") == set(truth.held)
        else:
            assert len(index.keys("s")) >= number
    assert index.keys("s") == set(truth.held)


def test_following_adds_only_what_is_new():
    truth, index = Rows(), ExactIndex()
    truth.append(300)
    follow(index, "s", truth)
    truth.append(2)
    asked = []
    truth.vectors = lambda keys: asked.append(list(keys)) or VECTORS[list(keys)]
    follow(index, "s", truth)
    assert asked == [[301, 302]]


def test_exact_search_keeps_to_its_space_and_its_room():
    truth = Rows()
    truth.append(10)
    index = ExactIndex(room=VECTORS[:25].nbytes)
    for space in ("a", "b", "c"):
        follow(index, space, truth)
        assert index.search(space, VECTORS[4], 1) == [(4, pytest.approx(1))]
    assert index.mark("a") is None
    assert index.mark("b") == index.mark("c") == truth.mark
    assert index.search("a", VECTORS[4], 1) == []


def test_a_broken_index_is_built_anew_once_and_then_left_alone():
    truth = Rows()
    truth.append(50)
    index = Flaky(iter([False, True, False, True]))
    sidecar = Sidecar(lambda: index)
    found = sidecar.search("s", truth, VECTORS[3], 2, 100)
    assert found[0] == 3
    assert sidecar.search("s", truth, VECTORS[3], 2, 100) is None
    assert index.cleared == 1
    assert sidecar.search("s", truth, VECTORS[3], 2, 100) == found
    assert sidecar.search("s", truth, VECTORS[3], 2, 100) is None
    assert sidecar.search("s", truth, VECTORS[3], 2, 100) is None  # the iterator is spent: it was not asked


def test_a_search_moves_the_index_on_by_one_step_at_most():
    truth = Rows()
    truth.append(25)
    index = ExactIndex()
    sidecar = Sidecar(lambda: index)
    assert sidecar.search("s", truth, VECTORS[3], 1, 10) is None
    assert sidecar.search("s", truth, VECTORS[3], 1, 10) is None
    assert len(index.keys("s")) == 20
    assert sidecar.search("s", truth, VECTORS[3], 1, 10) == [3]


def test_an_index_that_cannot_be_imported_is_done_without():
    def factory():
        raise ImportError("no chromadb")

    assert Sidecar(factory).search("s", Rows(), VECTORS[0], 1, 1) is None
