import numpy as np
import pytest
from llmos.memory import clusters
from llmos.memory.clusters import ClusterIndex
from llmos.memory.vectors import Held, IndexBroken, Mark

RNG = np.random.default_rng(11)
CENTRES = RNG.standard_normal((40, 32))
VECTORS = (CENTRES[RNG.integers(0, 40, 3000)] + 0.6 * RNG.standard_normal((3000, 32))).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
KEYS = np.arange(1, 3001, dtype=np.int64)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Filled in three steps, sorted into clusters after the second; the last 100 stand in the tail."""
    monkeypatch.setattr(clusters, "FOLD_FROM", 1000)
    made = ClusterIndex(tmp_path / "index")
    for start, end in ((0, 1500), (1500, 2900), (2900, 3000)):
        made.add("s", KEYS[start:end], VECTORS[start:end])
        made.settle("s", Mark(1, end), done=end > 1500)
    return made


def recall_at_10(index):
    right = [set(KEYS[np.argsort(-(VECTORS @ VECTORS[n]))[:10]].tolist()) for n in range(0, 3000, 30)]
    return np.mean([len(right[n // 30] & set(index.search("s", VECTORS[n], 20))) / 10 for n in range(0, 3000, 30)])


def test_few_clusters_hold_nearly_all_that_is_near(index, monkeypatch):
    assert recall_at_10(index) > 0.99
    monkeypatch.setattr(clusters, "PROBES", 12)  # of 107
    assert recall_at_10(index) > 0.9


def test_a_vector_is_itself_but_for_rounding(index):
    keys, vectors = index.vectors("s", [7, 2950, 9999])
    assert sorted(keys.tolist()) == [7, 2950]
    assert np.abs(vectors[np.argsort(keys)] - VECTORS[[6, 2949]]).max() < 0.005


def test_it_is_there_after_opening_again_but_for_the_tail(index, tmp_path):
    assert index.held("s") == Held(Mark(1, 3000), 3000)
    again = ClusterIndex(tmp_path / "index")
    assert again.held("s") == Held(Mark(1, 2900), 2900)
    again.add("s", KEYS[2900:], VECTORS[2900:])
    assert [again.search("s", VECTORS[n], 20) for n in (3, 2950)] == [
        index.search("s", VECTORS[n], 20) for n in (3, 2950)
    ]


def test_every_damaged_byte_is_noticed_and_the_space_begins_anew(index, tmp_path):
    (path,) = (tmp_path / "index").iterdir()
    whole = bytearray(path.read_bytes())
    for at in [*RNG.integers(0, len(whole), 200).tolist(), 0, 20, len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        assert ClusterIndex(tmp_path / "index").held("s") is None
    for length in (0, 1, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert ClusterIndex(tmp_path / "index").held("s") is None
    path.write_bytes(whole)
    assert ClusterIndex(tmp_path / "index").held("s") == Held(Mark(1, 2900), 2900)


def test_a_space_is_forgotten_with_its_file(index, tmp_path):
    index.drop("s")
    assert index.held("s") is None
    assert list((tmp_path / "index").iterdir()) == []
    assert index.search("s", VECTORS[0], 3) == []


def test_a_folder_that_cannot_be_made_is_index_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "FOLD_FROM", 10)
    (tmp_path / "file").write_text("in the way")
    index = ClusterIndex(tmp_path / "file" / "index")
    index.add("s", KEYS[:50], VECTORS[:50])
    with pytest.raises(IndexBroken, match="cannot be written"):
        index.settle("s", Mark(1, 50), done=True)
