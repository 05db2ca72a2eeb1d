"""Freeing what finished processes left: `llmos gc`, and a little at every start."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...kernel.errors import OSFault
from ...memory import retention
from ...memory.database import Database
from ...memory.files import FileTree, Retention, forget_deleted
from ...memory.indexes import USED
from ...memory.retention import Keep
from .home import Home

if TYPE_CHECKING:
    from .stores import Stores

Steps = Generator[dict[str, Any], None, Any]

MOST = 500
"""Trees of processes that a start removes; the next one goes on."""


def gc(
    stores: Stores, *, days: float | None, processes: int | None, size: int | None, file_days: float,
    file_versions: int, dry_run: bool,
) -> Steps:  # fmt: skip
    """The service ``gc``: removes what the limits do not let stay, and says what that was.

    ``history`` counts entries of living processes from before their saved states, ``bytes`` is what the ended
    processes took, ``file_before`` and ``file_after`` the size of the store on the disk, ``files`` what
    `FileStore.sweep` found, ``indexes`` the bytes of indexes that no version now uses.
    """
    database, before = stores.database, _on_disk(stores.database)
    found = yield from _processes(database, Keep(days, processes, size), dry_run=dry_run)
    found["history"] = retention.history(database, days)
    for _ in () if dry_run else retention.forget_history(database, days):
        yield {"what": "forgetting what came before saved states", "share": 0.5}
    yield {"what": "looking through the versions of files", "share": 0.0}
    if not dry_run:
        for owner in stores.files.owners():
            forget_deleted(FileTree(stores.files, owner), stores.recall)
    files = stores.files.sweep(Retention(file_days, file_versions), dry_run=dry_run)
    indexes = _unused_indexes(stores.home, dry_run=dry_run)
    if not dry_run:
        yield from _shrunk(database)
    sizes = {"file_before": before, "file_after": _on_disk(database)}
    return {**found, "files": asdict(files), "indexes": indexes, **sizes, "dry_run": dry_run}


def gc_some(stores: Stores, *, days: float | None, processes: int | None, size: int | None) -> Steps:
    """As much of `gc` as every start should do: processes alone, and not more than `MOST` trees of them."""
    found = yield from _processes(stores.database, Keep(days, processes, size), MOST)
    if found["processes"]:
        yield from _shrunk(stores.database)
    return found


def _processes(database: Database, keep: Keep, most: int | None = None, *, dry_run: bool = False) -> Steps:
    yield {"what": "looking through the processes", "share": 0.0}
    trees = retention.outlived(database, keep)[:most]
    pids, entries = sum(len(tree.pids) for tree in trees), sum(tree.entries for tree in trees)
    done = 0
    for gone in retention.remove(database, [] if dry_run else trees):
        done += gone
        yield {"what": "removing processes", "share": min(done / (pids + entries), 1.0)}
    return {"processes": pids, "entries": entries, "bytes": sum(tree.size for tree in trees)}


def _shrunk(database: Database) -> Steps:
    most = 1
    for left in retention.shrink(database):
        most = max(most, left)
        yield {"what": "giving room back", "share": 1 - left / most}


def _unused_indexes(home: Home, *, dry_run: bool) -> int:
    """The bytes of what indexes of earlier versions left."""
    folder, size = home.root / "index", 0
    for place in folder.iterdir() if folder.is_dir() else ():
        if place.name in USED:
            continue
        size += sum(file.stat().st_size for file in (place, *place.rglob("*")) if file.is_file())
        if not dry_run:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    return size


def _on_disk(database: Database) -> int:
    files = (database.path, database.path.with_name(database.path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


@asynccontextmanager
async def tidying(stores: Stores, keep: Keep) -> AsyncIterator[None]:
    """While the block runs, in the background: what is to be kept no longer goes, within bounds."""
    from .stores import answer, begin

    limits = {"days": keep.days, "processes": keep.processes, "size": keep.size}

    async def unseen(step: dict[str, Any]) -> None:
        """Nobody watches."""

    async def tidy() -> None:
        with suppress(OSFault):  # a full or damaged disk shows where somebody waits for it
            await answer(begin(stores, "gc.some", limits), unseen)

    working = asyncio.ensure_future(tidy())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait({working})
