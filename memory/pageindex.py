"""Finding pages that are out by a query: words and vectors, within one process.

An index of its own beside `recall`: it goes with the process, and what others store neither moves its ranking nor slows
it down. It is filled when a query first asks for pages, and only with what is out; it can be thrown away at any time.
"""

import json
import math
import re
import sqlite3
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .database import Database
from .embedder import Embedder, Vectors
from .keywords import K1, STOP_WORDS, TOKENIZE, B, prepared
from .recall import SIMILARITY_SHARE

BATCH = 200  # pages indexed in one transaction: some 100 ms, in which all others wait
LEAST = 0.3  # cosine from which on a page is found that shares no word with the query
_TURN_SECONDS = 0.001
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class _Pages:
    """What is indexed of one process, a row each."""

    ids: NDArray[np.int64]
    words: Vectors
    vectors: Vectors


class PageIndex:
    """Any thread; one search at a time."""

    def __init__(self, database: Database, embedder: Embedder) -> None:
        self._database = database
        self._embedder = embedder
        self._lock = threading.Lock()
        # FTS5's tokenizer cannot be called from Python, so words pass through a table of their own.
        self._splitter = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._splitter.execute(f"CREATE VIRTUAL TABLE texts USING fts5(words, tokenize='{TOKENIZE}')")
        self._splitter.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(texts, 'instance')")

    def search(self, pid: int, query: str, k: int, skip: Collection[str] = ()) -> list[str]:
        """Handles of the ``k`` pages that fit best, best first, ``skip`` left out. Any text is a valid query."""
        query = query.encode(errors="replace").decode()
        with self._lock:
            self._fill(pid)
            pages = self._load(pid)
            if pages is None or k < 1:
                return []
            near = np.einsum("ij,j->i", pages.vectors, self._embedder.embed([query])[0])  # in one order, see `vectors`
            likely = self._by_words(pid, query, pages)
            best = likely.max()
            score = SIMILARITY_SHARE * near + ((1 - SIMILARITY_SHARE) * likely / best if best > 0 else 0)
            found = np.flatnonzero((likely > 0) | (near >= LEAST))
            order = found[np.lexsort((pages.ids[found], -score[found]))][: k + len(skip)]
            return self._handles(pages.ids[order].tolist(), skip)[:k]

    def close(self) -> None:
        """Give back the private database."""
        self._splitter.close()

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
        for start in range(0, len(new), BATCH):
            if start:
                time.sleep(_TURN_SECONDS)  # a lock that is taken again at once is never another thread's
            self._index(pid, new[start : start + BATCH])

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
        rows = [(page, " ".join(_telling(text))) for page, text in texts.items()]
        self._splitter.execute("DELETE FROM texts")
        self._splitter.execute("BEGIN")
        self._splitter.executemany("INSERT INTO texts (rowid, words) VALUES (?, ?)", rows)
        self._splitter.execute("COMMIT")
        return self._splitter.execute("SELECT doc, term, count(*) FROM terms GROUP BY doc, term").fetchall()

    # -- searching --

    def _load(self, pid: int) -> _Pages | None:
        rows = self._database.rows("SELECT page, words, vector FROM page_vectors WHERE pid = ? ORDER BY page", (pid,))
        if not rows:
            return None
        ids, words, blobs = zip(*rows, strict=True)
        vectors = np.frombuffer(b"".join(blobs), dtype="<f2").reshape(len(rows), -1).astype(np.float32)
        return _Pages(np.array(ids, dtype=np.int64), np.array(words, dtype=np.float32), vectors)

    def _by_words(self, pid: int, query: str, pages: _Pages) -> Vectors:
        """BM25 within the process, see `keywords`."""
        count, mean = len(pages.ids), max(1.0, float(pages.words.mean()))
        scores = np.zeros(count, dtype=np.float32)
        for _, term, _ in self._terms({1: query}):
            rows = self._database.rows("SELECT page, times FROM page_terms WHERE pid = ? AND term = ?", (pid, term))
            if not rows:
                continue
            at = np.searchsorted(pages.ids, [page for page, _ in rows])
            times = np.array([t for _, t in rows], dtype=np.float32)
            rarity = math.log(1 + (count - len(rows) + 0.5) / (len(rows) + 0.5))
            scores[at] += rarity * times * (K1 + 1) / (times + K1 * (1 - B + B * pages.words[at] / mean))
        return scores

    def _handles(self, numbers: Sequence[int], skip: Collection[str]) -> list[str]:
        sql = "SELECT id, handle FROM pages WHERE id IN (SELECT value FROM json_each(?))"
        handles = dict(self._database.rows(sql, (json.dumps(numbers),)))
        return [handles[number] for number in numbers if number in handles and handles[number] not in skip]


def _telling(text: str) -> list[str]:
    words = _WORD.findall(prepared(text).lower())
    return [word for word in words if word not in STOP_WORDS]
