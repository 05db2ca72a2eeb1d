"""The approximate index: chromadb, embedded. Import this module late, for chromadb takes half a second."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chromadb
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.errors import ChromaError

from .embedder import Vectors
from .vectors import BATCH, IndexBroken, Mark


class ChromaIndex:
    """Approximate search by chromadb, embedded, in a folder of its own; opened on first use."""

    def __init__(self, path: Path) -> None:
        """``path`` is a folder that belongs to this index alone; it is made when first needed."""
        self._path = path
        # A damaged graph can end the whole program inside chromadb. This file stands from before the first opening
        # until the first search has succeeded: found on opening, it says that the last attempt did not survive.
        self._unproven = path.with_name(path.name + ".unproven")
        self._client: Any = None
        self._spaces: dict[str, Any] = {}
        self._marks: dict[str, Mark] = {}  # of the spaces that were compared since opening and not changed since

    def mark(self, space: str) -> Mark | None:
        """See `VectorIndex`."""
        with self._failures():
            collection = self._open(space)
            if space not in self._marks:
                told = collection.metadata or {}
                mark = Mark(int(told.get("count", -1)), int(told.get("newest", -1)))
                if mark.count == collection.count():
                    self._marks[space] = mark
            return self._marks.get(space)

    def keys(self, space: str) -> set[int]:
        """See `VectorIndex`."""
        with self._failures():
            return {int(key) for key in self._open(space).get(include=[])["ids"]}

    def add(self, space: str, keys: Sequence[int], vectors: Vectors) -> None:
        """See `VectorIndex`."""
        self._marks.pop(space, None)
        with self._failures():
            self._open(space).add(ids=[str(key) for key in keys], embeddings=vectors)

    def remove(self, space: str, keys: Iterable[int]) -> None:
        """See `VectorIndex`."""
        gone = [str(key) for key in keys]
        self._marks.pop(space, None)
        with self._failures():
            for start in range(0, len(gone), BATCH):
                self._open(space).delete(ids=gone[start : start + BATCH])

    def settle(self, space: str, mark: Mark) -> None:
        """See `VectorIndex`."""
        with self._failures():
            self._open(space).modify(metadata={"count": mark.count, "newest": mark.newest})
            self._marks[space] = mark

    def search(self, space: str, vector: Vectors, k: int) -> list[tuple[int, float]]:
        """See `VectorIndex`; similarities are chromadb's own and off by some 1e-7: score the keys anew."""
        with self._failures():
            found = self._open(space).query(query_embeddings=[vector], n_results=k, include=["distances"])
            self._unproven.unlink(missing_ok=True)
            return [(int(key), 1 - far) for key, far in zip(found["ids"][0], found["distances"][0], strict=True)]

    def clear(self) -> None:
        """See `VectorIndex`."""
        with self._failures():
            self.close()
            SharedSystemClient.clear_system_cache()  # a client that failed to open stays there half made
            if self._path.exists():
                shutil.rmtree(self._path)
            self._unproven.unlink(missing_ok=True)

    def close(self) -> None:
        """See `VectorIndex`."""
        self._spaces.clear()
        self._marks.clear()
        client, self._client = self._client, None
        if client:
            client.close()

    def _open(self, space: str) -> Any:
        if self._client is None:
            if self._unproven.exists():
                self.clear()
            self._path.mkdir(parents=True, exist_ok=True)
            self._unproven.touch()
            settings = chromadb.Settings(anonymized_telemetry=False)
            self._client = chromadb.PersistentClient(str(self._path), settings=settings)
        if space not in self._spaces:
            self._spaces[space] = self._client.get_or_create_collection(
                space, embedding_function=None, configuration={"hnsw": {"space": "cosine", "ef_search": 200}}
            )
        return self._spaces[space]

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (ChromaError, OSError, ValueError) as error:
            raise IndexBroken(f"the vector index in {self._path} failed: {error}") from error
