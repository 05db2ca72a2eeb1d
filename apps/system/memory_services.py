"""The services of `llmos memory`, see `stores`; ``owner``, ``app`` and ``collection`` say whose memory is meant."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...kernel.errors import NotFound
from ...memory.ingest.adding import Wanted
from ...memory.ingest.shelf import Place
from ...memory.upkeep import Progress as Upkept
from ...memory.upkeep import Told

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from .stores import Stores

Row = dict[str, Any]
Steps = Generator[Row, None, Row]
T = TypeVar("T")
_BEAT = 0.1  # seconds between two words on how far it is


def add(
    stores: Stores, *, paths: Sequence[str], owner: str, app: str, collection: str, tags: Sequence[str], label: str,
    prune: bool, thorough: bool, most: int,
) -> Steps:  # fmt: skip
    """Read files and folders; the steps are `Progress`, the end is `Summary`."""
    wanted = Wanted(tuple(paths), tuple(tags), label, prune, most, thorough)
    told = yield from _plain(stores.library.add(wanted, Place(owner, app, collection)))
    yield from _settled(stores)
    return asdict(told)


def search(
    stores: Stores, *, query: str, owner: str, app: str, collection: str | None, k: int, tags: Sequence[str],
    source: str | None, label: str | None, since: float | None, until: float | None,
) -> list[Row]:  # fmt: skip
    """Hits, best first, each with the other sources of its text. ``source`` is a file, or a folder of them."""
    keys = None if source is None else stores.library.keys(source, owner, app, collection)
    if source is not None and keys is None:
        raise NotFound(f"{source} is not remembered", hint="llmos memory ls lists what is")
    hits = stores.recall.search(
        query, owner=owner, app=app, collection=collection, k=k, tags=tags, label=label, since=since, until=until,
        keys=keys,
    )  # fmt: skip
    by_place: dict[str, list[str]] = {}
    for hit in hits:
        by_place.setdefault(hit.collection, []).append(hit.key)
    also = {name: stores.library.also_in(Place(owner, app, name), keys) for name, keys in by_place.items()}
    return [
        {**asdict(hit), "also_in": [name for name in also[hit.collection].get(hit.key, []) if name != hit.source]}
        for hit in hits
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
        told["passages"] = stores.library.empty(Place(owner, app, collection))
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
    told = yield from _plain(stores.library.take_in(Path(path), owner, app, collection))
    yield from _settled(stores)
    return asdict(told)


def stats(stores: Stores) -> Row:
    """What every owner and app has, and what it takes on the disk."""
    sql = (
        "SELECT c.owner, c.app, c.name, c.passages, c.words, count(s.id), coalesce(sum(s.size), 0)"
        " FROM collections AS c LEFT JOIN sources AS s ON s.collection = c.id WHERE substr(c.name, 1, 1) != '/'"
        " GROUP BY c.id HAVING c.passages > 0 OR count(s.id) > 0 ORDER BY c.owner, c.app, c.name"
    )
    names = ("owner", "app", "collection", "passages", "words", "sources", "bytes")
    vectors = "SELECT e.name, count(*) FROM vectors AS v JOIN embedders AS e ON e.id = v.embedder GROUP BY e.id"
    index = stores.home.root / "index"
    progress = stores.recall.progress()
    return {
        "collections": [dict(zip(names, row, strict=True)) for row in stores.database.rows(sql)],
        "vectors": dict(stores.database.rows(vectors)),
        "database": sum(path.stat().st_size for path in stores.home.root.glob("llmos.db*")),
        "index": sum(path.stat().st_size for path in index.rglob("*") if path.is_file()),
        "under_way": progress and asdict(progress),
    }


def check(stores: Stores) -> Steps:
    """Compare all that is remembered with itself; what is wrong, a line each."""
    wrong = yield from _watched(lambda told: [*stores.recall.check(told), *stores.library.check()])
    return {"wrong": wrong}


def rebuild(stores: Stores) -> Steps:
    """Make all anew that can be made from the passages; files whose notes are damaged are read at the next add."""
    again = stores.library.mend()
    yield from _watched(stores.recall.rebuild)
    return {"passages": sum(row["passages"] for row in stats(stores)["collections"]), "to_be_read": again}


def _settled(stores: Stores) -> Generator[Row, None, None]:
    """Where no llmos runs, what is left to do in the background is done now: later nobody would."""
    if stores.model is None and stores.recall.progress():
        yield from _watched(stores.recall.sync)


class _Left(Exception):
    """Nobody waits for the work any more."""


def _watched(work: Callable[[Told], T]) -> Generator[Row, None, T]:
    """Do it in a thread of its own and tell how far it is; when nobody listens any more, it is broken off."""
    steps: SimpleQueue[Row] = SimpleQueue()
    left = threading.Event()

    def told(progress: Upkept) -> None:
        if left.is_set():
            raise _Left
        steps.put(asdict(progress))

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work, told)
        try:
            while not done.done():
                wait([done], _BEAT)
                step: Row = {}
                while not steps.empty():
                    step = steps.get()
                yield step
            return done.result()
        finally:
            left.set()


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
