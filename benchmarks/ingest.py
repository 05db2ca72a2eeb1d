"""How fast files are remembered: passages a second from the first byte read to the last on disk, and where time goes.

    python benchmarks/ingest.py [--data FOLDER] [--files 5000] [--json]

``--files`` small Markdown files are made of SciFact's abstracts, one each with a number of its own where there are more
files than abstracts (ret_scifact of ``--data``; without it of the texts in examples/). They are added, added again
unchanged, and again with one in a hundred changed. The texts of ``--data`` itself, in their own formats, are added
after them. Reading happens in a child, beside the rest; what that could do by itself is measured apart. Computing time
is told as well, which others on the same machine do not change.
"""

import argparse
import gzip
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

from llmos.memory.database import Database
from llmos.memory.embedder import StaticEmbedder, Vectors
from llmos.memory.ingest.adding import Summary, Wanted
from llmos.memory.ingest.library import Library
from llmos.memory.ingest.reading import Job, Part, read
from llmos.memory.ingest.shelf import Place
from llmos.memory.recall import Recall

ROOT = Path(__file__).resolve().parent.parent
MOST = 2**30
T = TypeVar("T")


class Timed(StaticEmbedder):
    """Counts the seconds that it computes, on all cores together."""

    seconds = 0.0

    def embed(self, texts: Any) -> Vectors:
        begun = time.process_time()
        vectors = super().embed(texts)
        self.seconds += time.process_time() - begun
        return vectors


def abstracts(data: Path | None) -> list[tuple[str, str]]:
    """(title, text) to make files of."""
    path = data / "ret_scifact" / "corpus.jsonl.gz" if data else None
    if path and path.exists():
        with gzip.open(path, "rt") as file:
            rows = [json.loads(line) for line in file]
        return [(row["title"], row["text"]) for row in rows]
    return [(path.stem, path.read_text()) for path in sorted((ROOT / "examples").rglob("*.md"))]


def make(folder: Path, count: int, texts: list[tuple[str, str]]) -> None:
    for number in range(count):
        title, text = texts[number % len(texts)]
        path = folder / f"{number // 100:03}" / f"{number:05}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# {title}\n\nNumber {number}. {text}\n")


def finished(steps: Generator[Any, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def reading_alone(folder: Path) -> float:
    jobs = [Job(str(path), path.name, path.stat().st_size) for path in sorted(folder.rglob("*")) if path.is_file()]
    begun = time.perf_counter()
    pieces = sum(len(event.pieces) for event in read(jobs, MOST) if isinstance(event, Part))
    return pieces / (time.perf_counter() - begun)


def childrens() -> float:
    """Seconds that children which have ended computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(name: str, add: Callable[[], Summary], embedder: Timed) -> dict[str, Any]:
    embedder.seconds, begun, own, childs = 0.0, time.perf_counter(), time.process_time(), childrens()
    told = add()
    took = time.perf_counter() - begun
    return {
        "what": name, "new": told.added, "changed": told.changed, "unchanged": told.unchanged,
        "passages": told.passages, "seconds": round(took, 2), "passages_per_s": round(told.passages / took),
        "computing_s": round(time.process_time() - own, 2), "of_it_embedding_s": round(embedder.seconds, 2),
        "child_computing_s": round(childrens() - childs, 2), "skipped": len([s for s in told.skipped if s.failed]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    embedder = Timed(ROOT / "models" / "shipped" / "embedder.npz")
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "files")
        folder.mkdir()
        make(folder, options.files, abstracts(options.data))
        database = Database(Path(place, "llmos.db"))
        recall = Recall(database, embedder)
        library = Library(database, recall, lambda: time.time() + 10)  # the files count as at rest

        def add(path: Path, collection: str) -> Summary:
            return finished(library.add(Wanted((str(path),), most=MOST), Place("me", "memory", collection)))

        rows.append(measure("small files", lambda: add(folder, "files"), embedder))
        rows.append(measure("the same again", lambda: add(folder, "files"), embedder))
        for path in sorted(folder.rglob("*.md"))[::100]:
            path.write_text(path.read_text() + "Changed.\n")
            os.utime(path, (1, 1))
        rows.append(measure("one in a hundred changed", lambda: add(folder, "files"), embedder))
        if options.data:
            rows.append(measure("texts in other formats", lambda: add(options.data, "data"), embedder))
        alone = round(reading_alone(folder))
        recall.close()
        database.close()
    for row in rows:
        print(json.dumps(row) if options.json else "  ".join(f"{k}={v}" for k, v in row.items()))
    print(json.dumps({"read_alone_per_s": alone}) if options.json else f"reading and splitting alone: {alone}/s")


if __name__ == "__main__":
    main()
