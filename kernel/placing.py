"""Giving streams to work: which one, what has to leave it first, and what the engine has to do for that."""

from collections.abc import Callable

from ..models.engine import Engine
from .sequence import Work
from .streams import Stream, Streams

Move = tuple[Work, Callable[[], None]]
"""Something for the engine's thread to do before the step, in order, and for whom; when it fails, that work fails."""


def place(work: Work, hold: set[Work], streams: Streams, engine: Engine, moves: list[Move]) -> int:
    """Give the work a stream: its saved state back, or the longest prefix that lies somewhere, or an empty one.

    ``hold`` are the works that were chosen to hold a stream. The bookkeeping is done at once, the engine's part is
    appended to ``moves``. Returns how many works were swapped out for it (0 or 1).
    """
    best = None if work.state is not None else streams.best(work.prompt, work.process.owner)
    stream = streams.free(keep=best[0] if best else None)
    swapped = stream is None
    if stream is None:
        stream = _evict(hold, streams, engine, moves)
    streams.give(stream, work)
    index = stream.index
    if work.state is not None:
        state, work.state = work.state, None
        stream.tokens, stream.whole, work.swapped = work.swapped, work.whole, []
        moves.append((work, lambda: engine.restore(index, state)))
        return swapped
    source, length = best if best else (stream, 0)
    if source is stream:
        moves.append((work, lambda: engine.trim(index, length)))
    else:
        stream.tokens, stream.whole = list(source.tokens), source.whole
        moves.append((work, lambda: engine.copy(source.index, index, length)))
    streams.cut(stream, length)
    work.start(length)
    return swapped


def _evict(hold: set[Work], streams: Streams, engine: Engine, moves: list[Move]) -> Stream:
    """Swap out a work that was not chosen; its tokens stay in the stream until something is written over them."""
    stream = next(p for p in streams.places if p.holder not in hold)
    work = stream.holder
    assert work is not None
    index = stream.index
    work.whole, work.swapped = stream.whole, list(stream.tokens)

    def save() -> None:
        work.state = engine.save(index)

    moves.append((work, save))
    streams.leave(work, forget=False)
    return stream
