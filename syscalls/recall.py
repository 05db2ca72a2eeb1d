"""Memory: remember, recall, forget, each within the caller's owner and app.

What is remembered or forgotten is written with the outcome of the call, all or nothing; what takes long comes before.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..memory import recall as memory
from . import calls as c

if TYPE_CHECKING:
    from .gate import Call

Change = TypeVar("Change", memory.Remembering, memory.Forgetting)


async def remember(call: Call, request: c.Remember) -> c.Remembered:
    """Store passages; done when they are on disk."""
    passages = [memory.Passage(**{**p.model_dump(), "tags": tuple(p.tags)}) for p in request.passages]
    store = call.machine.parts.recall
    change = await _written(call, store.remembering, passages, collection=request.collection)
    return c.Remembered(handles=change.handles)


async def search(call: Call, request: c.Recall) -> c.Recalled:
    """The best passages."""
    asked = request.model_dump(exclude={"timeout"})
    if request.diversity is None:
        del asked["diversity"]
    hits = await call.machine.worker(
        call.machine.parts.recall.search, asked.pop("query"), owner=call.process.owner, app=call.process.app, **asked
    )
    return c.Recalled(hits=[_hit(h) for h in hits])


def _hit(hit: memory.Hit) -> c.Hit:
    plain = asdict(hit)
    plain["words"] = list(plain["why"].pop("words"))
    return c.Hit(**{name: plain[name] for name in c.Hit.model_fields})


async def forget(call: Call, request: c.Forget) -> c.Forgotten:
    """Remove passages."""
    collection = None if request.handles else request.collection
    change = await _written(call, call.machine.parts.recall.forgetting, request.handles, collection=collection)
    return c.Forgotten(count=change.count)


async def _written(call: Call, make: Any, what: Any, collection: str | None) -> Any:
    """A change, made on a worker thread, to be written with the outcome of the call."""
    settled = call.machine.parts.recall.settled
    place = {"owner": call.process.owner, "app": call.process.app, "collection": collection}
    making = asyncio.ensure_future(call.machine.worker(make, what, **place))
    try:
        change = await asyncio.shield(making)
    except asyncio.CancelledError:  # the thread goes on to its end, and nothing will come of it
        making.add_done_callback(lambda made: None if made.cancelled() or made.exception() else settled(made.result()))
        raise
    call.writes.append(change.write)
    call.after.append(partial(settled, change))
    call.undo.append(partial(settled, change))
    return change
