"""States out of the engine: within budgets, the right one goes, and what is damaged is lost rather than wrong."""

import os
import random
import threading

import pytest
from llmos.kernel.shelf import Shelf


def settled(shelf):
    """The shelf once its writer has nothing left to do."""
    while writing := list(shelf._writing):
        for one in writing:
            one.result()
    return shelf.meters()


@pytest.fixture
def make(tmp_path):
    made = []

    def build(*, files=True, **budgets):
        made.append(Shelf(tmp_path / "swap" if files else None, **budgets))
        return made[-1]

    yield build
    for shelf in made:
        shelf.close()
    assert not (tmp_path / "swap").exists()


def test_the_cheapest_for_its_size_goes_first_and_the_loss_is_told(make):
    shelf, lost = make(files=False, ram=300), []
    shelf.on_lost = lost.append
    dear, cheap = shelf.put(b"d" * 100, 50.0), shelf.put(b"c" * 100, 5.0)
    wide = shelf.put(b"w" * 200, 60.0)
    assert lost == [cheap]
    assert (shelf.get(dear), shelf.get(cheap), shelf.get(wide)) == (b"d" * 100, None, b"w" * 200)
    assert shelf.meters()["dropped"] == 1


@pytest.mark.parametrize("used", [False, True])
def test_what_was_of_no_use_lately_goes_though_it_costs_more(make, used):
    shelf = make(files=False, ram=200)
    cheap, dear = shelf.put(b"c" * 100, 10.0), shelf.put(b"d" * 100, 20.0)
    young = shelf.put(b"y" * 100, 15.0)  # the cheap one goes, and the age becomes its value
    assert shelf.get(cheap) is None
    if used:
        shelf.get(dear)
    shelf.put(b"n" * 100, 30.0)
    assert shelf.get(young if used else dear) is None
    assert shelf.get(dear if used else young) is not None


def test_a_pinned_state_stays_whatever_comes_until_it_is_unpinned(make):
    shelf = make(files=False, ram=100)
    mine = shelf.put(b"m" * 100, 0.0, pinned=True)
    for _ in range(20):
        shelf.put(b"x" * 100, 1e9)
    assert shelf.get(mine) == b"m" * 100
    shelf.put(b"y" * 100, 1e9, pinned=True)
    shelf.unpin(mine)
    assert shelf.get(mine) is None


def test_beyond_memory_lie_files_and_beyond_files_nothing(make, tmp_path):
    shelf, lost = make(ram=100, disk=200), []
    shelf.on_lost = lost.append
    keys = [shelf.put(bytes([i]) * 100, float(i)) for i in range(5)]
    found = settled(shelf)
    assert found["memory_bytes"] <= 100
    assert found["file_bytes"] <= 200
    assert sum(f.stat().st_size for f in (tmp_path / "swap").iterdir()) == found["file_bytes"]
    for i, key in enumerate(keys):
        assert shelf.get(key) == (None if key in lost else bytes([i]) * 100)
    assert len(lost) == found["dropped"] == 2


def test_nothing_makes_room_for_what_cannot_fit(make):
    shelf = make(ram=50, disk=200)
    kept = shelf.put(b"k" * 100, 1.0)
    settled(shelf)
    huge = shelf.put(b"h" * 1000, 1e9)
    settled(shelf)
    assert shelf.get(kept) == b"k" * 100
    assert shelf.get(huge) is None


def test_a_state_on_its_way_into_a_file_can_be_read_and_dropped(make):
    shelf, hold = make(ram=0, disk=1000), threading.Event()
    shelf._writer.submit(hold.wait)
    read, dropped = shelf.put(b"r" * 10, 1.0), shelf.put(b"d" * 10, 1.0)
    assert shelf.get(read) == b"r" * 10
    assert shelf.meters()["memory_bytes"] == 20
    shelf.drop(dropped)
    hold.set()
    found = settled(shelf)
    assert shelf.get(read) == b"r" * 10
    assert shelf.get(dropped) is None
    assert (found["in_memory"], found["memory_bytes"], found["in_files"], found["file_bytes"]) == (0, 0, 1, 10)


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_file_is_a_miss_that_is_told_and_leaves_nothing(make, tmp_path, harm):
    shelf, lost = make(ram=0, disk=1000), []
    shelf.on_lost = lost.append
    key = shelf.put(b"s" * 100, 1.0, pinned=True)
    settled(shelf)
    (file,) = (tmp_path / "swap").iterdir()
    if harm == "remove":
        file.unlink()
    else:
        file.write_bytes(b"s" * 50 if harm == "cut" else b"s" * 99 + b"t")
    assert shelf.get(key) is None
    assert lost == [key]
    assert not file.exists()
    assert shelf.meters()["file_bytes"] == 0


def test_a_disk_that_takes_nothing_loses_caches_but_no_process(make, tmp_path):
    shelf = make(ram=0, disk=1000)
    (tmp_path / "swap").rmdir()  # every write fails, whoever runs the test
    cache, mine = shelf.put(b"c", 1.0), shelf.put(b"m", 1.0, pinned=True)
    settled(shelf)
    assert shelf.get(cache) is None
    assert shelf.get(mine) == b"m"


def test_files_of_a_program_that_died_go_at_the_start(make, tmp_path):
    (tmp_path / "swap").mkdir()
    (tmp_path / "swap" / "7.state").write_bytes(b"left")
    make(ram=0)
    assert list((tmp_path / "swap").iterdir()) == []


def test_many_random_uses_keep_budgets_and_contents(make, tmp_path):
    chance = random.Random(4)
    shelf, lost, there = make(ram=500, disk=1500), set(), {}
    shelf.on_lost = lost.add
    for i in range(600):
        act = chance.random()
        if act < 0.5 or not there:
            state = os.urandom(chance.randint(1, 200))
            pinned = sum(len(s) for s, p in there.values() if p) < 800 and chance.random() < 0.2
            there[shelf.put(state, chance.random() * 100, pinned=pinned)] = state, pinned
        else:
            key = chance.choice(list(there))
            state, pinned = there[key]
            if act < 0.8:
                found = shelf.get(key)
                assert found == state or (found is None and not pinned)
            elif act < 0.9:
                shelf.unpin(key)
                there[key] = state, False
            else:
                shelf.drop(key)
                del there[key]
        if i % 50 == 0:
            found = settled(shelf)
            assert found["file_bytes"] <= 1500
            assert found["memory_bytes"] <= 500 + sum(len(s) for s, p in there.values() if p)
            assert sum(f.stat().st_size for f in (tmp_path / "swap").iterdir()) == found["file_bytes"]
    settled(shelf)
    for key, (state, _) in there.items():
        assert shelf.get(key) == (None if key in lost else state)
