"""`llmos checkpoint` and `llmos restore`: a process as a file, and back into this home or another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...kernel.errors import BadInput
from ...memory import checkpoint
from .options import SCRIPTED

if TYPE_CHECKING:
    from .stores import Stores


def write(stores: Stores, *, pid: int, path: str, force: bool = False) -> dict[str, Any]:
    """Write a living process and its children into a file: pids and bytes. It may be running."""
    file = Path(path)
    if file.exists() and not force:
        raise BadInput(f"{file} is there already", hint="name another file, or add --force")
    pids = checkpoint.write(stores.database, pid, file)
    return {"pids": pids, "bytes": file.stat().st_size}


def read(stores: Stores, *, path: str, model: str | None = None, force: bool = False) -> dict[str, Any]:
    """Enter what a file holds, suspended: the pid of its process here, and of each process there and here.

    ``model`` is what would compute if no llmos ran. Raises `BadInput` where the file was made on another one, unless
    ``force``.
    """
    found = checkpoint.read(Path(path))
    here = list(stores.models) or [_model(stores, model)]
    strange = [row for row in found.tables["processes"] if row["model"] not in here]
    if strange and not force:
        raise BadInput(
            f"{path} was made on {strange[0]['model']}, and here {', '.join(here)} computes",
            hint="name that model with --model before the command, or add --force: it will write differently",
        )  # fmt: skip
    for row in strange:
        row["model"] = here[0]
    with stores.database.transaction() as connection:
        pids = checkpoint.restore(connection, found, stores.new_pid, stores.home.root / "handed")
    return {"pid": pids[found.root], "pids": {str(there): here for there, here in pids.items()}}


def _model(stores: Stores, name: str | None) -> str:
    from ...models.catalog import Catalog

    return SCRIPTED if name == SCRIPTED else Catalog(stores.home.root).name_of(name)
