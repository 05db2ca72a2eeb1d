"""Memory as a file of JSON lines, to be taken elsewhere: passages, the sources they are from, and a digest of it all.

    {"llmos": "memory", "version": 1, "owner", "app", "written"}
    {"collection", "passage": {key, text, title, source, tags, meta, label}}
    {"collection", "source": {name, kind, content, size, mtime_ns, tags, label, recipe, added, seen}}
    {"holds": [[key, title, meta], …]}                                   of the source above it, any number of lines
    {"end": {"passages", "sources", "digest"}}                           the digest is that of the lines before it

Vectors are not in it: they are made by the embedder of whoever takes it in.
"""

import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

from ..database import Database
from ..faults import Damaged
from ..passages import Passage
from ..recall import Recall
from ..spaces import find_space
from ..vectors import Mark
from ..whole import whole
from .shelf import Place, Reading, Shelf

VERSION = 1
_TOGETHER = 400  # passages read or written together
_LONGEST = 2**26  # bytes of a line that is taken in
_OF_A_PASSAGE = ("key", "text", "title", "source", "tags", "meta", "label")
_SET = ("kind", "content", "size", "mtime_ns", "added", "seen")  # when the reading of a source ends
_OF_A_SOURCE = ("name", "tags", "label", "recipe", *_SET)


@dataclass(frozen=True)
class Moved:
    """How much has been written or taken in: ``done`` of ``total`` passages when written, of bytes when taken in."""

    done: int
    total: int
    passages: int = 0
    sources: int = 0


Steps = Generator[Moved, None, Moved]
ShelfOf = Callable[[Place], Shelf]


def write(database: Database, places: Sequence[Place], shelf_of: ShelfOf, path: Path, now: float) -> Steps:
    """Write collections of one owner and app to a file, which is there when all is in it. Raises `OSError`."""
    with whole(path) as file:
        out = _Out(file)
        out.line(
            {"llmos": "memory", "version": VERSION, "owner": places[0].owner, "app": places[0].app, "written": now}
        )
        moved = yield from _write_all(database, places, shelf_of, out)
        out.line({"end": {"passages": moved.passages, "sources": moved.sources, "digest": out.digest.hexdigest()}})
    return moved


class _Out:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = blake2b(digest_size=16)

    def line(self, value: dict[str, Any]) -> None:
        line = json.dumps(value, ensure_ascii=False).encode() + b"\n"
        self.digest.update(line)
        self._file.write(line)


def _write_all(database: Database, places: Sequence[Place], shelf_of: ShelfOf, out: _Out) -> Steps:
    spaces = [find_space(database, place.owner, place.app, place.collection) for place in places]
    moved = Moved(0, sum(space.state()[0] for space in spaces if space))
    for place, space in zip(places, spaces, strict=True):
        keys = [mark.key for mark in space.after(Mark())] if space else []
        for start in range(0, len(keys), _TOGETHER):
            hits = space.hits(keys[start : start + _TOGETHER]) if space else {}
            for _, hit in sorted(hits.items()):
                passage = {name: getattr(hit, name) for name in _OF_A_PASSAGE}
                out.line({"collection": place.collection, "passage": passage})
            moved = replace(moved, done=moved.done + len(hits), passages=moved.passages + len(hits))
            yield moved
        sources = shelf_of(place).sources
        for source in sources.all().values():
            if source.reading:
                out.line({"collection": place.collection, "source": {n: getattr(source, n) for n in _OF_A_SOURCE}})
                after = ""
                while held := sources.held(source, after, _TOGETHER):
                    out.line({"holds": held})
                    after = held[-1][0]
                moved = replace(moved, sources=moved.sources + 1)
                yield moved
    return moved


def take_in(recall: Recall, path: Path, place: Place, collection: str | None, shelf_of: ShelfOf) -> Steps:
    """Remember what a file holds, for the owner and app of ``place``; doing it twice changes nothing.

    All goes into ``collection`` where one is given, else into those it came from. Nothing is taken in from a file that
    is damaged or cut short: raises `Damaged`. Raises `OSError`.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for done in _verified(file, path):
            yield Moved(done // 2, size)
        file.seek(0)
        intake = _Intake(recall, place, collection, shelf_of)
        done = 0
        for line in _lines(file, path):
            done += len(line)
            if intake.take(json.loads(line)):
                yield Moved((size + done) // 2, size, intake.passages, intake.sources)
        intake.write()
    return Moved(size, size, intake.passages, intake.sources)


def _lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    while line := file.readline(_LONGEST):
        if not line.endswith(b"\n"):
            raise Damaged(f"{path} is cut short, or has a line that is too long", hint="export it again")
        yield line


def _verified(file: BinaryIO, path: Path) -> Iterator[int]:
    """Bytes that have been looked at; raises `Damaged` unless it is all there, as it was written."""
    digest, done, end = blake2b(digest_size=16), 0, None
    for line in _lines(file, path):
        if end is not None or (not done and not line.startswith(b'{"llmos": "memory", "version": ')):
            raise Damaged(f"{path} is no memory that llmos exported", hint="llmos memory add takes other files")
        if not done and json.loads(line)["version"] > VERSION:
            raise Damaged(f"{path} was exported by a newer llmos", hint="upgrade llmos")
        if line.startswith(b'{"end": '):
            end = json.loads(line)["end"]["digest"]
        else:
            digest.update(line)
        done += len(line)
        yield done
    if end != digest.hexdigest():
        raise Damaged(f"{path} is damaged or cut short", hint="export it again")


class _Intake:
    """Takes lines one by one and writes many together."""

    def __init__(self, recall: Recall, place: Place, collection: str | None, shelf_of: ShelfOf) -> None:
        self.passages = self.sources = 0
        self._recall = recall
        self._place = place
        self._one = collection
        self._shelf_of = shelf_of
        self._collection = ""  # that of all that is held
        self._held: list[Passage] = []
        self._read: dict[str, dict[str, Any]] = {}  # facts of the sources that are held, by their names
        self._holds: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
        self._count = 0

    def take(self, line: dict[str, Any]) -> bool:
        """One line; True when what was held has been written."""
        collection = self._one or line.get("collection", self._collection)
        full = self._count >= _TOGETHER and "holds" not in line
        if full or collection != self._collection:
            self.write()
            self._collection = collection
        match line:
            case {"passage": dict(values)}:
                self._held.append(Passage(**{**values, "tags": tuple(values["tags"])}))
                self._count += 1
            case {"source": dict(facts)}:
                self._read[facts["name"]] = facts
                self._holds[facts["name"]] = []
                self._count += 1
            case {"holds": list(rows)}:
                last = next(reversed(self._holds))
                self._holds[last] += [(key, title, meta) for key, title, meta in rows]
                self._count += len(rows)
        return full

    def write(self) -> None:
        """Remember what is held; then note its sources."""
        place = replace(self._place, collection=self._collection)
        if self._held:
            self._recall.remember(self._held, owner=place.owner, app=place.app, collection=place.collection)
        if self._read:
            self._note(self._shelf_of(place))
        self.passages += len(self._held)
        self.sources += len(self._read)
        self._held, self._read, self._holds, self._count = [], {}, {}, 0

    def _note(self, shelf: Shelf) -> None:
        ended: list[tuple[Reading, dict[str, Any]]] = []
        for name, facts in self._read.items():
            [reading] = shelf.open([name], facts["tags"], facts["label"], facts["recipe"]).values()
            shelf.restore(reading, self._holds[name])
            ended.append((reading, {column: facts[column] for column in _SET}))
        shelf.close(ended)
