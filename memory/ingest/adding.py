"""One `add`: what is new or changed on the disk is read and remembered; what is gone is told, or forgotten."""

import json
import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from .blocks import IGNORED, Piece, Refused
from .reading import Facts, Failed, Job, Part, read
from .shelf import Reading, Shelf
from .sources import UNTRUSTED, Source
from .walking import Found, Walk, below

RECIPE = 1
"""How files are read and split. Raised when that changes so much that all should be read anew."""

MOST = 100 * 2**20
"""Bytes of a file, unless the user says otherwise."""

_TOGETHER = 400  # pieces, or files that gave none, that are written together
_BEAT = 0.1  # seconds between two words on how far it is
_RESTED = 2 * 10**9  # nanoseconds: of a file that changed just before it was seen the clock cannot tell a second change


@dataclass(frozen=True)
class Wanted:
    """What is to be added, and how."""

    paths: tuple[str, ...]
    tags: tuple[str, ...] = ()
    label: str = UNTRUSTED
    prune: bool = False  # forget files that have vanished from the folders that were named
    most: int = MOST
    thorough: bool = False  # look into every file, and not only at its size and time


@dataclass(frozen=True)
class Progress:
    """How far it is: ``done`` of ``total`` bytes (0 as long as the files are being looked for), and at which file."""

    done: int
    total: int
    what: str
    files: int
    passages: int


@dataclass(frozen=True)
class Skipped:
    """A file that was not taken; ``failed`` is False where nobody would expect it to be, like pictures in a folder."""

    name: str
    code: str
    why: str
    hint: str
    failed: bool


@dataclass
class Summary:
    """What an `add` did. A changed file's passages count anew, what stands in it twice counts once."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    passages: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    hidden: int = 0
    vanished: list[str] = field(default_factory=list)
    forgotten: int = 0
    notes: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0


class Adding:
    """One run; what it does between two words is short, and what it has written by then is consistent."""

    def __init__(self, shelf: Shelf, wanted: Wanted, clock: Callable[[], float]) -> None:
        self._shelf = shelf
        self._wanted = wanted
        self._began = clock()  # before anything is read: what changes later is not taken for seen
        self._tags = json.dumps(sorted(set(wanted.tags)), ensure_ascii=False)
        self._summary = Summary()
        self._found: dict[str, Found] = {}
        self._known: dict[str, Source] = {}
        self._readings: dict[str, Reading] = {}
        self._pieces: list[tuple[Job, Piece]] = []
        self._ended: list[Facts] = []
        self._done = self._total = 0
        self._told = 0.0

    def run(self) -> Generator[Progress, None, Summary]:
        """All of it."""
        begun = time.monotonic()
        walk = Walk()
        yield from self._look(walk)
        yield from self._read()
        yield from self._compare(walk)
        for name, why, named in walk.refused:
            self._skip(name, why, named)
        self._summary.hidden = walk.hidden
        self._summary.seconds = time.monotonic() - begun
        return self._summary

    def _look(self, walk: Walk) -> Iterator[Progress]:
        for found in walk.files(self._wanted.paths):
            if found is not None:
                self._found[found.name] = found
            yield from self._tell(found.name if found else "")
        self._known = self._shelf.sources.all()
        self._total = sum(found.size for found in self._found.values())

    def _read(self) -> Iterator[Progress]:
        done = 0
        at = ""
        for event in read(self._jobs(), self._wanted.most):
            if isinstance(event, Part):
                at, self._done = event.job.name, done + min(event.at, event.job.size)
                self._pieces += [(event.job, piece) for piece in event.pieces]
            elif isinstance(event, Facts):
                self._ended.append(event)
            elif isinstance(event, Failed):
                self._fail(event)
            if isinstance(event, Facts | Failed):
                at, done = event.job.name, done + event.job.size
                self._done = done
            if max(len(self._pieces), len(self._ended)) >= _TOGETHER:
                self._write()
            yield from self._tell(at)
        self._write()

    def _jobs(self) -> Iterator[Job]:
        """The files that may have changed."""
        for found in self._found.values():
            known = self._known.get(found.name)
            if known is None or not self._like_this(known):
                yield Job(found.path, found.name, found.size)
            elif self._wanted.thorough or not _untouched(known, found):
                yield Job(found.path, found.name, found.size, known.content)
            else:
                self._total -= found.size
                self._summary.unchanged += 1

    def _like_this(self, known: Source) -> bool:
        same = (known.tags, known.label, known.recipe) == (self._tags, self._wanted.label, RECIPE)
        return same and known.content != ""

    def _write(self) -> None:
        """Remember the pieces that are held, and note the files that have come to their end."""
        over = [facts for facts in self._ended if not facts.same]
        names = {job.name: None for job, _ in self._pieces} | {facts.job.name: None for facts in over}
        new = [name for name in names if name not in self._readings]
        self._readings |= self._shelf.open(new, self._tags, self._wanted.label, RECIPE)
        self._summary.passages += self._shelf.take([(self._readings[job.name], p) for job, p in self._pieces])
        self._shelf.close([(self._readings.pop(facts.job.name), self._values(facts)) for facts in over])
        same = [facts for facts in self._ended if facts.same]
        self._shelf.touch([(self._known[facts.job.name], self._seen(facts)) for facts in same])
        self._summary.unchanged += len(same)
        self._pieces, self._ended = [], []

    def _values(self, facts: Facts) -> dict[str, Any]:
        known = self._known.get(facts.job.name)
        if known and known.reading:
            self._summary.changed += 1
        else:
            self._summary.added += 1
        if facts.notes:
            self._summary.notes[facts.job.name] = facts.notes
        return {"kind": facts.kind, "content": facts.digest, "added": self._began, **self._seen(facts)}

    def _seen(self, facts: Facts) -> dict[str, Any]:
        return {"size": facts.size, "mtime_ns": facts.mtime_ns, "seen": self._began}

    def _fail(self, event: Failed) -> None:
        """What a file gave before it failed does not count."""
        name = event.job.name
        self._pieces = [(job, piece) for job, piece in self._pieces if job.name != name]
        if name in self._readings:
            self._shelf.give_up(self._readings.pop(name))
        self._skip(name, event.refused, self._found[name].named)

    def _compare(self, walk: Walk) -> Iterator[Progress]:
        """Files that are known and gone from the folders that were gone through, as far as these could be seen."""
        there = self._found.keys() | {name for name, _, _ in walk.refused}
        for name, known in sorted(self._known.items()):
            lost = name not in there and any(below(name, root) for root in walk.roots)
            if not lost or any(below(name, folder) for folder in walk.unseen) or os.path.lexists(name):
                continue
            self._summary.vanished.append(name)
            if self._wanted.prune:
                for _ in self._shelf.forget(known.id):
                    yield from self._tell(name)
                self._summary.forgotten += 1

    def _skip(self, name: str, why: Refused, named: bool) -> None:
        failed = named or why.code not in IGNORED
        self._summary.skipped.append(Skipped(name, why.code, why.message, why.hint, failed))

    def _tell(self, what: str) -> Iterator[Progress]:
        now = time.monotonic()
        if now - self._told >= _BEAT:
            self._told = now
            passages = self._summary.passages + len(self._pieces)
            yield Progress(self._done, self._total, what, len(self._found), passages)


def _untouched(known: Source, found: Found) -> bool:
    same = (known.size, known.mtime_ns) == (found.size, found.mtime_ns)
    return same and found.mtime_ns + _RESTED < known.seen * 1e9
