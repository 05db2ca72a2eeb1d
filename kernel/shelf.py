"""States of streams that are in no stream now: in memory within a budget, beyond it in files, beyond that gone.

What goes is chosen by what it would cost to compute again against its size, and by when it was last of use:
GreedyDual-Size (Cao and Irani, "Cost-aware WWW proxy caching algorithms", 1997). The value of a state is
``age + cost / size``; the one of least value goes, and ``age`` becomes that value. States that are *pinned* are of
processes in the middle of a text: they may go to a file, but are never dropped.

A file carries a checksum; one that is damaged or gone is a state that was lost, never a wrong one.
"""

from __future__ import annotations

import heapq
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


class _Order:
    """Entries by what should go first: not pinned before pinned, then the least value. Changed under the lock."""

    def __init__(self) -> None:
        self._heap: list[tuple[bool, float, int]] = []  # with what has changed or left since
        self._entries: dict[int, _Entry] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: _Entry) -> None:
        self._entries[entry.key] = entry
        self.bytes += entry.size
        self.changed(entry)

    def remove(self, entry: _Entry) -> None:
        if self._entries.pop(entry.key, None) is not None:
            self.bytes -= entry.size

    def changed(self, entry: _Entry) -> None:
        """It has another value, or is no longer pinned."""
        if entry.key not in self._entries:
            return
        heapq.heappush(self._heap, (entry.pinned, entry.value, entry.key))
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [(e.pinned, e.value, e.key) for e in self._entries.values()]
            heapq.heapify(self._heap)

    def first(self) -> _Entry | None:
        """What should go first, None when there is nothing."""
        while self._heap:
            pinned, value, key = self._heap[0]
            entry = self._entries.get(key)
            if entry is not None and (entry.pinned, entry.value) == (pinned, value):
                return entry
            heapq.heappop(self._heap)
        return None


class Shelf:
    """`get` may be called on any thread, the rest on the event loop's; files are written by a third."""

    def __init__(self, folder: Path | None = None, *, ram: int | None = None, disk: int | None = None) -> None:
        """Without a ``folder`` there is memory alone. ``ram`` and ``disk``: bytes; else a part of what is free."""
        self._folder = folder
        self._ram = memory_room() if ram is None else ram
        self.on_lost: Callable[[int], None] = lambda key: None  # hears, on any thread, of a state that was dropped
        self._entries: dict[int, _Entry] = {}
        self._here = _Order()  # in memory, and not on their way into a file
        self._there = _Order()  # in files
        self._keys = itertools.count(1)
        self._moving = 0  # bytes on their way into files
        self._age = 0.0
        self._lock = threading.Lock()  # of all fields of entries
        self._writer = ThreadPoolExecutor(1, "llmos-shelf")
        self._writing: set[Future[None]] = set()
        self.dropped = 0
        self.written = 0
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)  # of a program that has ended
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._disk = 0 if folder is None else disk_room(folder) if disk is None else disk

    def put(self, state: Saved, cost: float, *, pinned: bool = False) -> int:
        """Keep a state that costs so many milliseconds to compute again; its number."""
        size = len(state)
        with self._lock:
            key = next(self._keys)
            value = self._age + cost / max(size, 1)
            entry = self._entries[key] = _Entry(key, size, cost, pinned, value, state)
            self._here.add(entry)
        self._fit()
        with self._lock:  # its life begins now that the others have made room
            self._value(entry)
        return key

    def get(self, key: int) -> Saved | None:
        """The state; None if it was lost, which `on_lost` hears too. It stays where it is."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._value(entry)
            if entry.state is not None:
                return entry.state
            file, crc = entry.file, entry.crc
        try:
            assert file is not None
            state = file.read_bytes()
            if zlib.crc32(state) == crc:
                return state
            log.warning("%s is damaged", file)
        except OSError as problem:
            log.warning("a saved state cannot be read: %s", problem)
        with self._lock:
            if key in self._entries:
                self._evict(entry)
        self.on_lost(key)
        return None

    def unpin(self, key: int) -> None:
        """It may be dropped from now on."""
        with self._lock:
            if (entry := self._entries.get(key)) is not None:
                entry.pinned = False
                self._changed(entry)
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
            moving = len(self._entries) - len(self._here) - len(self._there)
            return {
                "in_memory": len(self._here) + moving, "memory_bytes": self._here.bytes + self._moving,
                "in_files": len(self._there), "file_bytes": self._there.bytes,
                "written": self.written, "dropped": self.dropped,
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
            while self._here.bytes > self._ram:
                entry = self._here.first()
                if entry is None or (entry.pinned and not self._disk):
                    break
                if self._disk:
                    self._move(entry)
                else:
                    lost.append(self._evict(entry))
        for key in lost:
            self.on_lost(key)

    def _move(self, entry: _Entry) -> None:
        """Send an entry on its way into a file."""
        entry.moving = True
        self._here.remove(entry)
        self._moving += entry.size
        self._age = max(self._age, entry.value)
        self._writing.add(writing := self._writer.submit(self._write, entry))
        writing.add_done_callback(self._writing.discard)

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
                    self._there.add(entry)
                    if entry.gone:
                        self._forget(entry)
        except OSError as problem:
            log.warning("a state could not be written to %s: %s", self._folder, problem)
            file.unlink(missing_ok=True)
        with self._lock:
            entry.moving = False
            self._moving -= entry.size
            if entry.state is not None and not entry.gone:  # there is no room for it among the files
                if entry.pinned:
                    self._here.add(entry)
                else:
                    lost.append(self._evict(entry))
        for key in lost:
            self.on_lost(key)

    def _make_room(self, entry: _Entry, lost: list[int]) -> bool:
        """Whether a state fits into the files; those of least value make room."""
        with self._lock:
            if entry.gone:
                return False
            going: list[_Entry] = []
            over = self._there.bytes + entry.size - self._disk
            while over > 0 and (first := self._there.first()) is not None and not first.pinned:
                self._there.remove(first)
                going.append(first)
                over -= first.size
            if over > 0:  # all that may go would not be enough: nothing goes
                for one in going:
                    self._there.add(one)
                return False
            lost += [self._evict(one) for one in going]
            return True

    def _value(self, entry: _Entry) -> None:
        entry.value = self._age + entry.cost / max(entry.size, 1)
        self._changed(entry)

    def _changed(self, entry: _Entry) -> None:
        self._here.changed(entry)
        self._there.changed(entry)

    def _evict(self, entry: _Entry) -> int:
        self._age = max(self._age, entry.value)
        self._entries.pop(entry.key, None)
        self._forget(entry)
        self.dropped += 1
        return entry.key

    def _forget(self, entry: _Entry) -> None:
        entry.gone = True
        self._here.remove(entry)
        self._there.remove(entry)
        if not entry.moving:
            entry.state = None
        if entry.file is not None:
            entry.file.unlink(missing_ok=True)
            entry.file = None


def memory_room() -> int:
    """Bytes of memory for states: a part of what is free now."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(RAM, free // _SHARE)


def disk_room(folder: Path) -> int:
    """Bytes of files for states: the same of the disk."""
    return min(DISK, shutil.disk_usage(folder).free // _SHARE)
