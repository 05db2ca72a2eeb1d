"""The index of vectors at size: how fast, how right, what it costs.
    python benchmarks/vectors.py [--count 1000000] [--data FOLDER] [--index clusters|chroma] [--home FOLDER] [--json]

The vectors are those of real texts: all that ``--data`` holds in JSON, JSON lines and plain text, in windows of one
and of three sentences, each once; where that is not enough, the same again with noise (cosine of some 0.9).
Queries are windows that were set aside. Without ``--data`` the sample documents of this repository are used, and the
noise does nearly all. Storing and embedding are timed apart: what is remembered here are short stand-ins for the texts.
"""

import argparse
import gzip
import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from llmos.memory.database import Database
from llmos.memory.embedder import StaticEmbedder
from llmos.memory.follower import Follower
from llmos.memory.indexes import EMBEDDED, index_in
from llmos.memory.recall import Passage, Progress, Recall
from llmos.memory.spaces import SpaceVectors, make_space, next_turn, write_vectors
from llmos.memory.vectors import BATCH, nearest

ROOT = Path(__file__).resolve().parent.parent
OWN = {"owner": "benchmark", "app": "vectors"}
QUERIES = 500
PORTION = 1000


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def texts(folder: Path) -> Iterator[str]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
                text = file.read()
        except (UnicodeDecodeError, OSError):
            continue
        name = path.name.removesuffix(".gz")
        if name.endswith((".json", ".jsonl")):
            for line in text.splitlines() if name.endswith("l") else [text]:
                try:
                    yield from strings(json.loads(line))
                except ValueError:
                    continue
        elif name.endswith((".txt", ".md", ".csv", ".tsv")):
            yield from text.splitlines()


def windows(folder: Path) -> Iterator[str]:
    seen = set[int]()
    for text in texts(folder):
        sentences = [part for part in re.split(r"(?<=[.!?。！？\n])\s*", text) if part.strip()]
        for start in range(len(sentences)):
            for size in (1, 3):
                window = " ".join(sentences[start : start + size])[:1200]
                if len(window) >= 40 and hash(window) not in seen:
                    seen.add(hash(window))
                    yield window


def material(folder: Path, count: int, embedder: StaticEmbedder, cache: Path) -> np.ndarray:
    """Shape (count + QUERIES, dim), the queries last, in half the usual precision."""
    kept = cache / f"{embedder.name.replace('/', '-')}-{count}.npy"
    if not kept.exists():
        dice, found, part = np.random.default_rng(2), list[np.ndarray](), list[str]()
        for window in windows(folder):
            part.append(window)
            if len(part) == 5000:
                found.append(embedder.embed(part).astype(np.float16))
                part = []
            if len(found) * 5000 > count + QUERIES:
                break
        found.append(embedder.embed(part).astype(np.float16))
        real = dice.permutation(np.concatenate(found))
        real = real[np.abs(real).max(axis=1) > 0]
        asked, real = real[:QUERIES], real[QUERIES:]
        rows = np.resize(real, (count, real.shape[1]))
        for start in range(len(real), count, 50_000):
            noisy = rows[start : start + 50_000].astype(np.float32)
            noisy += dice.standard_normal(noisy.shape, dtype=np.float32) * np.float32(0.5 / noisy.shape[1] ** 0.5)
            rows[start : start + 50_000] = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
        print(f"{len(real)} vectors of different texts, {max(0, count - len(real))} with noise", file=sys.stderr)
        np.save(kept, np.concatenate([rows, asked]))
    return np.load(kept, mmap_mode="r")


class Given:
    """An embedder that knows the vectors of its texts beforehand: their numbers."""

    def __init__(self, rows: np.ndarray) -> None:
        self.name, self.dim, self._rows = "given", rows.shape[1], rows

    def embed(self, asked: Any) -> np.ndarray:
        rows = self._rows[[int(text.split()[-1]) for text in asked]].astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def resident() -> float:
    """Megabytes of memory that are this program's own, mapped files left out."""
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 1024


def mapped() -> float:
    """Megabytes of files that are mapped and in memory: the system takes them back when it needs the room."""
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssFile"].split()[0]) / 1024


def tell(progress: Progress) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress.what}: {progress.done}/{progress.total}   ", end="", file=sys.stderr)


def fill(database: Database, rows: np.ndarray, embedder: int) -> float:
    """Store all in large transactions and without words; vectors a second. (`adding` goes through `Recall`.)"""
    begun, space = time.perf_counter(), make_space(database, "benchmark", "vectors", "default")
    sql = (
        "INSERT INTO passages (id, collection, turn, words, created, key, label, source, tags, meta, title, text)"
        " VALUES (?, ?, ?, 1, 0, ?, 'untrusted', '', ?, '{}', '', ?)"
    )
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH].astype(np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        numbers = range(start + 1, start + 1 + len(part))
        with database.transaction() as connection:
            turn = next_turn(connection, space.id)
            new = [(n, space.id, turn, str(n - 1), f'["t{n % 10}"]', str(n - 1)) for n in numbers]
            connection.executemany(sql, new)
            connection.executemany("INSERT INTO passage_tags VALUES (?, ?)", [(f"t{n % 10}", n) for n in numbers])
            write_vectors(connection, embedder, numbers, list(part))
        tell(Progress("storing", start + len(part), len(rows)))
    return len(rows) / (time.perf_counter() - begun)


def exact_ten(rows: np.ndarray, asked: np.ndarray) -> list[set[str]]:
    """The keys of the right ten of each query."""
    scores, keys = np.full((len(asked), 10), -2, np.float32), np.zeros((len(asked), 10), np.int64)
    for start in range(0, len(rows), 50_000):
        part = rows[start : start + 50_000].astype(np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        both = np.hstack([scores, asked @ part.T])
        every = np.hstack([keys, np.broadcast_to(np.arange(start, start + len(part)), (len(asked), len(part)))])
        top = np.argpartition(-both, 10, axis=1)[:, :10]
        scores, keys = np.take_along_axis(both, top, axis=1), np.take_along_axis(every, top, axis=1)
        tell(Progress("searching exactly", start + len(part), len(rows)))
    return [{str(key) for key in row} for row in keys]


def timed(act: Callable[[int], Any], numbers: range) -> tuple[dict[str, float], list[Any]]:
    times, found = [], []
    for number in numbers:
        begun = time.perf_counter()
        found.append(act(number))
        times.append(1000 * (time.perf_counter() - begun))
    return {"p50_ms": float(np.percentile(times, 50)), "p95_ms": float(np.percentile(times, 95))}, found


def searches(recall: Recall, database: Database, follower: Follower, rows: np.ndarray, count: int) -> dict[str, Any]:
    """The nearest ten by vectors alone, and whole searches, with filters and without."""
    asked = rows[count:].astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    right, space = exact_ten(rows[:count], asked), make_space(database, "benchmark", "vectors", "default")
    truth, every = SpaceVectors(space, 1), range(len(asked))
    index = follower.index(truth)
    assert index is not None, "the index is not ready"
    figures, near = timed(lambda n: nearest(index, truth, asked[n], 10, 100), every)
    keys = [{hit.key for hit in space.hits([number for number, _ in found]).values()} for found in near]
    whole = {
        "nearest": {**figures, "recall@10": float(np.mean([len(a & b) / 10 for a, b in zip(keys, right, strict=True)]))}
    }
    asks = {
        "search": {},
        "a tenth, by tag": {"tags": ["t3"]},
        "all, by time": {"until": 1.0},
        "one, by source": {"source": "x"},
    }
    for name, narrowed in asks.items():
        whole[name], _ = timed(lambda n, more=narrowed: recall.search(f"{count + n}", k=10, **OWN, **more), every[:100])
    return whole


def adding(embedder: StaticEmbedder, folder: Path, home: Path) -> dict[str, float]:
    """Chunks a second through `Recall.remember`, embedding included, and how long the store was held at most."""
    (home / "adding.db").unlink(missing_ok=True)
    database = Database(home / "adding.db")
    recall, part, rates = Recall(database, embedder), list[Passage](), list[float]()
    for window in windows(folder):
        part.append(Passage(window))
        if len(part) == PORTION:
            begun = time.perf_counter()
            recall.remember(part, **OWN)
            rates.append(PORTION / (time.perf_counter() - begun))
            part = []
        if len(rates) == 10:
            break
    change = recall.remembering(part or [Passage("one")], **OWN)
    begun = time.perf_counter()
    with database.transaction() as connection:
        change.write(connection)
    held = 1000 * (time.perf_counter() - begun)
    recall.settled(change)
    recall.close()
    database.close()
    return {"added_per_s": float(np.median(rates)), "written_ms": held}


def main() -> None:
    parser = argparse.ArgumentParser(description="The index of vectors at size.")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=ROOT / "examples")
    parser.add_argument("--index", choices=["clusters", "chroma"], default="clusters")
    parser.add_argument("--home", type=Path, help="kept, with the vectors; by default a folder that goes afterwards")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    embedder = StaticEmbedder(ROOT / "models" / "shipped" / "embedder.npz")
    with tempfile.TemporaryDirectory() as spare:
        home = options.home or Path(spare)
        home.mkdir(parents=True, exist_ok=True)
        rows = material(options.data, options.count, embedder, home)
        figures: dict[str, Any] = {
            "count": options.count,
            "index": options.index,
            **adding(embedder, options.data, home),
        }
        path = home / f"{options.index}.db"
        path.unlink(missing_ok=True)
        database = Database(path)
        factory = index_in(home / "index", database, EMBEDDED if options.index == "chroma" else "")
        before, recall = resident(), Recall(database, Given(rows), factory)
        figures["stored_per_s"] = fill(database, rows[: options.count], 1)
        begun = time.perf_counter()
        recall.sync(tell)
        figures["index_s"] = time.perf_counter() - begun
        follower = recall._follower
        assert follower is not None
        figures |= searches(recall, database, follower, rows, options.count)
        figures["own_mb"], figures["mapped_mb"] = resident() - before, mapped()
        figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures["disk_mb"] = sum(p.stat().st_size for p in (home / "index").rglob("*") if p.is_file()) / 2**20
        recall.close()
        begun, again = time.perf_counter(), Recall(database, Given(rows), factory)
        again.sync(tell)
        figures["opened_s"] = time.perf_counter() - begun
        again.close()
        database.close()
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        shown = "  ".join(f"{k} {v:.3f}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{name:18}{shown:.1f}" if isinstance(shown, float) else f"{name:18}{shown}")


if __name__ == "__main__":
    main()
