"""`llmos checkpoint` and `llmos restore`: a process as a file, and back into this home or another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...kernel.errors import BadInput
from ...memory import checkpoint
from ...memory.database import Database
from .home import Home


def write(database: Database, pid: int, path: Path, *, force: bool) -> dict[str, Any]:
    """Write a living process and its children into a file: pids and bytes."""
    if path.exists() and not force:
        raise BadInput(f"{path} is there already", hint="name another file, or add --force")
    pids = checkpoint.write(database, pid, path)
    return {"pids": pids, "bytes": path.stat().st_size}


def read(
    home: Home, database: Database, path: Path, model: str, new_pid: Callable[[], int], *, force: bool
) -> dict[str, Any]:
    """Enter what a file holds, suspended: the pid of its process here, and of each process there and here.

    Raises `BadInput` where it was made on another model than ``model``, unless ``force``.
    """
    found = checkpoint.read(path)
    if found.model != model and not force:
        raise BadInput(
            f"{path} was made on {found.model}, this home uses {model}",
            hint=f"llmos --model {found.model} …, or add --force: what it writes from now on will differ",
        )  # fmt: skip
    with database.transaction() as connection:
        pids = checkpoint.restore(connection, found, new_pid, home.root / "handed")
    return {"pid": pids[found.root], "pids": {str(there): here for there, here in pids.items()}}
