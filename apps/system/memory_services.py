"""The services of `llmos memory`, see `stores`; ``owner``, ``app`` and ``collection`` say whose memory is meant."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...memory.ingest.adding import Wanted
from ...memory.ingest.shelf import Place

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from .stores import Stores

Row = dict[str, Any]
Steps = Generator[Row, None, Row]
T = TypeVar("T")


def add(
    stores: Stores, *, paths: Sequence[str], owner: str, app: str, collection: str, tags: Sequence[str], label: str,
    prune: bool, thorough: bool, most: int,
) -> Steps:  # fmt: skip
    """Read files and folders; the steps are `Progress`, the end is `Summary`."""
    wanted = Wanted(tuple(paths), tuple(tags), label, prune, most, thorough)
    steps = stores.library.add(wanted, Place(owner, app, collection))
    return asdict((yield from _plain(steps)))


def search(
    stores: Stores, *, query: str, owner: str, app: str, collection: str, k: int, tags: Sequence[str],
    source: str | None, label: str | None,
) -> list[Row]:  # fmt: skip
    """Hits, best first, each with the other sources of its text."""
    hits = stores.recall.search(
        query, owner=owner, app=app, collection=collection, k=k, tags=tags, source=source, label=label
    )
    sources = stores.library.also_in(Place(owner, app, collection), [hit.key for hit in hits]) if hits else {}
    return [
        {**asdict(hit), "also_in": [name for name in sources.get(hit.key, []) if name != hit.source]} for hit in hits
    ]


def ls(stores: Stores, *, owner: str, app: str, collection: str | None) -> list[Row]:
    """Sources, by collection and name."""
    listed = stores.library.sources(owner, app, collection)
    return [{"collection": one.collection, "passages": one.passages, **asdict(one.source)} for one in listed]


def forget(
    stores: Stores, *, names: Sequence[str], handles: Sequence[str], owner: str, app: str, collection: str | None
) -> Steps:
    """Forget what each word names, a source or a folder of them or a handle; where there is none, a collection.

    ``names`` and ``handles`` are the same words, as absolute paths and as they were said.
    """
    told: Row = {"sources": 0, "passages": 0, "unknown": []}
    if not names and collection is not None:
        told["passages"] = yield from _named(stores.library.empty(Place(owner, app, collection)))
    for name, handle in zip(names, handles, strict=True):
        sources = yield from _named(stores.library.forget(name, owner, app, collection))
        passages = 0 if sources else stores.library.forget_passage(handle, owner, app)
        told["sources"] += sources
        told["passages"] += passages
        if not sources and not passages:
            told["unknown"].append(handle)
    return told


def export(stores: Stores, *, path: str, owner: str, app: str, collection: str | None) -> Steps:
    """Write a collection, or all, to a file."""
    return asdict((yield from _plain(stores.library.export(Path(path), owner, app, collection))))


def take_in(stores: Stores, *, path: str, owner: str, app: str, collection: str | None) -> Steps:
    """Remember what an exported file holds."""
    return asdict((yield from _plain(stores.library.take_in(Path(path), owner, app, collection))))


def stats(stores: Stores) -> Row:
    """What every owner and app has, and what it takes on the disk."""
    sql = (
        "SELECT c.owner, c.app, c.name, c.passages, c.words, count(s.id), coalesce(sum(s.size), 0)"
        " FROM collections AS c LEFT JOIN sources AS s ON s.collection = c.id"
        " GROUP BY c.id HAVING c.passages > 0 OR count(s.id) > 0"
        " ORDER BY c.owner, c.app, c.name"
    )
    names = ("owner", "app", "collection", "passages", "words", "sources", "bytes")
    vectors = stores.database.rows("SELECT embedder, count(*) FROM vectors GROUP BY embedder")
    index = stores.home.root / "index"
    return {
        "collections": [dict(zip(names, row, strict=True)) for row in stores.database.rows(sql)],
        "vectors": dict(vectors),
        "database": sum(path.stat().st_size for path in stores.home.root.glob("llmos.db*")),
        "index": sum(path.stat().st_size for path in index.rglob("*") if path.is_file()),
    }


def _plain(steps: Generator[DataclassInstance, None, T]) -> Generator[Row, None, T]:
    try:
        while True:
            yield asdict(next(steps))
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        steps.close()


def _named(steps: Generator[str, None, int]) -> Generator[Row, None, int]:
    try:
        while True:
            yield {"what": next(steps)}
    except StopIteration as end:
        return int(end.value)
    finally:
        steps.close()
