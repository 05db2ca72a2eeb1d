"""Passages that are remembered, and found again by words and by meaning.

Text, vector and metadata of a passage are written in one transaction, and are durable when `Recall.remember` returns.
A search scores words (`keywords`) and vectors (`vectors`) within one collection and fuses the two.
"""

import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from .database import Database
from .embedder import Embedder, Vectors
from .keywords import Keywords, Matches
from .passages import Hit, Passage, Row, Space, Why, find_space, large_spaces, make_space, sound, write_vectors
from .vectors import BATCH, ExactIndex, Sidecar, VectorIndex, best, follow, similarities

__all__ = ["Hit", "Passage", "Recall", "Why"]

T = TypeVar("T")

CANDIDATES = 100  # passages that each of the two rankings puts forward

# Share of similarity in the fused score; BM25, as a share of the best passage's, has the rest. On six sets every value
# from 0.3 to 0.6 was within 0.004 nDCG@10 of the best, and reciprocal rank fusion 0.01 to 0.07 below: it gives the
# weaker ranking as much say as the stronger one (figures: docs/decisions/0003-vector-index.md).
SIMILARITY_SHARE = 0.4

INDEX_FROM = 50_000  # passages in a collection from which on the index is asked, see the same page
INDEX_STEP = 1_000  # passages by which one search moves the index on: about a quarter of a second
FORGET_STEP = 200  # passages deleted in one transaction: some 50 ms, in which all others wait
_TURN_SECONDS = 0.001  # between two such steps; a lock that is taken again at once is never another thread's


class Recall:
    """Remembers and finds passages for every owner and app; safe to call from any thread, one object a database.

    A handle is "collection/key" and valid for its owner and app, so that it never tells what others have stored.
    """

    def __init__(
        self,
        db: Database,
        embedder: Embedder,
        index_factory: Callable[[], VectorIndex] | None = None,
        *,
        index_from: int = INDEX_FROM,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``index_factory`` is called when a collection first reaches ``index_from`` passages; without it, never."""
        self._db = db
        self._embedder = embedder
        self._index_from = index_from
        self._clock = clock
        self._lock = threading.RLock()  # owns all below
        self._keywords = Keywords(db)
        self._exact = ExactIndex()
        self._sidecar = Sidecar(index_factory) if index_factory else None
        self._embedded: set[int] = set()  # collections known to hold vectors of this embedder only

    def remember(self, passages: Sequence[Passage], *, owner: str, app: str, collection: str = "default") -> list[str]:
        """Store passages and return their handles, in order. All or none; doing it twice changes nothing.

        A passage whose key is there already replaces it. Raises `BadPath` where ``collection`` holds a slash.
        """
        rows = [passage.row() for passage in passages]
        with self._lock:
            space = make_space(self._db, owner, app, collection)
            _, new = _changes(space, rows)
        made = self._embedded_rows(new)  # takes longest by far, and meanwhile others search
        with self._lock:
            gone, new = _changes(space, rows)  # another thread may have changed what is there
            made |= self._embedded_rows([row for row in new if row not in made])
            with self._db.transaction() as connection:
                space.delete(connection, gone)
                created = self._clock()
                ids = [space.insert(connection, row, created) for row in new]
                write_vectors(connection, self._embedder.name, ids, [made[row] for row in new])
        return [f"{space.name}/{row[0]}" for row in rows]

    def search(
        self,
        query: str,
        *,
        owner: str,
        app: str,
        collection: str = "default",
        k: int = 5,
        tags: Iterable[str] = (),
        label: str | None = None,
        source: str | None = None,
    ) -> list[Hit]:
        """The ``k`` passages that fit best, best first, equal ones by key; any text is a valid query.

        Only passages that bear all ``tags``, and ``label`` and ``source`` where given, take part in the ranking.
        """
        query, tags = sound(query), list(tags)
        with self._lock:
            space = find_space(self._db, owner, app, collection)
            if space is None or k < 1:
                return []
            self._embed_anew(space)
            filtered = bool(tags) or label is not None or source is not None
            allowed = space.matching(tags=tags, label=label, source=source) if filtered else None
            matches = self._keywords.search(space.id, query, allowed)
            vector = self._embedder.embed([query])[0]
            nearest = self._nearest(space, vector, allowed, max(k, CANDIDATES))
            return self._fuse(space, vector, matches, [key for key, score in nearest if score > 0], k)

    def get(self, handle: str, *, owner: str, app: str) -> Hit | None:
        """The passage of a handle, or None where this owner and app have no such passage."""
        collection, _, key = handle.partition("/")
        with self._lock:
            space = find_space(self._db, owner, app, collection)
            ids = [number for number, _ in space.find([key]).values()] if space else []
            return space.hits(ids)[ids[0]] if space and ids else None

    def forget(self, handles: Iterable[str] = (), *, owner: str, app: str, collection: str | None = None) -> int:
        """Delete the passages of these handles, and all of ``collection`` if given; the number deleted.

        Many are deleted step by step, and others search and remember in between: what they add stays, and what
        ends the program meanwhile leaves the rest, whole, to be forgotten by the same call again.
        """
        count = 0
        for part in _steps(list(handles)):
            with self._lock, self._db.transaction() as connection:
                for name, _, key in (handle.partition("/") for handle in part):
                    if space := find_space(self._db, owner, app, name):
                        count += space.delete(connection, [number for number, _ in space.find([key]).values()])
        whole = find_space(self._db, owner, app, collection) if collection is not None else None
        for numbers in _steps(whole.keys()) if whole else ():
            with self._lock, self._db.transaction() as connection:
                count += whole.delete(connection, numbers) if whole else 0
        return count

    def count(self, *, owner: str, app: str, collection: str = "default") -> int:
        """Number of passages in a collection; 0 where there is no such collection."""
        with self._lock:
            space = find_space(self._db, owner, app, collection)
            return space.mark.count if space else 0

    def sync(self) -> None:
        """Bring the index in step with every collection that is large enough for it, however long that takes."""
        with self._lock:
            if self._sidecar is None:
                return
            for space in large_spaces(self._db, self._index_from):
                self._embed_anew(space)
                self._sidecar.sync(self._space_name(space), space)

    def close(self) -> None:
        """Give back the indexes; the database stays with its owner."""
        with self._lock:
            self._keywords.close()
            self._exact.close()
            if self._sidecar:
                self._sidecar.close()

    def _fuse(self, space: Space, vector: Vectors, matches: Matches, by_vector: list[int], k: int) -> list[Hit]:
        """Score what either ranking put forward by both, and fetch the ``k`` best."""
        by_word = matches.best(max(k, CANDIDATES))
        keys = list(dict.fromkeys(by_word + by_vector))
        nearness = self._similarities(space, vector, keys)
        top = matches.scores[by_word[0]] if by_word else 1.0
        word_rank = {key: rank for rank, key in enumerate(by_word, 1)}
        vector_rank = {key: rank for rank, key in enumerate(by_vector, 1)}
        judged = {}
        for key, similarity in zip(keys, nearness.tolist(), strict=True):
            words = matches.scores.get(key, 0.0)
            score = (1 - SIMILARITY_SHARE) * words / top + SIMILARITY_SHARE * max(similarity, 0.0)
            coverage = words / matches.most if words else 0.0
            judged[key] = score, Why(word_rank.get(key), vector_rank.get(key), similarity, coverage)
        bar = sorted((score for score, _ in judged.values()), reverse=True)[:k]
        stored = space.hits([key for key, (score, _) in judged.items() if score >= bar[-1]])
        hits = [replace(hit, score=judged[key][0], why=judged[key][1]) for key, hit in stored.items()]
        return sorted(hits, key=lambda hit: (-hit.score, hit.key))[:k]

    def _embedded_rows(self, rows: Sequence[Row]) -> dict[Row, Vectors]:
        """The vector of each row."""
        if not rows:
            return {}
        vectors = self._embedder.embed([f"{row[2]} {row[1]}" for row in rows])
        return dict(zip(rows, vectors, strict=True))

    def _embed_anew(self, space: Space) -> None:
        """See to it that every vector of the collection is this embedder's."""
        if space.id in self._embedded:
            return
        rows = space.unembedded(self._embedder.name)
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            vectors = self._embedder.embed([f"{title} {text}" for _, title, text in part])
            with self._db.transaction() as connection:
                write_vectors(connection, self._embedder.name, [key for key, _, _ in part], vectors)
        self._embedded.add(space.id)

    def _nearest(self, space: Space, vector: Vectors, allowed: list[int] | None, k: int) -> list[tuple[int, float]]:
        """The ``k`` passages nearest to ``vector``, by exact scores whichever way they were found."""
        name = self._space_name(space)
        if allowed is None and space.mark.count < self._index_from:
            follow(self._exact, name, space)
            return self._exact.search(name, vector, k)
        if allowed is None and self._sidecar:
            allowed = self._sidecar.search(name, space, vector, k, INDEX_STEP)
        if allowed is None:
            allowed = space.keys()
        return best(np.array(allowed, dtype=np.int64), self._similarities(space, vector, allowed), k)

    def _similarities(self, space: Space, vector: Vectors, keys: Sequence[int]) -> Vectors:
        """Cosine similarity of each passage to ``vector``, from the vectors in SQLite."""
        parts = (space.vectors(keys[start : start + BATCH]) for start in range(0, len(keys), BATCH))
        scores = [similarities(part, vector) for part in parts]
        return np.concatenate(scores) if scores else np.zeros(0, dtype=np.float32)

    def _space_name(self, space: Space) -> str:
        # Vectors of another embedder are another space.
        return f"passages-{space.id}-{zlib.crc32(self._embedder.name.encode()):08x}"


def _changes(space: Space, rows: Sequence[Row]) -> tuple[list[int], list[Row]]:
    """What must go and what must come for the collection to hold these rows; of one key the last."""
    known = space.find([row[0] for row in rows])
    new = {row[0]: row for row in rows if row[0] not in known or known[row[0]][1] != row}
    return [known[key][0] for key in new if key in known], list(new.values())


def _steps(gone: Sequence[T]) -> Iterator[Sequence[T]]:
    """Parts of `FORGET_STEP`, and a turn for the other threads between them."""
    for start in range(0, len(gone), FORGET_STEP):
        if start:
            time.sleep(_TURN_SECONDS)
        yield gone[start : start + FORGET_STEP]
