"""Writing so that nothing half-written is ever found, and so that a full disk is a fault that says so."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from .faults import Damaged, Full

M = TypeVar("M", bound=BaseModel)


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


def read_model(path: Path, kind: type[M], hint: str) -> M:
    """What a file holds as JSON; the model by itself where there is no file. Raises `Damaged`, with the hint."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return kind()
    except (OSError, ValidationError) as problem:
        raise Damaged(f"{path} cannot be read", hint=hint) from problem


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
