"""Giving streams to work: which one, what has to leave it first, and what the engine has to do for that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from ..models.engine import Engine, Saved
from ..models.faults import EngineFault
from .sequence import Work
from .stepper import Move
from .streams import Holder, Kept, Stream, Streams


class StateLost(EngineFault):
    """A state that was on the shelf is there no more: it is computed again."""


@dataclass
class Leaving:
    """The state of a stream on its way to the shelf; ``work`` goes on from it, where it is not just a cache."""

    kept: Kept
    work: Work | None
    state: Saved | None = None  # once the engine's thread has saved it


@dataclass
class Moves:
    """What the engine's thread has to do before a step, and what comes of it."""

    todo: list[Move] = field(default_factory=list)
    leaving: list[Leaving] = field(default_factory=list)
    back: list[Work] = field(default_factory=list)  # whose state comes back from the shelf
    lost: set[Stream] = field(default_factory=set)  # that got nothing, since a state was lost
    copied: dict[Stream, Saved] = field(default_factory=dict)  # states that several streams begin from
    outdated: list[int] = field(default_factory=list)  # states on the shelf that nobody goes on from any more
    swaps: int = 0


class Placing:
    """Places works on an engine's streams. The bookkeeping is done at once, the engine's part goes into `Moves`."""

    def __init__(self, engine: Engine, streams: Streams) -> None:
        self._engine = engine
        self._streams = streams

    def place(self, work: Work, victim: Work | None, moves: Moves) -> None:
        """Give the work a stream: its own state back, or the longest prefix that lies somewhere, or an empty one.

        ``victim`` leaves its stream where no other is free.
        """
        streams = self._streams
        source: Holder | None
        if work.shelved not in streams.kept:  # somebody who began from its state found that lost
            work.shelved = None
        source, length = (work.shelved, 0) if work.shelved is not None else streams.best(work) or (None, 0)
        if work.shelved is None:
            streams.count(len(work.prompt), length)
        stream = streams.free(keep=source)
        if isinstance(source, Stream) and source.holder is None and source.process is work.process:
            stream = source  # it goes on from what it computed itself
        elif stream is None:
            stream = self._swap_out(victim or self._stopped(), moves)
        elif (keep := streams.worth_keeping(stream, but=length if stream is source else 0)) > 0:
            self._save(stream, keep, None, work, moves)
        if work.shelved is None and (old := streams.outdated(work.process)) is not None:
            moves.outdated.append(old)
        streams.give(stream, work)
        if source is None or source is stream:
            self._begin(stream, work, length, moves)
        elif isinstance(source, Stream):
            self._copy(source, stream, work, length, moves)
        else:
            self._restore(source, stream, work, length, moves)

    def _stopped(self) -> Work:
        """A work that holds a stream and cannot compute now."""
        return next(p.holder for p in self._streams.places if p.holder is not None and not p.holder.runnable)

    def _begin(self, stream: Stream, work: Work, length: int, moves: Moves) -> None:
        """Begin with the first tokens of what lies there; they belong to the work's root already, if there are any."""
        index = stream.index

        def begin() -> None:
            moves.copied.pop(stream, None)
            self._engine.trim(index, length)

        moves.todo.append((work, begin))
        self._streams.cut(stream, length)
        if not length:
            self._streams.fill(stream, (), 0, work.root)
        work.start(length)

    def _copy(self, source: Stream, stream: Stream, work: Work, length: int, moves: Moves) -> None:
        def copy() -> None:
            if source in moves.lost:
                self._lose(stream, moves)
            if source not in moves.copied:
                moves.copied[source] = self._engine.save(source.index)
            moves.copied.pop(stream, None)
            self._engine.restore(stream.index, moves.copied[source])
            self._engine.trim(stream.index, length)

        moves.todo.append((work, copy))
        if source.process is not work.process:
            source.common = max(source.common, length)
        common = min(source.common, length)
        self._streams.fill(stream, source.tokens[:length], length, work.root, common)
        work.start(length)

    def _restore(self, key: int, stream: Stream, work: Work, length: int, moves: Moves) -> None:
        streams, engine, index, own = self._streams, self._engine, stream.index, work.shelved is not None
        kept = streams.kept[key]

        def restore() -> None:
            moves.copied.pop(stream, None)
            state = streams.shelf.get(key)
            if state is None:
                self._lose(stream, moves)
            engine.restore(index, state)
            if not own:
                engine.trim(index, length)

        moves.todo.append((work, restore))
        if own:
            streams.fill(stream, kept.tokens, kept.whole, work.root)
            moves.back.append(work)
        else:
            common = 0 if kept.process is work.process else length
            streams.fill(stream, kept.tokens[:length], length, work.root, common)
            work.start(length)

    def _lose(self, stream: Stream, moves: Moves) -> NoReturn:
        self._engine.trim(stream.index, 0)
        moves.lost.add(stream)
        raise StateLost("a saved state was lost")

    def _swap_out(self, victim: Work, moves: Moves) -> Stream:
        stream = self._streams.of(victim)
        self._save(stream, len(stream.tokens), victim, victim, moves)
        self._streams.leave(victim, forget=False)
        moves.swaps += 1
        return stream

    def _save(self, stream: Stream, length: int, victim: Work | None, cause: Work, moves: Moves) -> None:
        """The first tokens of a stream; where these are not all, the rest is of no use any more."""
        part = length < len(stream.tokens)
        process = stream.process if victim is None and not part else None
        leaving = Leaving(Kept(stream.tokens[:length], min(stream.whole, length), stream.root, process), victim)

        def save() -> None:
            if part:
                self._engine.trim(stream.index, length)
            leaving.state = self._engine.save(stream.index)

        moves.todo.append((cause, save))
        moves.leaving.append(leaving)

    def settle(self, moves: Moves, ms_per_token: float) -> None:
        """Once the engine has made the moves: what left lies on the shelf, and what came back no longer does."""
        streams = self._streams
        for stream in moves.lost:
            streams.fill(stream, (), 0, stream.root)
        for work in moves.back:
            if work.shelved is not None:
                streams.drop(work.shelved)
                work.shelved = None
        for key in moves.outdated:
            streams.drop(key)
        for leaving in moves.leaving:
            work_on = leaving.work
            if leaving.state is None:
                if work_on is not None:
                    work_on.again()
                continue
            cost = len(leaving.kept.tokens) * ms_per_token
            pinned = work_on is not None and not work_on.over
            key = streams.shelf.put(leaving.state, cost, pinned=pinned)
            streams.shelved(key, leaving.kept)
            if work_on is not None and pinned:
                work_on.shelved = key
