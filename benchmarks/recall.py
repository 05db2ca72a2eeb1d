"""How well recall finds: nDCG@10 and recall@10 of words alone, vectors alone, and both fused.

    python benchmarks/recall.py [--shop FOLDER] [--data FOLDER] [--json]

The sample shop comes with the repository. ``--data`` holds public retrieval sets, each in a folder of its own: SciFact
(ret_scifact), deepset's COVID FAQ (cs_covid_faq), HotpotQA (ret_hotpotqa100), XQuAD (ret_xquad), the bank of tau2-bench
(cs_tau2_bankkb), LoCoMo (mem_locomo_nc) and CMRC 2018 (ret_cmrc2018_zh). What is not there is skipped, with the reason.
Everything goes through `Recall`, as an app would use it.
"""

import argparse
import gzip
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.memory.database import Database
from llmos.memory.embedder import StaticEmbedder
from llmos.memory.recall import Hit, Passage, Recall

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("words", "vectors", "both")


@dataclass
class Retrieval:
    """Texts to find, and queries with the keys of what they should find."""

    passages: list[Passage]
    queries: list[tuple[str, set[str]]]


def lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [json.loads(line) for line in file]


def shop(folder: Path) -> Iterator[Retrieval]:
    passages = [Passage(path.read_text(), key=path.stem) for path in sorted((folder / "articles").glob("*.md"))]
    questions = [row for row in lines(folder / "questions.jsonl") if row["answerable"]]
    yield Retrieval(passages, [(row["question"], {row["article"]}) for row in questions])


def scifact(folder: Path) -> Iterator[Retrieval]:
    corpus = lines(folder / "corpus.jsonl.gz")
    passages = [Passage(row["text"], key=row["_id"], title=row["title"]) for row in corpus]
    yield Retrieval(passages, [(row["text"], set(row["relevant"])) for row in lines(folder / "dev" / "queries.jsonl")])


def covid_faq(folder: Path) -> Iterator[Retrieval]:
    entries = lines(folder / "faq.jsonl")
    passages = [Passage(row["answer"], key=str(n), title=row["question"]) for n, row in enumerate(entries)]
    queries = []
    for pair in lines(folder / "dev" / "question_similarity_en.jsonl"):
        keys = {str(n) for n, row in enumerate(entries) if row["question"] == pair["question_1"]}
        if pair["similar"] == "1" and keys:
            queries.append((pair["question_2"], keys))
    yield Retrieval(passages, queries)


def hotpotqa(folder: Path) -> Iterator[Retrieval]:
    """The paragraphs of all questions pooled; right are those of the question's own that hold the answer."""
    texts, queries = {}, []
    for row in lines(folder / "dev" / "hotpot.jsonl"):
        own = {title: "".join(sentences) for title, sentences in row["context"]}
        texts |= own
        right = {title for title, text in own.items() if row["answer"].lower() in f"{title} {text}".lower()}
        if right and row["answer"].lower() not in {"yes", "no"}:
            queries.append((row["question"], right))
    yield Retrieval([Passage(text, key=title, title=title) for title, text in texts.items()], queries)


def squad(name: str) -> Callable[[Path], Iterator[Retrieval]]:
    """Questions to the paragraph that each was asked about; for files in the format of SQuAD."""

    def read(folder: Path) -> Iterator[Retrieval]:
        articles = json.loads((folder / "dev" / name).read_text())["data"]
        paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
        queries = [(qa["question"], {str(n)}) for n, paragraph in enumerate(paragraphs) for qa in paragraph["qas"]]
        yield Retrieval([Passage(text["context"], key=str(n)) for n, text in enumerate(paragraphs)], queries)

    return read


def bank(folder: Path) -> Iterator[Retrieval]:
    """The query is a whole scenario of some hundred words, most of them beside the point."""
    documents = lines(folder / "documents.jsonl")
    tasks = [row for row in lines(folder / "dev" / "tasks.jsonl") if row["required_documents"]]
    queries = [(str(row["user_scenario"]["instructions"]), set(row["required_documents"])) for row in tasks]
    yield Retrieval([Passage(row["content"], key=row["id"], title=row["title"]) for row in documents], queries)


def locomo(folder: Path) -> Iterator[Retrieval]:
    """Each conversation for itself: which turns hold the evidence?"""
    for row in lines(folder / "dev" / "locomo.jsonl"):
        sessions = [turns for turns in row["conversation"].values() if isinstance(turns, list)]
        turns = {turn["dia_id"]: f"{turn['speaker']}: {turn['text']}" for session in sessions for turn in session}
        asked = [(qa["question"], set(qa.get("evidence") or ()) & set(turns)) for qa in row["qa"]]
        yield Retrieval([Passage(text, key=key) for key, text in turns.items()], [pair for pair in asked if pair[1]])


SETS: dict[str, Callable[[Path], Iterator[Retrieval]]] = {
    "ret_scifact": scifact,
    "cs_covid_faq": covid_faq,
    "ret_hotpotqa100": hotpotqa,
    "ret_xquad": squad("xquad.en.json"),
    "cs_tau2_bankkb": bank,
    "mem_locomo_nc": locomo,
    "ret_xquad (zh)": squad("xquad.zh.json"),
    "ret_xquad (de)": squad("xquad.de.json"),
    "ret_cmrc2018_zh": squad("cmrc2018.json"),
}


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


def measure(retrievals: Iterator[Retrieval], embedder: StaticEmbedder) -> dict[str, Any]:
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


def main() -> None:
    parser = argparse.ArgumentParser(description="How well recall finds.")
    parser.add_argument("--data", type=Path, help="folder of public sets")
    parser.add_argument("--shop", type=Path, default=ROOT / "examples" / "shop", help="folder of the sample shop")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    embedder = StaticEmbedder(ROOT / "models" / "shipped" / "embedder.npz")
    places = [("shop", shop, options.shop)]
    if options.data:
        places += [(name, read, options.data / name.split()[0]) for name, read in SETS.items()]
    else:
        print("public sets skipped: no --data", file=sys.stderr)
    if not options.json:
        print(f"{'nDCG@10/recall@10':18}{'words':>13}{'vectors':>13}{'both':>13}  passages queries added/s search ms")
    for name, read, folder in places:
        if not folder.is_dir():
            print(
                json.dumps({"set": name, "skipped": str(folder)}) if options.json else f"{name:18}skipped: no {folder}"
            )
            continue
        figures = measure(read(folder), embedder)
        if options.json:
            print(json.dumps({"set": name, **figures}))
            continue
        cells = "".join(f"{figures[way]['ndcg@10']:7.3f}/{figures[way]['recall@10']:.3f}" for way in WAYS)
        costs = f"{figures['added_per_s']:7.0f} {figures['search_ms']:9.2f}"
        print(f"{name:18}{cells}  {figures['passages']:8} {figures['queries']:7} {costs}", flush=True)


if __name__ == "__main__":
    main()
