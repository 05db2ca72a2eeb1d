"""The files that a home remembers: added, listed, forgotten."""

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from ..database import Database
from ..faults import Held, Missing
from ..recall import Recall
from . import mending
from .adding import Adding, Progress, Summary, Wanted
from .exchange import Steps, take_in, write
from .shelf import Place, Shelf
from .sources import Source
from .walking import as_text, below


@dataclass(frozen=True)
class Listed:
    """A source, and how many passages it has."""

    collection: str
    source: Source
    passages: int


class _Locks:
    """Of one database, for all who add to it and forget."""

    def __init__(self) -> None:
        self.parting = threading.RLock()  # see `Shelf`
        self.adding = threading.Lock()  # released on whichever thread closes the generator


_LOCKS: WeakKeyDictionary[Database, _Locks] = WeakKeyDictionary()


class Library:
    """Any thread, and any number of objects: those on one database wait for one another."""

    def __init__(self, database: Database, recall: Recall, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._recall = recall
        self._clock = clock
        self._locks = _LOCKS.setdefault(database, _Locks())

    def add(self, wanted: Wanted, place: Place) -> Generator[Progress, None, Summary]:
        """Bring a collection in step with files. Raises `Held` while another does that, and `BadPath`."""
        with self._alone():
            return (yield from Adding(self._shelf(place), wanted, self._clock).run())

    def sources(self, owner: str, app: str, collection: str | None = None) -> list[Listed]:
        """The sources of a collection, or of all, by collection and name."""
        listed = []
        for name in self.collections(owner, app):
            if collection in (None, name):
                sources = self._shelf(Place(owner, app, name)).sources
                counts = sources.counts()
                listed += [Listed(name, s, counts.get(s.id, 0)) for _, s in sorted(sources.all().items())]
        return listed

    def collections(self, owner: str, app: str) -> list[str]:
        """Names of the collections that hold anything."""
        sql = (
            "SELECT name FROM collections AS c WHERE owner = ? AND app = ? AND substr(name, 1, 1) != '/'"
            " AND (passages > 0 OR EXISTS (SELECT 1 FROM sources WHERE collection = c.id)) ORDER BY name"
        )
        return [name for (name,) in self._database.rows(sql, (owner, app))]

    def forget(self, path: str, owner: str, app: str, collection: str | None = None) -> Generator[str, None, int]:
        """Forget a source, or all below a folder; yields their names as it goes on; how many there were."""
        name = as_text(os.path.realpath(path))
        gone = [listed for listed in self.sources(owner, app, collection) if below(listed.source.name, name)]
        for listed in gone:
            for _ in self._shelf(Place(owner, app, listed.collection)).forget(listed.source.id):
                yield listed.source.name
            yield listed.source.name
        return len(gone)

    def forget_passage(self, handle: str, owner: str, app: str) -> int:
        """Forget a passage, whoever holds it; how many there were. It comes back when a file with it changes."""
        collection, _, key = handle.partition("/")
        if collection not in self.collections(owner, app):
            return 0
        return self._shelf(Place(owner, app, collection)).forget_passage(key)

    def also_in(self, place: Place, keys: Sequence[str]) -> dict[str, list[str]]:
        """The names of all sources of these passages."""
        holders = self._shelf(place).sources.holders(keys)
        return {key: [holder.name for holder in found] for key, found in holders.items()}

    def empty(self, place: Place) -> int:
        """Forget a whole collection with its sources, also what no file gave; how many passages there were."""
        with self._alone():
            return self._shelf(place).empty()

    def keys(self, path: str, owner: str, app: str, collection: str | None = None) -> list[str] | None:
        """The keys of all passages of a source, or of all below a folder; None where none is known."""
        name = as_text(os.path.realpath(path))
        found = [one for one in self.sources(owner, app, collection) if below(one.source.name, name)]
        shelves = {one.collection: self._shelf(Place(owner, app, one.collection)) for one in found}
        keys = {key for one in found for key in shelves[one.collection].sources.keys(one.source.id)}
        return sorted(keys) if found else None

    def export(self, path: Path, owner: str, app: str, collection: str | None = None) -> Steps:
        """Write a collection, or all, to a file, see `exchange`. Raises `Missing` where there is nothing to write."""
        names = [name for name in self.collections(owner, app) if collection in (None, name)]
        if not names:
            raise Missing("there is nothing to export", hint="llmos memory stats shows what there is")
        places = [Place(owner, app, name) for name in names]
        return (yield from write(self._database, places, self._shelf, path, self._clock()))

    def take_in(self, path: Path, owner: str, app: str, collection: str | None = None) -> Steps:
        """Remember what an exported file holds, see `exchange`."""
        with self._alone():
            return (yield from take_in(self._recall, path, Place(owner, app), collection, self._shelf))

    def check(self) -> list[str]:
        """What is wrong with the notes about files, a line each."""
        return mending.check(self._database)

    def mend(self) -> list[str]:
        """Drop notes that are damaged; the names of the files to be read again, which the next `add` does."""
        with self._alone():
            return mending.mend(self._database)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._locks.adding.acquire(blocking=False):
            raise Held("files are being added already", hint="wait until that is done, or end it with Ctrl-C")
        try:
            yield
        finally:
            self._locks.adding.release()

    def _shelf(self, place: Place) -> Shelf:
        return Shelf(self._database, self._recall, place, self._locks.parting)
