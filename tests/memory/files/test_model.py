"""Random histories against a plain dictionary: the tree says what was written, whatever was thinned meanwhile."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from llmos.memory.database import Database
from llmos.memory.faults import BadPath, Missing
from llmos.memory.files import FileStore, FileTree, Retention

NAMES = st.sampled_from(["a", "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
DATA = st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 90, 5_000, 70_000])).map(
    lambda seed: random.Random(seed[0]).randbytes(seed[1])
)


class Histories(RuleBasedStateMachine):
    """``model``: path -> content of what is there; ``past``: path -> content by version, None where it was deleted."""

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(Path(self.folder.name) / "llmos.db")
        self.database.rows("PRAGMA synchronous = OFF")  # no power fails here
        self.now = 0.0
        self.store = FileStore(self.database, clock=lambda: self.now)
        self.tree = FileTree(self.store, "ann", "app")
        FileTree(self.store, "ann").write("other/a", b"another app's")
        FileTree(self.store, "bob").write("app/a", b"another owner's")
        self.model: dict[str, bytes] = {}
        self.past: dict[str, dict[int, bytes | None]] = {}

    def teardown(self):
        self.database.close()
        self.folder.cleanup()

    def blocked(self, path):
        """Whether a file or a folder stands in the way of a file here."""
        parts = path.split("/")
        above = any("/".join(parts[:n]) in self.model for n in range(1, len(parts)))
        return above or any(other.startswith(path + "/") for other in self.model)

    def put(self, path, data):
        self.model[path] = data
        versions = self.past.setdefault(path, {})
        versions[max(versions, default=0) + 1] = data

    @rule(path=PATHS, data=DATA, append=st.booleans())
    def change(self, path, data, append):
        self.write(path, data, append)

    def write(self, path, data, append):
        self.now += 1
        action = self.tree.append if append else self.tree.write
        if self.blocked(path):
            expect(BadPath, action, path, data)
            return
        action(path, data)
        new = self.model.get(path, b"") + data if append else data
        if path not in self.model or new != self.model[path] or self.rewritten(path):
            self.put(path, new)

    @rule(path=PATHS, times=st.integers(1, 20))
    def append_often(self, path, times):
        for number in range(times):
            self.write(path, b"line %d\n" % number, True)

    def rewritten(self, path):
        """The same content in other pieces, after appending, is a version too: the store says."""
        return self.tree.versions(path)[-1].number > max(self.past[path])

    @rule(path=PATHS)
    def delete(self, path):
        self.now += 1
        if path in self.model:
            self.tree.delete(path)
            self.put(path, None)
            del self.model[path]
        else:
            expect((Missing, BadPath), self.tree.delete, path)

    @rule(path=PATHS, version=st.integers(1, 6))
    def rollback(self, path, version):
        self.now += 1
        content = self.past.get(path, {}).get(version)
        if content is None or (path not in self.model and self.blocked(path)):
            expect((Missing, BadPath), self.tree.rollback, path, version)
            return
        self.tree.rollback(path, version)
        self.put(path, content)

    @rule(old=PATHS, new=PATHS)
    def rename(self, old, new):
        there = [path for path in self.model if path == old or path.startswith(old + "/")]
        taken = new in self.model or self.blocked(new)
        if old == new and there:
            self.tree.rename(old, new)
        elif not there or taken or new.startswith(old + "/"):
            expect((Missing, BadPath), self.tree.rename, old, new)
        elif any(self.past_below(new)) or any(p not in self.model for p in self.past_below(old)):
            return  # two histories of one path: which of them is seen is tested by itself
        else:
            self.tree.rename(old, new)
            for path in there:
                moved = new + path.removeprefix(old)
                self.model[moved], self.past[moved] = self.model.pop(path), self.past.pop(path)

    def past_below(self, path):
        return [p for p in self.past if p == path or p.startswith(path + "/")]

    @rule(keep=st.integers(1, 3))
    def thin(self, keep):
        self.store.sweep(Retention(days=-1, newest=keep))
        for path in [*self.past]:
            newest = max(self.past[path])
            if path in self.model:
                self.past[path] = {n: data for n, data in self.past[path].items() if n > newest - keep}
            else:
                del self.past[path]

    @invariant()
    def what_is_there_is_what_was_written(self):
        assert {e.path: e.size for e in self.tree.entries()} == {p: len(data) for p, data in self.model.items()}
        for path, data in self.model.items():
            assert self.tree.read(path) == data

    @invariant()
    def every_version_that_is_kept_is_as_it_was(self):
        for path, versions in self.past.items():
            assert [v.number for v in self.tree.versions(path)] == sorted(versions)
            for number, data in versions.items():
                if data is not None:
                    assert self.tree.read(path, number) == data

    @invariant()
    def nothing_leaves_the_tree_and_nothing_is_damaged(self):
        assert FileTree(self.store, "ann").read("other/a") == b"another app's"
        assert FileTree(self.store, "bob").read("app/a") == b"another owner's"
        names = {e.path.split("/")[0] for e in FileTree(self.store, "ann").entries()}
        assert names <= {"app", "other"}
        assert self.store.check() == []
        (stored, needed) = self.database.rows("SELECT sum(stored), (SELECT sum(size) FROM versions) FROM nodes")[0]
        assert stored <= (needed or 0)


def expect(error, action, *args):
    try:
        action(*args)
    except error:
        return
    raise AssertionError(f"{action.__name__}{args} was not refused")


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
