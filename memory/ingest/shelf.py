"""The passages of one collection together with the notes which file they are from.

Every passage of a file is noted in `Sources` before it is remembered, and forgotten before its note goes. So whatever
ends the program, the next reading of that file, or forgetting it, puts things right.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..database import Database
from ..recall import Recall
from ..spaces import make_space
from .blocks import Piece
from .sources import Source, Sources, key_of, passage_of

_STEP = 200  # passages that are looked at together


@dataclass(frozen=True)
class Place:
    """Whose memory, and which collection of it."""

    owner: str
    app: str
    collection: str = "default"


@dataclass(frozen=True)
class Reading:
    """A source while it is being read; ``number`` counts its readings."""

    source: Source
    number: int


class Shelf:
    """One collection. ``lock`` is held while notes and passages part, by all shelves of a home."""

    def __init__(self, database: Database, recall: Recall, place: Place, lock: threading.RLock) -> None:
        """Makes the collection where it is missing; raises `BadPath` for a name that none can have."""
        self._database = database
        self._recall = recall
        self._lock = lock
        self._whose: dict[str, Any] = {"owner": place.owner, "app": place.app}
        self._name = place.collection
        self.sources = Sources(database, make_space(database, place.owner, place.app, place.collection).id)

    def open(self, names: Sequence[str], tags: str, label: str, recipe: int) -> dict[str, Reading]:
        """Begin to read these sources. What a reading that was broken off left is forgotten."""
        with self._lock:
            with self._database.transaction() as db:
                opened = [self.sources.open(db, name, tags, label, recipe) for name in names]
            self._only({source.id: source.reading for source in opened})
        return {source.name: Reading(source, source.reading + 1) for source in opened}

    def take(self, found: Sequence[tuple[Reading, Piece]]) -> int:
        """Remember what was found; how much of it the sources did not hold twice."""
        keyed = [(reading, key_of(piece.text), piece) for reading, piece in found]
        texts = {key: piece.text for _, key, piece in keyed}
        with self._lock:
            with self._database.transaction() as db:
                count = sum(
                    self.sources.hold(db, reading.source.id, reading.number, key, piece.title, piece.meta)
                    for reading, key, piece in keyed
                )
            self._remember(texts)
        return count

    def close(self, ended: Sequence[tuple[Reading, Mapping[str, Any]]]) -> None:
        """These readings have come to their ends and count from now on; with columns of ``sources`` to be set."""
        with self._lock:
            self._only({reading.source.id: reading.number for reading, _ in ended})
            with self._database.transaction() as db:
                for reading, values in ended:
                    self.sources.set(db, reading.source.id, reading=reading.number, **values)

    def touch(self, seen: Sequence[tuple[Source, Mapping[str, Any]]]) -> None:
        """These sources are as they were; with columns of ``sources`` to be set."""
        with self._database.transaction() as db:
            for source, values in seen:
                self.sources.set(db, source.id, **values)

    def give_up(self, reading: Reading) -> None:
        """This reading failed: what counted before still does."""
        source = reading.source
        with self._lock:
            self._release(source.id, source.reading)
            with self._database.transaction() as db:
                if source.reading:
                    self.sources.drop(db, source.id, source.reading)
                else:
                    self.sources.remove(db, source.id)

    def forget(self, source: int) -> Iterator[int]:
        """Forget a source, and the passages that no other has; yields now and then how many are looked at."""
        yield from self._steps(source, None)
        with self._lock, self._database.transaction() as db:
            self.sources.remove(db, source)

    def forget_passage(self, key: str) -> int:
        """Forget a passage, and that anybody held it; how many there were."""
        with self._lock:
            count = self._recall.forget([self._handle(key)], **self._whose)
            with self._database.transaction() as db:
                self.sources.let_go(db, key)
        return count

    def empty(self) -> int:
        """Forget all, also what no source gave, at once; how many passages there were."""
        change = self._recall.forgetting(collection=self._name, **self._whose)
        try:
            with self._lock, self._database.transaction() as db:
                change.write(db)
                self.sources.clear(db)
        finally:
            self._recall.settled(change)
        return change.count

    def restore(self, reading: Reading, held: Sequence[tuple[str, str, Mapping[str, Any]]]) -> None:
        """Note that a reading found (key, title, meta) of passages that are here already."""
        with self._lock:
            hits = {key: self._recall.get(self._handle(key), **self._whose) for key, _, _ in held}
            texts = {key: hit.text for key, hit in hits.items() if hit}
            with self._database.transaction() as db:
                for key, title, meta in held:
                    if key in texts:
                        self.sources.hold(db, reading.source.id, reading.number, key, title, meta)
            self._remember(texts)

    def _only(self, readings: Mapping[int, int]) -> None:
        """Of each of these sources, forget what other readings than this one found."""
        for source in self.sources.stale(readings.items()):
            self._release(source, readings[source])
            with self._database.transaction() as db:
                self.sources.drop(db, source, readings[source])

    def _release(self, source: int, but: int | None) -> None:
        for _ in self._steps(source, but):
            pass

    def _steps(self, source: int, but: int | None) -> Iterator[int]:
        """Forget what readings of a source found, but for one of them; what others hold too is theirs."""
        keys = self.sources.keys(source, but)
        for start in range(0, len(keys), _STEP):
            part = keys[start : start + _STEP]
            with self._lock:
                left = self.sources.holders(part, leaving=source, but=but)
                self._recall.forget([self._handle(key) for key in part if key not in left], **self._whose)
                hits = {key: self._recall.get(self._handle(key), **self._whose) for key in left}
                self._remember({key: hit.text for key, hit in hits.items() if hit}, leaving=source, but=but)
                with self._database.transaction() as db:  # now: who looks next must not take it for held
                    self.sources.drop(db, source, but, part)
            yield start + len(part)

    def _remember(self, texts: Mapping[str, str], leaving: int | None = None, but: int | None = None) -> None:
        holders = self.sources.holders(texts, leaving, but)
        passages = [passage_of(key, text, holders[key]) for key, text in texts.items()]
        self._recall.remember(passages, collection=self._name, **self._whose)

    def _handle(self, key: str) -> str:
        return f"{self._name}/{key}"
