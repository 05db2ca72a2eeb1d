"""What files cost: cutting, writing, reading, versions, appending, many small files, finding, freeing.

    python benchmarks/files.py [--megabytes 128] [--files 5000]

Each line is printed when it has been measured: seconds by the clock, and of processor time, which is what it takes
where nobody else computes and the disk is fast. Nothing is kept.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from llmos.apps.system.embedders import SHIPPED
from llmos.memory.database import Database
from llmos.memory.embedder import StaticEmbedder
from llmos.memory.files import FileStore, FileTree, Retention, find
from llmos.memory.files.chunking import pieces
from llmos.memory.recall import Recall

WORDS = [
    "parcel",
    "depot",
    "quarter",
    "refund",
    "delivery",
    "invoice",
    "hat",
    "shoe",
    "winter",
    "return",
    "late",
    "flood",
]


def timed(what: str, action: Callable[[], Any], unit: str = "s", amount: float = 1.0) -> None:
    """Print what it takes: seconds or milliseconds for each of an amount, or megabytes a second."""
    begin, spent = time.perf_counter(), time.process_time()
    action()
    took, spent = time.perf_counter() - begin, time.process_time() - spent
    clock, processor = (
        (amount / took, amount / spent)
        if unit == "MB/s"
        else (took / amount * _MANY[unit], spent / amount * _MANY[unit])
    )
    print(f"{what}: {clock:.4g} {unit}; by processor time {processor:.4g} {unit}", flush=True)


_MANY = {"s": 1, "ms": 1000}


def prose(size: int, seed: int = 1) -> bytes:
    """Words in lines, in no order."""
    drawn = random.Random(seed)
    lines = (" ".join(drawn.choices(WORDS, k=12)) + f" {drawn.random()}\n" for _ in range(size // 90 + 1))
    return "".join(lines).encode()[:size]


def stored(database: Database) -> int:
    """Bytes in the chunks and the lists of them."""
    row = database.one("SELECT total(length(data)), (SELECT total(length(pieces)) FROM versions) FROM chunks")
    assert row is not None
    return int(row[0] + row[1])


def large(tree: FileTree, database: Database, size: int) -> None:
    """One large file of each kind: in, changed in the middle, out."""
    for kind, data in (("noise", random.Random(2).randbytes(size)), ("text", prose(size))):
        mega, empty = size / 1e6, stored(database)
        timed(f"{kind}, cutting", partial(_cut, data), "MB/s", mega)
        timed(f"{kind}, writing", partial(tree.write, kind, data), "MB/s", mega)
        before = stored(database)
        print(f"{kind}, in the store: {(before - empty) / 1e6:.1f} of {mega:.0f} MB")
        changed = data[: size // 2] + b"a word" + data[size // 2 :]
        timed(f"{kind}, a word put in", partial(tree.write, kind, changed))
        print(f"{kind}, for that in the store: {(stored(database) - before) / 1e3:.0f} kB")
        timed(f"{kind}, reading", partial(tree.read, kind), "MB/s", mega)


def _cut(data: bytes) -> None:
    for _ in pieces([data]):
        pass


def appending(tree: FileTree, database: Database, times: int) -> None:
    """A log of lines of 60 bytes, each on disk before the next."""
    before, lines = stored(database), [prose(59, seed) + b"\n" for seed in range(times)]
    timed("appending a line of 60 bytes", lambda: [tree.append("log", line) for line in lines], "ms", times)
    print(f"for each in the store: {(stored(database) - before) / times:.0f} bytes")


def many(tree: FileTree, recall: Recall, count: int) -> None:
    """Small files: made, listed, moved as a folder, found."""
    texts = {f"many/{n % 100}/{n}.txt": prose(2000, n) for n in range(count)}
    timed(
        f"writing {count} files of 2 kB, each a commit, one of them",
        lambda: [tree.write(path, text) for path, text in texts.items()], "ms", count,
    )  # fmt: skip
    timed("listing them", tree.entries)
    timed("renaming their folder", lambda: tree.rename("many", "moved"), "ms")
    for which in ("first", "second"):
        timed(f"finding, the {which} time", lambda: find(tree, recall, "the report about the late parcels"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=128)
    parser.add_argument("--files", type=int, default=5000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "llmos.db")
        store, recall = FileStore(database), Recall(database, StaticEmbedder(SHIPPED))
        large(FileTree(store, "large"), database, given.megabytes * 10**6)
        appending(FileTree(store, "log"), database, 2000)
        many(FileTree(store, "many"), recall, given.files)
        timed("dropping all versions but the newest", lambda: store.sweep(Retention(days=-1, newest=1)))
        recall.close()
        database.close()


if __name__ == "__main__":
    main()
