"""Memory: remember, recall, forget, each within the caller's owner and app."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ..memory import recall as memory
from . import calls as c

if TYPE_CHECKING:
    from .gate import Call


async def remember(call: Call, request: c.Remember) -> c.Remembered:
    """Store passages; done when they are on disk."""
    passages = [memory.Passage(**{**p.model_dump(), "tags": tuple(p.tags)}) for p in request.passages]
    store = call.machine.parts.recall
    handles = await call.machine.worker(
        store.remember, passages, owner=call.process.owner, app=call.process.app, collection=request.collection
    )
    return c.Remembered(handles=handles)


async def search(call: Call, request: c.Recall) -> c.Recalled:
    """The best passages."""
    hits = await call.machine.worker(
        call.machine.parts.recall.search, request.query, owner=call.process.owner, app=call.process.app,
        collection=request.collection, k=request.k, tags=tuple(request.tags),
    )  # fmt: skip
    return c.Recalled(hits=[_hit(h) for h in hits])


def _hit(hit: memory.Hit) -> c.Hit:
    plain = {**asdict(hit), "why": asdict(hit.why)}
    return c.Hit(**{name: plain[name] for name in c.Hit.model_fields})


async def forget(call: Call, request: c.Forget) -> c.Forgotten:
    """Remove passages."""
    count = await call.machine.worker(
        call.machine.parts.recall.forget, request.handles, owner=call.process.owner, app=call.process.app,
        collection=None if request.handles else request.collection,
    )  # fmt: skip
    return c.Forgotten(count=count)
