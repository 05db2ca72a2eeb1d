import pytest
from llmos.memory.files import FileStore, FileTree


class Clock:
    """Time that passes when a test says so, and a little with each look."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        self.now += 0.001
        return self.now

    def pass_days(self, days):
        self.now += days * 86400


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(database, clock):
    return FileStore(database, clock=clock)


@pytest.fixture
def tree(store):
    return FileTree(store, "ann", "shop")


@pytest.fixture
def chunks(database):
    """``chunks()``: how many chunks the store holds."""
    return lambda: database.one("SELECT count(*) FROM chunks")[0]


def paths(tree, folder=""):
    return [entry.path for entry in tree.entries(folder)]
