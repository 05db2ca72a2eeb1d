"""Passages that are remembered, and found again by words and by meaning.

What is remembered is durable when `Recall.remember` returns, or with the transaction that `Recall.remembering` was
written in. A search scores words (`keywords`) and vectors (`vectors`) within the collections it is about, and fuses the
two (`fusion`). What need not be done at once is done by a thread behind (`upkeep`).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from .checking import check, rebuild
from .database import Database
from .embedder import Embedder
from .embedders import Embedders, Known
from .faults import BadPath, DamagedRow
from .follower import Follower
from .fusion import DIVERSITY
from .keywords import Keywords
from .passages import Filter, Hit, Passage, Why
from .remembering import Forgetting, Remembering, UnderWay, sweep
from .searching import Query, Searcher
from .spaces import Space, SpaceVectors, find_space, find_spaces, hidden, large_spaces, make_space
from .texts import sound
from .upkeep import Progress, Told, Upkeep
from .vectors import VectorIndex

__all__ = ["Forgetting", "Hit", "Passage", "Progress", "Recall", "Remembering", "Why"]

INDEX_FROM = 50_000  # passages in a collection from which on the index is asked: docs/decisions/0011-recall.md


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
        """Search by the vectors of ``embedder``; passages without one of it are embedded in the background.

        ``index_factory`` is called when a collection first reaches ``index_from`` passages; without it, never.
        """
        self._db = db
        self._index_from = index_from
        self._clock = clock
        self._keywords = Keywords(db)
        self._embedders = Embedders(db, embedder)
        self._follower = Follower(index_factory) if index_factory else None
        self._searcher = Searcher(db, self._keywords, self._embedders, self._follower, index_from)
        self._under_way = UnderWay()
        self._upkeep = Upkeep([self._sweep, lambda: self._embedders.steps(self._index_all), self._index])
        if not self._embedders.complete or any(hidden(db)) or large_spaces(db, index_from):
            self._upkeep.nudge()

    # -- remembering and forgetting --

    def remember(self, passages: Sequence[Passage], *, owner: str, app: str, collection: str = "default") -> list[str]:
        """Store passages and return their handles, in order. All or none; doing it twice changes nothing.

        A passage whose key is there already replaces it. Raises `BadPath` where ``collection`` holds a slash.
        """
        change = self.remembering(passages, owner=owner, app=app, collection=collection)
        self._carry_out(change)
        return change.handles

    def remembering(
        self, passages: Sequence[Passage], *, owner: str, app: str, collection: str = "default"
    ) -> Remembering:
        """The same up to the moment that makes it so: its ``write``, in the caller's transaction, then `settled`."""
        space = make_space(self._db, owner, app, collection)
        return Remembering(self._db, self._embedders, self._under_way, space, passages, self._clock())

    def forget(self, handles: Iterable[str] = (), *, owner: str, app: str, collection: str | None = None) -> int:
        """Delete the passages of these handles, and all of ``collection`` if given; the number deleted."""
        change = self.forgetting(handles, owner=owner, app=app, collection=collection)
        self._carry_out(change)
        return change.count

    def forgetting(
        self, handles: Iterable[str] = (), *, owner: str, app: str, collection: str | None = None
    ) -> Forgetting:
        """The same up to the moment that makes it so: its ``write``, in the caller's transaction, then `settled`."""
        whole = find_space(self._db, owner, app, collection) if collection is not None else None
        return Forgetting(self._db, self._under_way, handles, whole, owner, app)

    def settled(self, change: Remembering | Forgetting) -> None:
        """A change was written, or will not be."""
        change.close()
        self._upkeep.nudge()

    def _carry_out(self, change: Remembering | Forgetting) -> None:
        try:
            with self._db.transaction() as connection:
                change.write(connection)
        finally:
            self.settled(change)

    # -- finding --

    def search(
        self,
        query: str,
        *,
        owner: str,
        app: str,
        collection: str | None = "default",
        k: int = 5,
        tags: Iterable[str] = (),
        any_tags: Iterable[str] = (),
        label: str | None = None,
        labels: Iterable[str] = (),
        source: str | None = None,
        since: float | None = None,
        until: float | None = None,
        keys: Iterable[str] | None = None,
        diversity: float = DIVERSITY,
    ) -> list[Hit]:
        """The ``k`` passages that fit best, best first, equal ones by key; any text is a valid query.

        ``collection`` None means all collections of the owner and app. Only passages that bear all ``tags``, one of
        ``any_tags`` and of ``labels``, and ``source``, have one of ``keys``, and were remembered between ``since`` and
        ``until`` (seconds since the epoch), each where given, take part in the ranking. With ``diversity`` (0 to 1) a
        passage gives way to a lesser one the more it repeats what is above it, or the more of that is from its source.
        """
        spaces = self._spaces(owner, app, collection)
        if not spaces or k < 1:
            return []
        borne = (*labels, *([label] if label is not None else ()))
        among = None if keys is None else tuple(keys)
        narrowed = Filter(tuple(tags), tuple(any_tags), borne, source, since, until, among)
        return self._searcher.search(spaces, Query(query, k, narrowed, diversity))

    def get(self, handle: str, *, owner: str, app: str) -> Hit | None:
        """The passage of a handle, or None where this owner and app have no such passage. Raises `DamagedRow`."""
        collection, _, key = handle.partition("/")
        space = find_space(self._db, owner, app, collection)
        number = space.numbers([sound(key)]).get(sound(key)) if space else None
        if space is None or number is None:
            return None
        if number not in (found := space.hits([number])):
            raise DamagedRow("passages", number)
        return found[number]

    def count(self, *, owner: str, app: str, collection: str | None = "default") -> int:
        """Number of passages in a collection, or in all; 0 where there is no such collection."""
        return sum(space.state()[0] for space in self._spaces(owner, app, collection))

    def collections(self, *, owner: str, app: str) -> dict[str, int]:
        """Name of each collection, and the number of passages in it."""
        return {space.name: space.state()[0] for space in find_spaces(self._db, owner, app)}

    def _spaces(self, owner: str, app: str, collection: str | None) -> list[Space]:
        if collection is None:
            return find_spaces(self._db, owner, app)
        space = find_space(self._db, owner, app, collection)
        return [space] if space else []

    # -- embedders --

    @property
    def embedder(self) -> Embedder:
        """The one whose vectors are searched."""
        return self._embedders.active.embedder

    def use(self, embedder: Embedder) -> None:
        """Search by another embedder, once it has embedded everything; until then by the one before.

        After a crash, open with the one that `active_name` names and call this again: it goes on where it was.
        """
        self._embedders.use(embedder)
        self._upkeep.nudge()

    def drop(self, embedder: str) -> None:
        """Delete the vectors of an embedder that is not used any more. Raises `BadPath` where it is used."""
        if embedder in {known.embedder.name for known in self._embedders.all()}:
            raise BadPath(f"the embedder {embedder} is in use", hint="use another one first")
        for _ in self._embedders.drop(embedder):
            pass

    # -- behind the back of those who search --

    def progress(self) -> Progress | None:
        """What is being done in the background; None while there is nothing to do."""
        return self._upkeep.progress()

    def sync(self, told: Told | None = None) -> None:
        """Wait until nothing is left to do in the background: for after an import."""
        self._upkeep.nudge()
        self._upkeep.wait(told)

    def check(self, told: Told | None = None) -> list[str]:
        """Compare all that is stored with itself; what is wrong, a line each, and nothing where all is well."""
        return check(self._db, self._embedders.active, self._embedders.complete, told)

    def rebuild(self, told: Told | None = None) -> None:
        """Make words, tags, counts, vectors and index anew from the passages."""
        rebuild(self._db, self._embedders.active, told)
        self._searcher.exact.close()
        self._embedders.begin_anew()
        if self._follower:
            self._follower.clear()
        self.sync(told)

    def close(self) -> None:
        """End the work in the background and give back the indexes; the database stays with its owner."""
        self._upkeep.close()
        self._keywords.close()
        self._searcher.exact.close()
        if self._follower:
            self._follower.close()

    def _sweep(self) -> Iterator[Progress]:
        for space in list(hidden(self._db)):
            yield from sweep(self._db, self._under_way, space)
            if self._follower:
                for known in self._embedders.all():
                    self._follower.drop(SpaceVectors(space, known.id).name)

    def _index(self) -> Iterator[Progress]:
        yield from self._index_all(self._embedders.active)

    def _index_all(self, known: Known) -> Iterator[Progress]:
        for space in large_spaces(self._db, self._index_from) if self._follower else ():
            yield from self._follower.steps(SpaceVectors(space, known.id)) if self._follower else ()
