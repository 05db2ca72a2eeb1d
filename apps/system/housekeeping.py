"""Freeing what finished processes left: `llmos gc`, and a little at every start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from ...kernel.errors import OSFault
from ...memory import retention
from ...memory.database import Database
from ...memory.retention import Keep

if TYPE_CHECKING:
    from .stores import Stores

MOST = 500
"""Trees of processes that a start removes; the next one goes on."""


def gc(
    stores: Stores, *, days: float | None, processes: int | None, size: int | None, dry_run: bool,
    most: int | None = None,
) -> Generator[dict[str, Any], None, dict[str, Any]]:  # fmt: skip
    """The service ``gc``: removes what the limits do not let stay, at most so many trees; says what that was.

    ``bytes`` is what the processes took, ``file_before`` and ``file_after`` the size of the store on the disk.
    """
    database = stores.database
    yield {"what": "looking through the processes", "share": 0.0}
    trees = retention.outlived(database, Keep(days, processes, size))[:most]
    found = {
        "processes": sum(len(tree.pids) for tree in trees), "entries": sum(tree.entries for tree in trees),
        "bytes": sum(tree.size for tree in trees), "file_before": _on_disk(database), "dry_run": dry_run,
    }  # fmt: skip
    if not dry_run:
        total, done = found["processes"] + found["entries"], 0
        for gone in retention.remove(database, trees):
            done += gone
            yield {"what": "removing", "share": min(done / total, 1.0)}
        free = None
        for left in retention.shrink(database):
            free = free or max(left, 1)
            yield {"what": "giving room back", "share": 1 - left / free}
    return {**found, "file_after": _on_disk(database)}


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
            await answer(begin(stores, "gc", {**limits, "dry_run": False, "most": MOST}), unseen)

    working = asyncio.ensure_future(tidy())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait({working})
