"""States of streams that are in no stream now: in memory within a budget, beyond it in files, beyond that gone.

What goes is chosen by what it would cost to compute again against its size, and by when it was last of use:
GreedyDual-Size (Cao and Irani, "Cost-aware WWW proxy caching algorithms", 1997). The value of a state is
``age + cost / size``; the one of least value goes, and ``age`` becomes that value. States that are *pinned* are of
processes in the middle of a text: they may go to a file, but are never dropped.

A file carries a checksum; one that is damaged or gone is a state that was lost, never a wrong one.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..models.engine import Saved

log = logging.getLogger(__name__)

RAM = 2 * 2**30
DISK = 8 * 2**30
_SHARE = 4  # of the memory that is free at the start, at most one part in so many


@dataclass(eq=False)
class _Entry:
    key: int
    size: int  # bytes
    cost: float  # milliseconds to compute it again
    pinned: bool
    value: float
    state: Saved | None  # while it is in memory
    file: Path | None = None
    crc: int = 0
    moving: bool = False  # on its way into a file
    gone: bool = False


class Shelf:
    """`get` may be called on any thread, the rest on the event loop's; files are written by a third."""

    def __init__(self, folder: Path | None = None, *, ram: int | None = None, disk: int = DISK) -> None:
        """Without a ``folder`` there is memory alone. ``ram`` and ``disk`` are bytes."""
        self._folder = folder
        self._ram = _fitting() if ram is None else ram
        self._disk = disk if folder is not None else 0
        self.on_lost: Callable[[int], None] = lambda key: None  # hears, on any thread, of a state that was dropped
        self._entries: dict[int, _Entry] = {}
        self._keys = itertools.count(1)
        self._age = 0.0
        self._lock = threading.Lock()  # of all fields of entries
        self._writer = ThreadPoolExecutor(1, "llmos-shelf")
        self._writing: set[Future[None]] = set()
        self.dropped = 0
        self.written = 0
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)  # of a program that has ended
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, state: Saved, cost: float, *, pinned: bool = False) -> int:
        """Keep a state that costs so many milliseconds to compute again; its number."""
        size = len(state)
        with self._lock:
            key = next(self._keys)
            value = self._age + cost / max(size, 1)
            self._entries[key] = _Entry(key, size, cost, pinned, value, state)
        self._fit()
        return key

    def get(self, key: int) -> Saved | None:
        """The state; None if it was lost. It stays where it is."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            entry.value = self._age + entry.cost / max(entry.size, 1)
            if entry.state is not None:
                return entry.state
            file, crc = entry.file, entry.crc
        try:
            assert file is not None
            state = file.read_bytes()
        except OSError as problem:
            log.warning("a saved state cannot be read: %s", problem)
            return None
        return state if zlib.crc32(state) == crc else None

    def unpin(self, key: int) -> None:
        """It may be dropped from now on."""
        with self._lock:
            if (entry := self._entries.get(key)) is not None:
                entry.pinned = False
        self._fit()

    def drop(self, key: int) -> None:
        """It is not needed any more."""
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is not None:
                self._forget(entry)

    def meters(self) -> dict[str, int]:
        """States and bytes in memory and in files, and what happened to them."""
        with self._lock:
            here = [e for e in self._entries.values() if e.state is not None]
            there = [e for e in self._entries.values() if e.state is None]
            return {
                "in_memory": len(here), "memory_bytes": sum(e.size for e in here), "in_files": len(there),
                "file_bytes": sum(e.size for e in there), "written": self.written, "dropped": self.dropped,
            }  # fmt: skip

    def close(self) -> None:
        """Wait for the writer, and leave no files."""
        self._writer.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # -- making room --

    def _fit(self) -> None:
        """Bring what is in memory within its budget."""
        lost: list[int] = []
        with self._lock:
            over = sum(e.size for e in self._entries.values() if e.state is not None and not e.moving) - self._ram
            while over > 0:
                here = [e for e in self._entries.values() if e.state is not None and not e.moving]
                movable = [e for e in here if self._disk or not e.pinned]
                if not movable:
                    break
                entry = min(movable, key=lambda e: (e.pinned, e.value))
                over -= entry.size
                if self._disk:
                    entry.moving = True
                    self._age = max(self._age, entry.value)
                    self._writing.add(writing := self._writer.submit(self._write, entry))
                    writing.add_done_callback(self._writing.discard)
                else:
                    lost.append(self._evict(entry))
        for key in lost:
            self.on_lost(key)

    def _write(self, entry: _Entry) -> None:
        """Move one state into a file (the writer's thread)."""
        assert self._folder is not None
        file = self._folder / f"{entry.key}.state"
        lost: list[int] = []
        state = entry.state
        try:
            if state is not None and self._make_room(entry, lost):
                with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                    out.write(state)
                crc = zlib.crc32(state)
                with self._lock:
                    entry.crc, entry.file, entry.state = crc, file, None
                    self.written += 1
                    if entry.gone:
                        self._forget(entry)
        except OSError as problem:
            log.warning("a state could not be written to %s: %s", self._folder, problem)
            file.unlink(missing_ok=True)
        with self._lock:
            entry.moving = False
            if entry.state is not None and not entry.gone and not entry.pinned:
                lost.append(self._evict(entry))  # there is no room for it anywhere
        for key in lost:
            self.on_lost(key)

    def _make_room(self, entry: _Entry, lost: list[int]) -> bool:
        """Whether a state fits into the files; those of least value make room."""
        with self._lock:
            if entry.gone:
                return False
            there = [e for e in self._entries.values() if e.file is not None]
            over = sum(e.size for e in there) + entry.size - self._disk
            for one in sorted((e for e in there if not e.pinned), key=lambda e: e.value):
                if over <= 0:
                    break
                over -= one.size
                lost.append(self._evict(one))
            return over <= 0

    def _evict(self, entry: _Entry) -> int:
        self._age = max(self._age, entry.value)
        self._entries.pop(entry.key, None)
        self._forget(entry)
        self.dropped += 1
        return entry.key

    def _forget(self, entry: _Entry) -> None:
        entry.gone = True
        if not entry.moving:
            entry.state = None
        if entry.file is not None:
            entry.file.unlink(missing_ok=True)
            entry.file = None


def _fitting() -> int:
    """Bytes of memory for states: a part of what is free now."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(RAM, free // _SHARE)
