"""Content, addressed by its hash: each piece of data is stored once, compressed where that helps."""

import sqlite3
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from weakref import WeakSet

from ..database import Database
from ..faults import Damaged, Full
from . import chunking

_PIECE = struct.Struct("<16sI")
_AHEAD = 4 << 20  # bytes that wait in memory for the transaction of their version; what is more goes to disk before it
_PROBE = 1 << 10  # bytes by which is seen whether compressing helps
_INSERT = "INSERT OR IGNORE INTO chunks (hash, packed, data) VALUES (?, ?, ?)"

Row = tuple[bytes, bool, bytes]
"""A chunk as SQLite takes it: hash, whether it is compressed, data."""


class Content:
    """Data on its way into the tree. As long as this object lives, none of its chunks is swept away."""

    def __init__(self) -> None:
        self.size = 0  # bytes
        self.pieces = b""  # as `versions.pieces` holds them
        self.hashes: set[bytes] = set()  # the lock of `Chunks` owns it
        self.waiting: dict[bytes, Row] = {}  # chunks to be stored with the version


class Chunks:
    """The table ``chunks``. Any thread."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.lock = threading.Lock()  # taken before the database's, never within a transaction
        self._under_way: WeakSet[Content] = WeakSet()

    def content(self, blocks: Iterable[bytes], most: int | None = None, what: str = "") -> Content:
        """Cut data and store what is new of it, but for the last few megabytes; harmless when repeated.

        Raises `Full` as soon as there are more than ``most`` bytes.
        """
        content, pieces = Content(), list[bytes]()
        ahead = 0
        with self.lock:
            self._under_way.add(content)
        for piece in chunking.pieces(blocks):
            content.size += len(piece)
            if most is not None and content.size > most:
                raise Full(f"{what}: more than the {most} bytes that fit", hint="delete files first")
            key = _key(piece)
            pieces.append(_PIECE.pack(key, len(piece)))
            if not self._known(content, key):
                content.waiting[key] = row = (key, *_packed(piece))
                ahead += len(row[2])
            if ahead > _AHEAD:
                with self.database.transaction() as connection:
                    store(connection, content)
                content.waiting, ahead = {}, 0
        content.pieces = b"".join(pieces)
        return content

    def _known(self, content: Content, key: bytes) -> bool:
        """Whether a chunk is stored, or will be with the content; from here on it is not swept away."""
        with self.lock:
            content.hashes.add(key)
            return key in content.waiting or bool(self.database.rows("SELECT 1 FROM chunks WHERE hash = ?", (key,)))

    def held(self) -> set[bytes]:
        """Hashes of all content that is on its way; for whoever holds ``lock``."""
        return set().union(*(content.hashes for content in self._under_way))

    def read(self, pieces: bytes, what: str) -> Iterator[bytes]:
        """The content of the pieces, one after another; raises `Damaged`, naming ``what``."""
        for key, size in split(pieces):
            row = self.database.one("SELECT packed, data FROM chunks WHERE hash = ?", (key,))
            yield unpacked(row, key, size, what)


def store(connection: sqlite3.Connection, content: Content) -> None:
    """Write the chunks that wait, within the caller's transaction."""
    connection.executemany(_INSERT, content.waiting.values())


def joined(connection: sqlite3.Connection, pieces: bytes, what: str) -> bytes:
    """Pieces that say the same with fewer chunks, which are stored within the caller's transaction."""
    sql = "SELECT packed, data FROM chunks WHERE hash = ?"
    data = [unpacked(connection.execute(sql, (key,)).fetchone(), key, size, what) for key, size in split(pieces)]
    found = [(_key(piece), piece) for piece in chunking.pieces(data)]
    connection.executemany(_INSERT, [(key, *_packed(piece)) for key, piece in found])
    return b"".join(_PIECE.pack(key, len(piece)) for key, piece in found)


def split(pieces: bytes) -> list[tuple[bytes, int]]:
    """(hash, bytes of content) of each piece."""
    return list(_PIECE.iter_unpack(pieces[: count(pieces) * _PIECE.size]))


def bytes_of(pieces: Iterable[tuple[bytes, int]]) -> int:
    """Bytes of content, each piece counted once."""
    return sum(dict(pieces).values())


def small_tail(pieces: bytes) -> tuple[bytes, bytes]:
    """The pieces up to the last long one, and the short ones after it, as appending leaves them."""
    found = split(pieces)
    keep = len(found)
    while keep and found[keep - 1][1] < chunking.LEAST:
        keep -= 1
    return pieces[: keep * _PIECE.size], pieces[keep * _PIECE.size :]


def count(pieces: bytes) -> int:
    """How many pieces there are."""
    return len(pieces) // _PIECE.size


def unpacked(row: tuple[bool, bytes] | None, key: bytes, size: int, what: str) -> bytes:
    """The content of a chunk's row, checked against its hash; raises `Damaged`, naming ``what``."""
    try:
        if row is not None:
            data = zlib.decompress(row[1]) if row[0] else row[1]
            if len(data) == size and _key(data) == key:
                return data
    except (zlib.error, TypeError):  # damage too
        pass
    raise Damaged(f"{what} is {'damaged' if row else 'incomplete'}", hint="llmos fs log shows the versions there are")


def _key(piece: bytes) -> bytes:
    return blake2b(piece, digest_size=16).digest()


def _packed(piece: bytes) -> tuple[bool, bytes]:
    """The piece compressed, if that saves at least a tenth."""
    if len(zlib.compress(piece[:_PROBE], 1)) < 0.95 * min(len(piece), _PROBE):
        packed = zlib.compress(piece, 1)
        if len(packed) < 0.9 * len(piece):
            return True, packed
    return False, piece
