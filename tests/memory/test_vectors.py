import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.memory.clusters import ClusterIndex
from llmos.memory.follower import Follower
from llmos.memory.vectors import ExactIndex, IndexBroken, Mark, agrees, best, compared, follow, nearest, similarities

RNG = np.random.default_rng(7)
VECTORS = RNG.standard_normal((400, 16)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


class Rows:
    """A truth in memory; key n has the n-th vector."""

    name = "s"

    def __init__(self):
        self.held, self.newest, self.turn = {}, 0, 0

    def append(self, count):
        self.turn += 1
        self.held |= dict.fromkeys(range(self.newest + 1, self.newest + count + 1), self.turn)
        self.newest += count

    @property
    def count(self):
        return len(self.held)

    def after(self, mark, limit=-1):
        marks = sorted(Mark(turn, key) for key, turn in self.held.items() if Mark(turn, key) > mark)
        return marks if limit < 0 else marks[:limit]

    def alive(self, keys):
        return [key for key in keys if key in self.held]

    def vectors(self, keys):
        keys = sorted(keys)
        return np.array(keys, dtype=np.int64), VECTORS[keys]


def in_step(index, truth):
    for _ in follow(index, truth):
        pass


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


HISTORY = st.lists(st.tuples(st.sampled_from(["append", "remove", "follow", "open"]), st.integers(1, 9)), max_size=25)


@given(HISTORY)
@settings(max_examples=100, deadline=None)
def test_a_search_is_right_whatever_happened_to_truth_and_index(tmp_path_factory, history):
    folder = tmp_path_factory.mktemp("index")
    truth, index, exact = Rows(), ClusterIndex(folder), ExactIndex()
    for action, number in [*history, ("append", 1)]:
        if action == "append":
            truth.append(number)
        elif action == "remove":
            truth.held = {key: turn for key, turn in truth.held.items() if key % 10 != number}
        elif action == "follow":
            for _, _ in zip(range(number), follow(index, truth), strict=False):
                pass
        else:
            index.close()
        right = compared(truth, VECTORS[0], list(truth.held), 5)
        assert exact.search(truth, VECTORS[0], 5) == right
        assert nearest(index, truth, VECTORS[0], 5, 400) == right


def test_following_adds_only_what_is_new(tmp_path):
    truth, index = Rows(), ClusterIndex(tmp_path)
    truth.append(300)
    in_step(index, truth)
    truth.append(2)
    asked, vectors = [], truth.vectors
    truth.vectors = lambda keys: asked.append(list(keys)) or vectors(keys)
    in_step(index, truth)
    assert asked == [[301, 302]]


def test_an_index_that_is_mostly_of_the_dead_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("llmos.memory.vectors.BATCH", 10)
    truth, index = Rows(), ClusterIndex(tmp_path)
    truth.append(100)
    in_step(index, truth)
    truth.held = {key: turn for key, turn in truth.held.items() if key > 90}
    in_step(index, truth)
    assert index.held("s").count == 10


def test_exact_search_keeps_to_its_space_and_its_room():
    index = ExactIndex(room=VECTORS[:25].nbytes)
    for space in ("a", "b", "c"):
        truth = Rows()
        truth.append(10)
        truth.name = space
        assert index.search(truth, VECTORS[4], 1) == [(4, pytest.approx(1))]
    assert list(index._shelves) == ["b", "c"]


def test_an_index_that_holds_something_else_is_filled_anew(tmp_path):
    truth, other, index = Rows(), Rows(), ClusterIndex(tmp_path)
    truth.append(50)
    other.append(50)
    other.vectors = lambda keys: (np.array(sorted(keys)), VECTORS[[key + 100 for key in sorted(keys)]])
    in_step(index, other)
    assert not agrees(index, truth, [1, 2, 3])
    follower = Follower(lambda: index)
    assert follower.index(truth) is None
    assert [step.done for step in follower.steps(truth)] == [0, 50]
    assert follower.index(truth) is index
    assert agrees(index, truth, range(1, 51))


class Flaky(ClusterIndex):
    """Breaks while it is filled, as often as it is told to."""

    def __init__(self, folder, times):
        super().__init__(folder)
        self.times, self.cleared = times, 0

    def add(self, *arguments):
        self.times -= 1
        if self.times >= 0:
            raise IndexBroken("no")
        super().add(*arguments)

    def clear(self):
        self.cleared += 1
        super().clear()


@pytest.mark.parametrize(("times", "works", "cleared"), [(0, True, 0), (1, True, 1), (5, False, 1)])
def test_a_broken_index_is_made_anew_once_and_then_left_alone(tmp_path, times, works, cleared):
    truth, index = Rows(), Flaky(tmp_path, times)
    truth.append(50)
    follower = Follower(lambda: index)
    for _ in range(3):
        list(follower.steps(truth))
    assert (follower.index(truth) is not None) is works
    assert index.cleared == cleared


def test_an_index_that_cannot_be_imported_is_done_without():
    def factory():
        raise ImportError("no chromadb")

    truth, follower = Rows(), Follower(factory)
    truth.append(3)
    list(follower.steps(truth))
    assert follower.index(truth) is None
