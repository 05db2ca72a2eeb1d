"""The index on chromadb, in a folder or on a server, for whoever wants it in place of `clusters`.

chromadb is imported when the index is first opened, since that takes half a second. What its users report cannot hurt
here: nothing is stored in it alone; what it holds is compared with the truth on opening (`Follower`); and a folder is
opened only when its files are as they were left, or when another program has opened and searched it without harm, for a
damaged ``data_level0.bin`` ends the whole program inside chromadb.
"""

import json
import logging
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from .embedder import Vectors
from .seal import sum_of
from .vectors import Held, IndexBroken, Keys, Mark

log = logging.getLogger(__name__)

STEP = 1000  # vectors handed over at once, so that a search between them need not wait long
PROBE_SECONDS = 600.0
_SEARCH = {"hnsw": {"space": "cosine", "ef_search": 200}}


class ChromaIndex(ABC):
    """A `vectors.VectorIndex` on chromadb, opened on first use."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._client: Any = None
        self._spaces: dict[str, Any] = {}
        self._held: dict[str, Held | None] = {}  # as settled; what is added beyond does no harm

    @abstractmethod
    def _connect(self) -> Any:
        """A client of chromadb."""

    @abstractmethod
    def _name(self, space: str) -> str:
        """The collection of a space."""

    def held(self, space: str) -> Held | None:
        """See `VectorIndex`."""
        with self._failures():
            if space not in self._held:
                collection = self._open(space)
                told, count = collection.metadata or {}, collection.count()
                mark = Mark(int(told.get("turn", 0)), int(told.get("key", 0)))
                # Fewer than were settled: chromadb has lost some. More: it was left before settling, and all are known.
                self._held[space] = Held(mark, count) if 0 < told.get("count", 0) <= count else None
            return self._held[space]

    def vectors(self, space: str, keys: Sequence[int]) -> tuple[Keys, Vectors]:
        """See `VectorIndex`."""
        with self._failures():
            found = self._open(space).get(ids=[str(key) for key in keys], include=["embeddings"])
            return np.array([int(key) for key in found["ids"]], dtype=np.int64), np.asarray(found["embeddings"])

    def add(self, space: str, keys: Keys, vectors: Vectors) -> None:
        """See `VectorIndex`."""
        with self._failures():
            for start in range(0, len(keys), STEP):
                ids = [str(key) for key in keys[start : start + STEP]]
                self._open(space).upsert(ids=ids, embeddings=vectors[start : start + STEP])

    def settle(self, space: str, mark: Mark, done: bool) -> None:
        """See `VectorIndex`."""
        with self._failures():
            collection = self._open(space)
            count = collection.count()
            collection.modify(metadata={"turn": mark.turn, "key": mark.key, "count": count})
            self._held[space] = Held(mark, count)

    def search(self, space: str, vector: Vectors, k: int) -> list[int]:
        """See `VectorIndex`."""
        with self._failures():
            found = self._open(space).query(query_embeddings=[vector], n_results=k, include=["distances"])
            return [int(key) for key in found["ids"][0]]

    def drop(self, space: str) -> None:
        """See `VectorIndex`."""
        with self._failures():
            self._open(space)
            self._client.delete_collection(self._name(space))
            self._spaces.pop(space)
            self._held.pop(space, None)

    def clear(self) -> None:
        """See `VectorIndex`."""
        with self._failures():
            client = self._client or self._connect()
            for collection in client.list_collections():
                if collection.name.startswith(self._name("")):
                    client.delete_collection(collection.name)
            self.close()

    def close(self) -> None:
        """See `VectorIndex`."""
        self._spaces.clear()
        self._held.clear()
        client, self._client = self._client, None
        if client:
            client.close()

    def _open(self, space: str) -> Any:
        if self._client is None:
            self._client = self._connect()
        if space not in self._spaces:
            self._spaces[space] = self._client.get_or_create_collection(
                self._name(space), embedding_function=None, configuration=_SEARCH
            )
        return self._spaces[space]

    @contextmanager
    def _failures(self) -> Iterator[None]:
        from chromadb.errors import ChromaError

        try:
            yield
        except (ChromaError, httpx.HTTPError, OSError, ValueError, RuntimeError, KeyError) as error:
            raise IndexBroken(f"the vector index in {self._where} failed: {error}") from error


class ChromaFolder(ChromaIndex):
    """chromadb embedded, in a folder that belongs to this index alone."""

    def __init__(self, path: Path) -> None:
        """The folder is made when it is first needed."""
        super().__init__(str(path))
        self._path = path
        self._left = path.with_name(path.name + ".left")  # sizes and checksums of its files; not there while it is open

    def clear(self) -> None:
        """See `VectorIndex`."""
        from chromadb.api.shared_system_client import SharedSystemClient

        with self._failures():
            client, self._client = self._client, None
            if client:
                client.close()
            SharedSystemClient.clear_system_cache()  # a client that failed to open stays there half made
            self.close()
            self._left.unlink(missing_ok=True)
            if self._path.exists():
                shutil.rmtree(self._path)

    def close(self) -> None:
        """See `VectorIndex`."""
        opened = self._client is not None
        super().close()
        if opened:
            self._left.write_text(json.dumps(_checksums(self._path)))

    def _name(self, space: str) -> str:
        return space

    def _connect(self) -> Any:
        import chromadb

        if self._path.exists() and not self._sound():
            log.warning("the vector index in %s is damaged: it is made anew", self._path)
            self.clear()
        self._path.mkdir(parents=True, exist_ok=True)
        self._left.unlink(missing_ok=True)
        settings = chromadb.Settings(anonymized_telemetry=False)
        return chromadb.PersistentClient(str(self._path), settings=settings)

    def _sound(self) -> bool:
        """Whether it is as it was left; where the last program died with it open, whether it can be searched."""
        if self._left.exists():
            try:
                return bool(json.loads(self._left.read_text()) == _checksums(self._path))
            except ValueError:
                return False
        probe = [sys.executable, "-m", __name__, str(self._path)]
        try:
            return subprocess.run(probe, timeout=PROBE_SECONDS, capture_output=True, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False


class ChromaServer(ChromaIndex):
    """A Chroma server. Its collections bear the name of the store, so that several stores can share it."""

    def __init__(self, url: str, store: str) -> None:
        """``url`` as in http://127.0.0.1:8000."""
        super().__init__(url)
        self._url, self._store = urlsplit(url), store

    def _name(self, space: str) -> str:
        return f"llmos-{self._store}-{space}"

    def _connect(self) -> Any:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        tls = self._url.scheme == "https"
        port = self._url.port or (443 if tls else 8000)
        return chromadb.HttpClient(host=str(self._url.hostname), port=port, ssl=tls, settings=settings)


def _checksums(folder: Path) -> dict[str, list[int]]:
    """Size and CRC-32 of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): list(sum_of(path)) for path in files}


def _probe(path: Path) -> None:
    """Open a folder and use every collection in it; whatever is wrong ends this program, which serves nothing else."""
    import chromadb

    client = chromadb.PersistentClient(str(path), settings=chromadb.Settings(anonymized_telemetry=False))
    for collection in client.list_collections():
        some = client.get_collection(collection.name, embedding_function=None).get(limit=20, include=["embeddings"])
        for vector in some["embeddings"]:
            client.get_collection(collection.name, embedding_function=None).query(
                query_embeddings=[vector], n_results=100
            )
    client.close()


if __name__ == "__main__":
    _probe(Path(sys.argv[1]))
