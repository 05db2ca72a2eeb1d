"""Writing so that nothing half-written is ever found, and so that a full disk is a fault that says so."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .faults import Full


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an `OSError` of the block, which writes ``path``, into `Full`."""
    try:
        yield
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise Full(f"cannot write {path}: {reason}", hint="free some room, or name another LLMOS_HOME") from problem


def replace_text(path: Path, text: str) -> None:
    """The whole text or the old file, whatever happens in between. Makes the folder; raises `Full`."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def make_room(folder: Path, wanted: int) -> None:
    """Make the folder and see that ``wanted`` bytes are free in it; raises `Full`."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    if free < wanted:
        raise Full(
            f"{folder} has {free / 2**20:.0f} MiB free where {wanted / 2**20:.0f} MiB are needed",
            hint="free some room, or name another LLMOS_HOME",
        )
