"""A look at SQLite's write-ahead log before SQLite opens it.

Opening a store after an unclean end, SQLite reads the log up to the first frame whose checksum is wrong, takes that for
the place where the power went, and forgets the rest in silence. So it must be; but a flipped bit looks the same, and
then what is forgotten had been acknowledged. Two things tell them apart:

- A commit is flushed before the next begins to write. A sound frame of a *later* transaction proves that the broken
  one was whole once.
- The index beside the log (``-shm``) says how many frames were committed. It outlives a killed program, and never says
  too much: it is written after the flush.

Neither helps when the power went and the broken frame belongs to the very last transaction: that looks as if it had
never been flushed. The format: https://www.sqlite.org/fileformat2.html#walformat
"""

import os
import shutil
import struct
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Words = np.ndarray[Any, np.dtype[np.uint32]]

HEADER, FRAME = 32, 24  # bytes: of the log's header, of a frame's header before its page
_MAGIC = 0x377F0682  # the lowest bit says that checksums read big-endian words
_VERSION = 3007000
_INDEX = 48  # bytes of the index's header


def beside(path: Path) -> Path:
    """The log of a store."""
    return path.with_name(path.name + "-wal")


def left_open(path: Path) -> bool:
    """Whether the last program that wrote a store ended without closing it."""
    log = beside(path)
    return log.exists() and log.stat().st_size > 0


def forgotten(path: Path) -> str | None:
    """What of the log SQLite would wrongly forget when it opens the store, in words; None where there is nothing.

    Also true while somebody writes the store: the index is read first, and so never ahead of the log.
    """
    return _looked_at(path)[1]


def salvage(path: Path) -> Path:
    """Cut the log down to what SQLite reads of it; where the whole log was put. Nobody may have the store open."""
    log = beside(path)
    kept, _ = _looked_at(path)
    number = 1
    while (copy := log.with_name(f"{log.name}-damaged-{number}")).exists():
        number += 1
    shutil.copy2(log, copy)
    os.truncate(log, kept)
    _index(path).unlink(missing_ok=True)  # it says how much there was
    return copy


def _looked_at(path: Path) -> tuple[int, str | None]:
    """How many bytes of the log SQLite keeps, and what it forgets wrongly."""
    index = _index(path).read_bytes()[:_INDEX] if _index(path).exists() else b""
    log = beside(path).read_bytes()
    if len(log) < HEADER:
        return 0, None
    magic, version, page, _, *_ = struct.unpack_from(">8I", log)
    order = ">" if magic & 1 else "<"
    if magic | 1 != _MAGIC | 1 or version != _VERSION or _sum(log[:24], order) != struct.unpack_from(">2I", log, 24):
        sound = any(_Frames(log, _page_size(path), way).sound.any() for way in "<>")
        return 0, "its header is damaged" if sound else None
    frames = _Frames(log, page, order)
    kept, told, first = frames.committed(), _claimed(index, log[16:24]), frames.readable()
    size = HEADER + kept * (FRAME + page)
    if kept < told:
        return size, f"{told} pages were committed and only {kept} can be read"
    late = frames.beyond(first)
    return size, None if late is None else f"page {first + 1} is damaged, and a later one (page {late + 1}) is sound"


class _Frames:
    """The frames of a log, judged one by one: ``sound`` where the checksum follows from the frame before."""

    def __init__(self, log: bytes, page: int, order: str) -> None:
        import numpy as np

        size = FRAME + page
        count = (len(log) - HEADER) // size
        table = np.frombuffer(log, dtype=np.uint8, count=count * size, offset=HEADER).reshape(count, size)
        heads = table[:, :FRAME].copy().view(">u4").astype(np.uint32)
        self.commits = heads[:, 1] != 0
        self.same = (table[:, 8:16] == np.frombuffer(log, np.uint8, 8, 16)).all(axis=1) & (heads[:, 0] != 0)
        before = np.vstack([np.frombuffer(log, ">u4", 2, 24).astype(np.uint32), heads[:, 4:6]])[:count]
        words = np.hstack([table[:, :8], table[:, FRAME:]]).view(f"{order}u4").astype(np.uint32)
        carry, weights = _weights(words.shape[1])
        self.sound = ((before @ carry + words @ weights) == heads[:, 4:6]).all(axis=1)

    def readable(self) -> int:
        """How many frames SQLite reads before it stops."""
        good = self.sound & self.same
        return len(good) if good.all() else int(good.argmin())

    def committed(self) -> int:
        """How many of these it keeps: up to the last commit among them."""
        ends = self.commits[: self.readable()].nonzero()[0]
        return int(ends[-1]) + 1 if len(ends) else 0

    def beyond(self, start: int) -> int | None:
        """A sound frame of this log that was written after a commit at or after ``start``."""
        ends = (self.commits & self.same)[start:].nonzero()[0]
        if not len(ends):
            return None
        after = start + int(ends[0]) + 1
        late = (self.sound & self.same)[after:].nonzero()[0]
        return after + int(late[0]) if len(late) else None


@cache
def _weights(words: int) -> tuple["Words", "Words"]:
    """SQLite's checksum of so many words as two products, modulo 2³²: of what went before, and of the words.

    Each pair (x, y) makes s0 += x + s1, s1 += y + s0 of the two sums; that is linear, and so is all of it.
    """
    import numpy as np

    step = np.array([[1, 1], [1, 2]], dtype=np.uint32)
    power = np.eye(2, dtype=np.uint32)
    rows = []
    for _ in range(words // 2):
        rows.append((power @ np.array([[1, 0], [1, 1]], dtype=np.uint32)).T)
        power = power @ step
    return power.T, np.vstack(rows[::-1])


def _sum(data: bytes, order: str) -> tuple[int, ...]:
    import numpy as np

    words = np.frombuffer(data, dtype=f"{order}u4").astype(np.uint32)
    return tuple(int(part) for part in words @ _weights(len(words))[1])


def _page_size(path: Path) -> int:
    """What the store itself names, for a log whose header cannot be trusted."""
    with path.open("rb") as file:
        (size,) = struct.unpack(">H", file.read(18)[16:18].rjust(2, b"\0"))
    return size if size >= 512 and not size & (size - 1) else 4096


def _index(path: Path) -> Path:
    return path.with_name(path.name + "-shm")


def _claimed(index: bytes, salts: bytes) -> int:
    """How many frames of the log with these salts were committed, as far as the index beside it knows."""
    if len(index) < _INDEX or _sum(index[:40], "=") != struct.unpack_from("=2I", index, 40) or index[32:40] != salts:
        return 0
    (frames,) = struct.unpack_from("=I", index, 16)
    return int(frames)
