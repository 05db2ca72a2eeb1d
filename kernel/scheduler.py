"""The loop that keeps the engine busy: view, decide, move streams, step, deliver.

All state here belongs to the event loop's thread. The engine has one thread of its own; while it computes, the
loop may take new work, signals and cancellations, and acts on them at the boundary of the step.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..models.engine import Constraint, Engine, Result, Sampling, Slice
from ..models.textout import TextOut
from .errors import BadInput, LimitExceeded, OSFault, Unavailable
from .placing import Move, place
from .policy import Budget, Turn, View, cut, decide
from .process import Process, State
from .sequence import Scoring, Work, Writing, Written
from .stepper import Part, Stepper
from .streams import Streams


class Scheduler:
    """Serves one engine to all processes."""

    def __init__(self, engine: Engine, *, quantum: int = 512) -> None:
        info = engine.info
        self.engine = engine
        self.streams = Streams(info.streams, info.chunk, any_cut=info.any_cut)
        self.swaps = 0
        self._budget = Budget(info.streams, info.chunk, info.batch, quantum)
        self._work: list[Work] = []
        self._arrivals = itertools.count()
        self._since_decode = 0
        self._served = 0  # service that a tree has which becomes active now
        self._wake = asyncio.Event()
        self._boundary = asyncio.Event()  # of a step: set when it comes, then a new one takes its place
        self._stepper = Stepper(engine)
        self._loop = asyncio.ensure_future(self._run())
        self._loop.add_done_callback(self._stopped)

    # -- what processes ask for --

    async def write(
        self,
        process: Process,
        prompt: Sequence[int],
        *,
        most: int,
        sampling: Sampling,
        constraint: Constraint | None = None,
        stops: Sequence[str] = (),
        on_text: Callable[[str], None] | None = None,
        ignore_end: bool = False,
        top: int | None = None,
    ) -> Written:
        """Generate up to ``most`` tokens; fewer where the window ends. Raises LimitExceeded for too long a prompt.

        ``ignore_end``: go on where the model would end. ``top``: give the chances of each token, see `Slice`.
        """
        self._fits(len(prompt))
        work = Writing(
            process,
            list(prompt),
            asyncio.get_running_loop().create_future(),
            sampler=self.engine.sampler(sampling, constraint),
            most=min(most, self.engine.info.window - len(prompt)),
            out=TextOut(stops),
            on_text=on_text,
            ignore_end=ignore_end,
            top=top,
        )
        written: Written = await self._submit(work)
        return written

    async def score(
        self, process: Process, prompt: Sequence[int], options: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """Log-likelihoods of each option's tokens after the prompt."""
        self._fits(len(prompt) + max(len(o) for o in options))
        work = Scoring(
            process,
            list(prompt),
            asyncio.get_running_loop().create_future(),
            options=[list(o) for o in options],
        )
        scores: list[list[float]] = await self._submit(work)
        return scores

    def _fits(self, tokens: int) -> None:
        window = self.engine.info.window
        if tokens >= window:
            raise LimitExceeded(
                f"a prompt of {tokens} tokens does not fit into a window of {window}",
                hint=f"shorten it by at least {tokens - window + 1} tokens",
                tokens=tokens,
                window=window,
            )

    async def _submit(self, work: Work) -> Any:
        if self._loop.done():
            work.close()
            raise Unavailable("the scheduler has stopped", hint="start llmos again")
        work.arrival, work.seen = next(self._arrivals), self.steps
        self._level(work.process)
        self._work.append(work)
        work.process.settle(State.RUNNING)
        self._wake.set()
        try:
            return await work.done
        finally:
            work.process.settle(State.READY)
            self._wake.set()

    def _level(self, process: Process) -> None:
        """A tree that becomes active stands level with the others: idle time earns nothing, a long life costs nothing.

        Start-time fair queueing (Goyal, Vin and Cheng 1996), with tokens computed as the service.
        """
        active = {w.process.account.root().service for w in self._work}
        self._served = max(self._served, min(active, default=self._served))
        root = process.account.root()
        root.service = max(root.service, self._served)

    async def gone(self, process: Process) -> None:
        """Wait until nothing of a process is left in the engine: at most the step under way."""
        for work in self._work:
            if work.process is process:
                work.done.cancel()
        self._wake.set()
        while any(w.process is process for w in self._work):
            await self._boundary.wait()

    def wake(self) -> None:
        """Something changed (CONT, for one): look again."""
        self._wake.set()

    def idle(self) -> bool:
        """Whether no work is waiting or running."""
        return not self._work

    async def close(self) -> None:
        """Stop the loop, fail what is left, free the engine."""
        self._loop.cancel()
        await asyncio.wait([self._loop])
        await self._stepper.close()

    @property
    def steps(self) -> int:
        """Steps since boot."""
        return self._stepper.steps

    # -- the loop --

    def _stopped(self, loop: asyncio.Future[None]) -> None:
        """The loop has ended, by `close` or by a bug: nobody may wait for it any longer."""
        for work in self._work:
            if not work.over:
                work.done.set_exception(Unavailable("the scheduler has stopped", hint="start llmos again"))
            self._take_off(work)
        self._work.clear()
        self._turn()
        if not loop.cancelled() and (bug := loop.exception()) is not None:
            context = {"message": "the scheduler failed", "exception": bug, "future": loop}
            asyncio.get_running_loop().call_exception_handler(context)

    async def _run(self) -> None:
        while True:
            await self._reap()
            ready = [w for w in self._work if w.runnable]
            if not ready:
                self._wake.clear()
                await self._wake.wait()
                continue
            turn = decide([self._view(w) for w in ready], self._budget, self._since_decode)
            await self._step(turn, {w.arrival: w for w in ready})

    def _view(self, work: Work) -> View:
        process, at, left = work.process, work.at, work.left
        if work.stream is None and work.state is None:
            # What it will find in the cache when it is placed: then short rests of several prompts share a step.
            best = self.streams.best(work.prompt, process.owner)
            at = best[1] if best else 0
            left -= at
        return View(
            key=work.arrival,
            priority=int(process.priority),
            service=process.account.root().service,
            arrival=work.arrival,
            resident=work.stream is not None,
            at=at,
            left=left,
            ran=work.ran,
            passed=self.steps - work.seen,
        )

    async def _step(self, turn: Turn, ready: dict[int, Work]) -> None:
        moves: list[Move] = []
        hold = {ready[key] for key in turn.hold}
        for key, _ in turn.parts:
            if ready[key].stream is None:
                self.swaps += place(ready[key], hold, self.streams, self.engine, moves)
        parts, room = [], self._budget.batch
        for key, _ in turn.parts:
            work, part = self._part(ready[key], turn.prefill, moves)
            # A cut can be longer than foreseen where a cached prefix went meanwhile; it waits for the next step.
            if len(part.tokens) <= room:
                parts.append((work, part))
                room -= len(part.tokens)
        self._since_decode = self._since_decode + 1 if turn.prefill else 0
        outcome = await self._stepper.step(moves, parts)
        for work, part, result in outcome.done:
            self._deliver(work, part, result, prefill=turn.prefill)
        for work, fault in outcome.failed.items():
            if not work.over:
                work.done.set_exception(Unavailable(f"the engine failed: {fault.message}", hint=fault.hint))

    # -- the parts of a step --

    def _part(self, work: Work, prefill: bool, moves: list[Move]) -> Part:
        """Take the next tokens off the work's feed; what lies in the stream beyond them is cut."""
        stream = self.streams.of(work)
        if len(stream.tokens) > work.at:
            engine, index, at = self.engine, stream.index, work.at
            moves.append((work, lambda: engine.trim(index, at)))
            self.streams.cut(stream, work.at)
        count = cut(work.at, len(work.feed), self._budget.chunk) if prefill else 1
        part = Slice(
            stream.index,
            work.feed[:count],
            work.at,
            work.sampler if work.wants_token(count) else None,
            work.targets(count),
            top=work.top if isinstance(work, Writing) else None,
        )
        return work, part

    # -- delivering --

    def _deliver(self, work: Work, part: Slice, result: Result, *, prefill: bool) -> None:
        count = len(part.tokens)
        plain = prefill and part.targets is None
        self.streams.wrote(self.streams.of(work), part.tokens, prefill=plain)
        del work.feed[:count]
        work.at += count
        work.ran += count
        work.seen = self.steps
        usage = work.process.usage
        usage.computed += count
        work.process.account.root().service += count
        try:
            work.process.account.spend("tokens", count)
        except OSFault as fault:
            if not work.over:
                work.done.set_exception(fault)
        if work.over:
            return
        if result.fault is not None:
            work.done.set_exception(BadInput(result.fault.message, hint=result.fault.hint))
            return
        if usage.first_token is None and result.tokens:
            usage.first_token = time.monotonic()
        try:
            work.take(result, self.engine.ends, self.engine.piece)
        except Exception as problem:  # noqa: BLE001 - the text goes to foreign code, which must not end the loop
            work.done.set_exception(problem)

    def _empty(self, streams: list[int]) -> None:
        for stream in streams:
            self.engine.trim(stream, 0)

    async def _reap(self) -> None:
        """At the boundary: what is over leaves its stream; a killed process leaves nothing there."""
        over = [w for w in self._work if w.over]
        if not over:
            return
        forget = [stream for work in over if (stream := self._take_off(work)) is not None]
        self._work = [w for w in self._work if not w.over]
        if not self._work:  # a busy time is over: who comes next owes nothing to it
            self._served = max(self._served, *(w.process.account.root().service for w in over))
        if forget:
            await self._stepper.call(lambda: self._empty(forget))
        self._turn()

    def _take_off(self, work: Work) -> int | None:
        """Take a work that is over off its stream; the stream, where what lies in it is to be forgotten."""
        doomed = work.done.cancelled() or work.done.exception() is not None
        stream = work.stream if doomed else None
        self.streams.leave(work, forget=doomed)
        work.close()
        return stream

    def _turn(self) -> None:
        """Wake whoever waits for a boundary."""
        self._boundary.set()
        self._boundary = asyncio.Event()
