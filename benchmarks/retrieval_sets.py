"""Public retrieval sets as `Retrieval`s; every one is for measuring only, and nothing may be trained on it.

SciFact (ret_scifact), deepset's COVID FAQ (cs_covid_faq), HotpotQA (ret_hotpotqa100), XQuAD (ret_xquad), the bank of
tau2-bench (cs_tau2_bankkb), LoCoMo (mem_locomo_nc), LongMemEval (mem_longmemeval20), LIMIT (ret_limit_small), CMRC 2018
(ret_cmrc2018_zh) and Tatoeba (mt_tatoeba), each in a folder of its own.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.memory.recall import Passage


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


def limit(folder: Path) -> Iterator[Retrieval]:
    """Long lists of what people like: the vector of a list says little about any one thing in it."""
    passages = [Passage(row["text"], key=row["_id"]) for row in lines(folder / "corpus.jsonl")]
    right: dict[str, set[str]] = {}
    for row in lines(folder / "dev" / "qrels.jsonl"):
        right.setdefault(row["query-id"], set()).add(row["corpus-id"])
    yield Retrieval(passages, [(row["text"], right[row["_id"]]) for row in lines(folder / "dev" / "queries.jsonl")])


def longmemeval(folder: Path) -> Iterator[Retrieval]:
    """Each question among the sessions of its own user: which session holds the answer?"""
    texts = {row["id"]: row["text"] for row in lines(folder / "dev" / "documents.jsonl")}
    for row in lines(folder / "dev" / "queries.jsonl"):
        passages = [Passage(texts[key], key=key) for key in {*row["haystack"], *row["gold"]} if key in texts]
        yield Retrieval(passages, [(row["query"], set(row["gold"]))])


def translations(language: str) -> Callable[[Path], Iterator[Retrieval]]:
    """Sentences of another language; right is the English sentence that says the same."""

    def read(folder: Path) -> Iterator[Retrieval]:
        pairs = lines(folder / "dev" / f"{language}-eng.jsonl")
        keys = {row["eng"]: str(number) for number, row in enumerate(pairs)}
        passages = [Passage(text, key=key) for text, key in keys.items()]
        yield Retrieval(passages, [(row[language], {keys[row["eng"]]}) for row in pairs])

    return read


SETS: dict[str, Callable[[Path], Iterator[Retrieval]]] = {
    "ret_scifact": scifact,
    "cs_covid_faq": covid_faq,
    "ret_hotpotqa100": hotpotqa,
    "ret_xquad": squad("xquad.en.json"),
    "cs_tau2_bankkb": bank,
    "mem_locomo_nc": locomo,
    "mem_longmemeval20": longmemeval,
    "ret_limit_small": limit,
    "ret_xquad (de)": squad("xquad.de.json"),
    "ret_xquad (es)": squad("xquad.es.json"),
    "ret_xquad (zh)": squad("xquad.zh.json"),
    "ret_cmrc2018_zh": squad("cmrc2018.json"),
}

# Across languages words are of no use, so these are no part of the averages.
ACROSS: dict[str, Callable[[Path], Iterator[Retrieval]]] = {
    f"mt_tatoeba ({language})": translations(language) for language in ("deu", "spa", "fra", "cmn", "jpn")
}
