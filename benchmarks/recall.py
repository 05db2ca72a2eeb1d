"""How well recall finds: nDCG@10 and recall@10 of words alone, vectors alone, and both fused.

    python benchmarks/recall.py [--data FOLDER] [--shop FOLDER] [--embedder FILE] [--teacher GGUF] [--json]

The sample shop comes with the repository. ``--data`` holds the public sets of retrieval_sets.py; what is not there is
skipped, with the reason. ``--embedder`` is another embedder than the shipped one: .npz, or an embedding model as GGUF.
``--teacher`` adds two columns, the vectors of that model alone and fused with words (minutes, it is computed here).
Everything goes through `Recall`, as an app would use it.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llmos.memory.database import Database
from llmos.memory.embedder import Embedder, StaticEmbedder
from llmos.memory.recall import Hit, Recall
from llmos.models.embedding import GGUFEmbedder
from retrieval_sets import ACROSS, SETS, Retrieval, shop

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("words", "vectors", "both")
TAUGHT = ("teacher", "teacher+words")


def ranked(hits: list[Hit]) -> dict[str, list[str]]:
    """The ten best keys of each way, told from one search."""
    words = sorted((hit.why.keyword, hit.key) for hit in hits if hit.why.keyword)
    vectors = sorted((hit.why.vector, hit.key) for hit in hits if hit.why.vector)
    return {
        "words": [key for _, key in words[:10]],
        "vectors": [key for _, key in vectors[:10]],
        "both": [hit.key for hit in hits[:10]],
    }


def ndcg(found: list[str], right: set[str]) -> float:
    """Normalised discounted cumulative gain at 10, with gains of 0 and 1 (Järvelin and Kekäläinen 2002)."""
    gain = sum(1 / math.log2(rank + 2) for rank, key in enumerate(found) if key in right)
    return gain / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(right))))


def measure(retrievals: Iterable[Retrieval], embedder: Embedder) -> dict[str, Any]:
    """Figures of one set: for each way (nDCG@10, recall@10), and what it cost."""
    sums = {way: [0.0, 0.0] for way in WAYS}
    passages = queries = 0
    adding = searching = 0.0
    for retrieval in retrievals:
        with tempfile.TemporaryDirectory() as folder:
            database = Database(Path(folder) / "memory.db")
            recall = Recall(database, embedder)
            begun = time.perf_counter()
            recall.remember(retrieval.passages, owner="benchmark", app="recall")
            adding += time.perf_counter() - begun
            passages += len(retrieval.passages)
            for query, right in retrieval.queries:
                begun = time.perf_counter()
                recall.search(query, owner="benchmark", app="recall")
                searching += time.perf_counter() - begun
                hits = recall.search(query, owner="benchmark", app="recall", k=200)
                for way, found in ranked(hits).items():
                    sums[way][0] += ndcg(found, right)
                    sums[way][1] += len(set(found) & right) / len(right)
            queries += len(retrieval.queries)
            recall.close()
            database.close()
    ways = {way: {"ndcg@10": sums[way][0] / queries, "recall@10": sums[way][1] / queries} for way in WAYS}
    costs = {"added_per_s": passages / adding, "search_ms": 1000 * searching / queries}
    return {"passages": passages, "queries": queries, **costs, **ways}


def average(figures: list[dict[str, Any]], ways: Iterable[str]) -> dict[str, Any]:
    """The mean over sets, each counted once."""
    kinds = ("ndcg@10", "recall@10")
    return {way: {kind: sum(row[way][kind] for row in figures) / len(figures) for kind in kinds} for way in ways}


def show(name: str, figures: dict[str, Any], ways: Iterable[str], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"set": name, **figures}), flush=True)
        return
    cells = "".join(f"{figures[way]['ndcg@10']:9.3f}/{figures[way]['recall@10']:.3f}" for way in ways)
    costs = ""
    if "queries" in figures:
        costs = f"{figures['passages']:10} {figures['queries']:7} {figures['added_per_s']:7.0f}"
        costs += f" {figures['search_ms']:9.2f}"
    print(f"{name:19}{cells}{costs}", flush=True)


def opened(path: Path) -> Embedder:
    return StaticEmbedder(path) if path.suffix == ".npz" else GGUFEmbedder(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="How well recall finds.")
    parser.add_argument("--data", type=Path, help="folder of public sets")
    parser.add_argument("--shop", type=Path, default=ROOT / "examples" / "shop", help="folder of the sample shop")
    parser.add_argument("--embedder", type=Path, default=ROOT / "models" / "shipped" / "embedder.npz")
    parser.add_argument("--teacher", type=Path, help="an embedding model as GGUF to compare with")
    parser.add_argument("--only", default="", help="sets whose names begin so")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    embedder = opened(options.embedder)
    teacher = opened(options.teacher) if options.teacher else None
    ways = (*WAYS, *TAUGHT) if teacher else WAYS
    places = [("shop", shop, options.shop)]
    if options.data:
        places += [(name, read, options.data / name.split()[0]) for name, read in (SETS | ACROSS).items()]
    else:
        print("public sets skipped: no --data", file=sys.stderr)
    if not options.json:
        head = "".join(f"{way:>15}" for way in ways)
        print(f"{'nDCG@10/recall@10':18}{head}  passages queries added/s search ms")
    counted = []
    for name, read, folder in places:
        if not name.startswith(options.only):
            continue
        if not folder.is_dir():
            gone = {"set": name, "skipped": str(folder)}
            print(json.dumps(gone) if options.json else f"{name:19}skipped: no {folder}")
            continue
        figures = measure(read(folder), embedder)
        if teacher:
            taught = measure(read(folder), teacher)
            figures |= {"teacher": taught["vectors"], "teacher+words": taught["both"]}
        show(name, figures, ways, options.json)
        counted += [figures] if name not in ACROSS else []
    if counted:
        show(f"mean of {len(counted)}", average(counted, ways), ways, options.json)


if __name__ == "__main__":
    main()
