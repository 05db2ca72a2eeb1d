"""Which index of vectors a store has: clusters in files of its own, or chromadb in a folder or on a server."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from .clusters import ClusterIndex
from .database import Database
from .faults import BadPath
from .vectors import VectorIndex

EMBEDDED = "embedded"
USED = {"clusters", "chroma", "chroma.left"}
"""What there may be in the folder of indexes; all else is of an earlier version."""


def index_in(folder: Path, db: Database, chroma: str = "") -> Callable[[], VectorIndex]:
    """Makes the index when called. ``chroma`` is "" for none, "embedded", or the URL of a server; else `BadPath`.

    chromadb is imported only where it is asked for, and then in the moment the index is made.
    """
    if not chroma:
        return lambda: ClusterIndex(folder / "clusters")
    url = urlsplit(chroma)
    if chroma != EMBEDDED and (url.scheme not in ("http", "https") or not url.hostname):
        raise BadPath(
            f"{chroma!r} names no Chroma server", hint=f"LLMOS_CHROMA is http://HOST:PORT, or {EMBEDDED}, or not set"
        )
    ((store,),) = db.rows("SELECT store FROM identity")

    def make() -> VectorIndex:
        from .chroma import ChromaFolder, ChromaServer

        return ChromaFolder(folder / "chroma") if chroma == EMBEDDED else ChromaServer(chroma, store)

    return make
