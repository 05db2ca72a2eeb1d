"""A home in one file: a zip with the store, the settings, the grants and the installed apps, and a manifest.

    home/…           as it lies below LLMOS_HOME
    manifest.json    {"format": 1, "llmos", "made", "files": {name: {"size", "sha256"}}, "links": {name: target},
                     "rows": {table: count}}; the last entry, so a file that was cut short has none

Models are left out, which can be had again, and so are indexes, which are made from the store, and saved states.
"""

import errno
import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ValidationError

from ...kernel.errors import BadInput, NotFound, Storage

OnProgress = Callable[[str, float], None]

LEFT_OUT = {"models", "index", "run", "swap", "lock"}
STORE = "llmos.db"
MANIFEST = "manifest.json"
BELOW = "home/"
FORMAT = 1
PART = 1 << 20  # bytes read at a time
_SLACK = 16 << 20  # bytes that should stay free on a disk
_BROKEN = (zipfile.BadZipFile, zlib.error, KeyError, ValidationError, EOFError, NotImplementedError, RuntimeError)


class Kept(BaseModel):
    """One file of a backup."""

    size: int
    sha256: str


class Manifest(BaseModel):
    """What a backup says of itself."""

    format: int
    llmos: str
    made: float  # seconds since the epoch
    files: dict[str, Kept]
    links: dict[str, str] = {}
    rows: dict[str, int]


@contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """A backup and its manifest; raises `NotFound`, and `Storage` for what is none, also while it is read."""
    if not path.is_file():
        raise NotFound(f"no file {path}", hint="check the spelling and where you are")
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = Manifest.model_validate_json(archive.read(MANIFEST))
            if manifest.format != FORMAT:
                raise BadInput(f"{path} is of a newer llmos ({manifest.llmos})", hint="upgrade llmos")
            there = {entry.filename for entry in archive.infolist()} - {MANIFEST}
            if there != {BELOW + name for name in manifest.files}:
                raise Storage(f"{path} holds other files than it says", hint="use another backup")
            yield archive, manifest
    except (*_BROKEN, OSError) as wrong:
        if isinstance(wrong, OSError) and wrong.errno != errno.EINVAL:  # a place before the file's begin
            raise
        what = str(wrong).splitlines()[0] if str(wrong) else type(wrong).__name__
        raise Storage(f"{path} is no backup, or is damaged or cut short: {what}", hint="use another backup") from None


def pieces(archive: zipfile.ZipFile, manifest: Manifest, name: str) -> Iterator[bytes]:
    """The bytes of a file; raises `Storage` at their end where they are not what was backed up."""
    digest = hashlib.sha256()
    with archive.open(BELOW + name) as source:
        while data := source.read(PART):
            digest.update(data)
            yield data
    if digest.hexdigest() != manifest.files[name].sha256:
        raise Storage(f"{archive.filename} is damaged in {name}", hint="use another backup")


def contents(
    archive: zipfile.ZipFile, manifest: Manifest, on_progress: OnProgress
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Every file and its bytes, to be read to their end before the next; raises `Storage` as `pieces` does."""
    total, done = sum(kept.size for kept in manifest.files.values()) or 1, 0

    def told(name: str) -> Iterator[bytes]:
        nonlocal done
        for data in pieces(archive, manifest, name):
            done += len(data)
            on_progress("verifying", min(done / total, 1.0))
            yield data

    for name in manifest.files:
        yield name, told(name)


def read(found: Iterator[bytes], file: IO[bytes] | None = None) -> None:
    """Read to the end, and put what is read into a file, on the disk."""
    for data in found:
        if file is not None:
            file.write(data)
    if file is not None:
        file.flush()
        os.fsync(file.fileno())


def need_room(folder: Path, size: int) -> None:
    """Raise `Storage` where a disk has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < size + _SLACK:
        raise Storage(f"{folder} has room for {free} bytes where {size + _SLACK} are needed", hint="free some room")
