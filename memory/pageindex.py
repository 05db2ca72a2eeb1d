"""Finding pages that are out by a query: words and vectors, within one process.

An index of its own beside `recall`: it goes with the process, and what others store neither moves its ranking nor slows
it down. It is filled when a query first asks for pages, and only with what is out; it can be thrown away at any time.
"""

import json
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .database import Database
from .embedder import Embedder, Vectors
from .fusion import SIMILARITY_SHARE
from .portions import sentences
from .texts import sound
from .turns import in_steps
from .vectors import similarities
from .words import Stems, rarity, telling, weight

BATCH = 200  # pages indexed in one transaction: some 100 ms, in which all others wait
LEAST = 0.35  # cosine from which on a page is found that shares no word with the query
PART = 500  # pages compared with a query at once
CANDIDATES = 60  # pages whose sentences are looked at one by one: some 30 ms
SENTENCE_SHARE = 0.6  # of a page's best sentence in its score; measured, see decision 0010
SAME = 0.95  # cosine from which on two texts say the same


@dataclass(frozen=True)
class _Pages:
    """What is indexed of one process, a row each."""

    ids: NDArray[np.int64]
    words: Vectors
    near: Vectors  # cosine to the query


class PageIndex:
    """Any thread; one search at a time."""

    def __init__(self, database: Database, embedder: Embedder) -> None:
        self._database = database
        self._embedder = embedder
        self._lock = threading.Lock()
        self._stems = Stems()

    def search(self, pid: int, query: str, k: int, skip: Collection[str] = ()) -> list[str]:
        """Handles of the ``k`` pages that fit best, best first, ``skip`` left out. Any text is a valid query."""
        query = sound(query)
        with self._lock:
            self._fill(pid)
            vector = self._embedder.embed([query])[0]
            pages = self._compared(pid, vector)
            if k < 1 or not len(pages.ids):
                return []
            worth, likely = self._by_words(pid, query, pages)
            score = (1 - SIMILARITY_SHARE) * _share(likely) + SIMILARITY_SHARE * pages.near
            found = np.flatnonzero((likely > 0) | (pages.near >= LEAST))
            order = found[np.lexsort((pages.ids[found], -score[found]))][: max(CANDIDATES, k) + len(skip)]
            handles, texts = self._texts(pages.ids[order].tolist(), skip)
            if not texts:
                return []
            by_sentence = self._by_sentence(texts, worth, vector)
            kept = [n for n, handle in enumerate(handles) if handle is not None]
            fused = SENTENCE_SHARE * by_sentence + (1 - SENTENCE_SHARE) * score[order][kept]
            vectors = self._vectors(pid, pages.ids[order][kept].tolist())
            best = _varied(np.argsort(-fused, kind="stable"), vectors, vector)[:k]
            return [str(handles[kept[n]]) for n in best]

    def close(self) -> None:
        """Give back the private database."""
        self._stems.close()

    # -- filling --

    def _fill(self, pid: int) -> None:
        """Index what has left the window since; what another embedder made is made anew."""
        name = self._embedder.name
        sql = "SELECT 1 FROM page_vectors WHERE pid = ? AND embedder != ? LIMIT 1"
        if self._database.one(sql, (pid, name)):
            with self._database.transaction() as connection:
                connection.execute("DELETE FROM page_vectors WHERE pid = ?", (pid,))
                connection.execute("DELETE FROM page_terms WHERE pid = ?", (pid,))
        sql = (
            "SELECT id FROM pages INDEXED BY pages_by_residence WHERE pid = ?1 AND resident = 0"
            " AND NOT EXISTS (SELECT 1 FROM page_vectors WHERE pid = ?1 AND page = pages.id)"
        )
        new = [number for (number,) in self._database.rows(sql, (pid,))]
        for part in in_steps(new, BATCH):
            self._index(pid, part)

    def _index(self, pid: int, numbers: Sequence[int]) -> None:
        sql = "SELECT id, text FROM pages WHERE id IN (SELECT value FROM json_each(?))"
        texts = dict(self._database.rows(sql, (json.dumps(numbers),)))
        terms = self._terms(texts)
        words: dict[int, int] = {}
        for page, _, times in terms:
            words[page] = words.get(page, 0) + times
        vectors = self._embedder.embed(list(texts.values())).astype("<f2")
        rows = [
            (pid, page, words.get(page, 0), self._embedder.name, vector.tobytes())
            for page, vector in zip(texts, vectors, strict=True)
        ]
        with self._database.transaction() as connection:
            # A page may have gone meanwhile, and its rows must not come after it.
            there = {n for (n,) in connection.execute("SELECT id FROM pages WHERE pid = ?", (pid,))}
            connection.executemany(
                "INSERT OR REPLACE INTO page_vectors VALUES (?, ?, ?, ?, ?)", [r for r in rows if r[1] in there]
            )
            connection.executemany(
                "INSERT OR REPLACE INTO page_terms VALUES (?, ?, ?, ?)",
                [(pid, term, page, times) for page, term, times in terms if page in there],
            )

    def _terms(self, texts: dict[int, str]) -> list[tuple[int, str, int]]:
        """(page, stem, times) of the words that carry a topic."""
        return self._stems.of({page: telling(text)[0] for page, text in texts.items()})

    # -- searching --

    def _compared(self, pid: int, vector: Vectors) -> _Pages:
        """All that is indexed, in parts, so that a search takes little memory however many pages there are."""
        parts, after = [_Pages(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))], 0
        sql = "SELECT page, words, vector FROM page_vectors WHERE pid = ? AND page > ? ORDER BY page LIMIT ?"
        while rows := self._database.rows(sql, (pid, after, PART)):
            ids, words, blobs = zip(*rows, strict=True)
            near = similarities(_floats(blobs), vector)
            parts.append(_Pages(np.array(ids, np.int64), np.array(words, np.float32), near))
            after = ids[-1]
        return _Pages(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "words", "near")))

    def _vectors(self, pid: int, numbers: Sequence[int]) -> Vectors:
        sql = "SELECT page, vector FROM page_vectors WHERE pid = ? AND page IN (SELECT value FROM json_each(?))"
        blobs = dict(self._database.rows(sql, (pid, json.dumps(numbers))))
        gone = bytes(2 * self._embedder.dim)  # of a page that was dropped meanwhile; its handle leads nowhere
        return _floats([blobs.get(number, gone) for number in numbers])

    def _by_words(self, pid: int, query: str, pages: _Pages) -> tuple[dict[str, float], Vectors]:
        """How rare each stem of the query is, and BM25 within the process, see `keywords`."""
        worth: dict[str, float] = {}
        scores = np.zeros(len(pages.ids), dtype=np.float32)
        for _, term, _ in self._terms({1: query}):
            rows = self._database.rows("SELECT page, times FROM page_terms WHERE pid = ? AND term = ?", (pid, term))
            worth[term] = rarity(len(pages.ids), len(rows))
            if rows:
                at = np.searchsorted(pages.ids, [page for page, _ in rows])
                times = np.array([t for _, t in rows], dtype=np.float32)
                scores[at] += worth[term] * weight(times, _relative(pages.words[at], float(pages.words.mean())))
        return worth, scores

    def _by_sentence(self, texts: Sequence[str], worth: dict[str, float], vector: Vectors) -> Vectors:
        """The best sentence of each text, by words and vector alike: a page may speak of much else besides."""
        said = [(page, sentence) for page, text in enumerate(texts) for sentence in sentences(text) or [text]]
        likely, words = np.zeros(len(said), dtype=np.float32), np.ones(len(said), dtype=np.float32)
        terms = self._terms({number: sentence for number, (_, sentence) in enumerate(said)})
        for number, _, times in terms:
            words[number] += times
        mean = float(words.mean())
        for number, term, times in terms:
            if term in worth:
                likely[number] += worth[term] * float(weight(np.float32(times), _relative(words[number], mean)))
        near = similarities(self._embedder.embed([sentence for _, sentence in said]), vector)
        best = np.full(len(texts), -1, dtype=np.float32)
        np.maximum.at(best, [page for page, _ in said], (_share(likely) + near) / 2)
        return best

    def _texts(self, numbers: Sequence[int], skip: Collection[str]) -> tuple[list[str | None], list[str]]:
        """The handles, None for one that is skipped or has gone, and the texts of the others."""
        sql = "SELECT id, handle, text FROM pages WHERE id IN (SELECT value FROM json_each(?))"
        rows = {number: row for number, *row in self._database.rows(sql, (json.dumps(numbers),)) if row[0] not in skip}
        handles = [rows[number][0] if number in rows else None for number in numbers]
        return handles, [rows[number][1] for number in numbers if number in rows]


def _floats(blobs: Sequence[bytes]) -> Vectors:
    return np.frombuffer(b"".join(blobs), dtype="<f2").reshape(len(blobs), -1).astype(np.float32)


def _varied(order: NDArray[np.int64], vectors: Vectors, query: Vectors) -> list[int]:
    """The order, but last what says the same again as the query itself (it was asked before) or as one further up."""
    seen, first, last = [query], list[int](), list[int]()
    for n in order.tolist():
        if similarities(np.array(seen), vectors[n]).max() >= SAME:
            last.append(n)
        else:
            seen.append(vectors[n])
            first.append(n)
    return first + last


def _relative(words: Any, mean: float) -> Any:
    """Lengths as multiples of the mean, which is taken to be one word at least."""
    return words / max(mean, 1.0)


def _share(scores: Vectors) -> Vectors:
    """Each score as a share of the best."""
    best = scores.max()
    return scores / best if best > 0 else scores
