"""The seal of a closed store: the size and CRC-32 of its file, so that no bit turns unseen while nobody runs.

It stands beside the store, is broken before the store is written, and may be thrown away: a store without one was not
closed, or is too large to be read as a whole each time.
"""

import zlib
from contextlib import suppress
from pathlib import Path

LARGEST = 512 * 1024**2  # bytes: a quarter of a second of reading, on opening and after a change on closing
_PART = 256 * 1024


def _beside(path: Path) -> Path:
    return path.with_name(path.name + "-seal")


def put(path: Path) -> None:
    """Seal a store that was just closed, if that costs little; where the disk is full it stays without."""
    with suppress(OSError):
        if path.stat().st_size <= LARGEST:
            _beside(path).write_text(_sum(path))


def intact(path: Path) -> bool | None:
    """Whether a store is as it was sealed; None where it bears no seal."""
    try:
        return _beside(path).read_text() == _sum(path)
    except (OSError, UnicodeDecodeError):
        return None


def take_off(path: Path) -> None:
    """Before the store is written. Raises `OSError` where that cannot be done."""
    _beside(path).unlink(missing_ok=True)


def sum_of(path: Path) -> tuple[int, int]:
    """Size and CRC-32 of a file."""
    size, check = 0, 0
    with path.open("rb") as file:
        while part := file.read(_PART):
            size, check = size + len(part), zlib.crc32(part, check)
    return size, check


def _sum(path: Path) -> str:
    size, check = sum_of(path)
    return f"{size} {check:08x}\n"
