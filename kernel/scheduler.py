"""The loop that keeps the engine busy: view, decide, move streams, step, deliver.

All state here belongs to the event loop's thread. The engine has one thread of its own; while it computes, the
loop may take new work, signals and cancellations, and acts on them at the boundary of the step.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..models.engine import Constraint, Engine, Result, Sampling, Slice
from ..models.faults import EngineFault
from ..models.textout import TextOut
from .errors import BadInput, LimitExceeded, OSFault, Unavailable
from .placing import Move, place
from .policy import Budget, Turn, View, cut, decide
from .process import Process, State
from .sequence import Scoring, Work, Writing, Written
from .streams import Streams


class Scheduler:
    """Serves one engine to all processes."""

    def __init__(self, engine: Engine, *, quantum: int = 512) -> None:
        info = engine.info
        self.engine = engine
        self.streams = Streams(info.streams, info.chunk, any_cut=info.any_cut)
        self.steps = 0
        self.swaps = 0
        self.engine_seconds = 0.0
        self._budget = Budget(info.streams, info.chunk, info.batch, quantum)
        self._work: list[Work] = []
        self._arrivals = itertools.count()
        self._since_decode = 0
        self._wake = asyncio.Event()
        self._boundary = asyncio.Condition()
        self._thread = ThreadPoolExecutor(1, "llmos-engine")
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
    ) -> Written:
        """Generate up to ``most`` tokens; fewer where the window ends. Raises LimitExceeded for too long a prompt."""
        self._fits(len(prompt))
        work = Writing(
            process,
            list(prompt),
            asyncio.get_running_loop().create_future(),
            sampler=self.engine.sampler(sampling, constraint),
            most=min(most, self.engine.info.window - len(prompt)),
            out=TextOut(stops),
            on_text=on_text,
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
        work.arrival = next(self._arrivals)
        self._work.append(work)
        work.process.settle(State.RUNNING)
        self._wake.set()
        try:
            return await work.done
        finally:
            work.process.settle(State.READY)
            self._wake.set()

    async def gone(self, process: Process) -> None:
        """Wait until nothing of a process is left in the engine: at most the step under way."""
        for work in self._work:
            if work.process is process:
                work.done.cancel()
        self._wake.set()
        async with self._boundary:
            await self._boundary.wait_for(lambda: not any(w.process is process for w in self._work))

    def wake(self) -> None:
        """Something changed (CONT, for one): look again."""
        self._wake.set()

    def idle(self) -> bool:
        """Whether no work is waiting or running."""
        return not self._work

    async def call(self, function: Callable[[], object]) -> object:
        """Run something else on the engine's thread, between steps."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def close(self) -> None:
        """Stop the loop, fail what is left, free the engine."""
        self._loop.cancel()
        await asyncio.wait([self._loop])
        await self._reap()
        await self.call(self.engine.close)
        self._thread.shutdown()

    # -- the loop --

    def _stopped(self, loop: asyncio.Future[None]) -> None:
        """The loop has ended, by `close` or by a bug: nobody may wait for it any longer."""
        for work in self._work:
            if not work.over:
                work.done.set_exception(Unavailable("the scheduler has stopped", hint="start llmos again"))
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
            service=process.account.root().used["tokens"],
            arrival=work.arrival,
            resident=work.stream is not None,
            at=at,
            left=left,
            ran=work.ran,
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
        try:
            results = await self._compute(moves, [s for _, s in parts])
        except EngineFault as fault:
            self._fail([w for w, _ in parts], fault)
            return
        for (work, part), result in zip(parts, results, strict=True):
            self._deliver(work, part, result, prefill=turn.prefill)

    async def _compute(self, moves: list[Move], slices: list[Slice]) -> list[Result]:
        def work() -> list[Result]:
            for move in moves:
                move()
            return self.engine.step(slices)

        start = time.perf_counter()
        # The step cannot be interrupted half-way: a cancelled loop still waits for it.
        step = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            raise
        finally:
            self.steps += 1
            self.engine_seconds += time.perf_counter() - start

    # -- the parts of a step --

    def _part(self, work: Work, prefill: bool, moves: list[Move]) -> tuple[Work, Slice]:
        """Take the next tokens off the work's feed; what lies in the stream beyond them is cut."""
        stream = self.streams.of(work)
        if len(stream.tokens) > work.at:
            engine, index, at = self.engine, stream.index, work.at
            moves.append(lambda: engine.trim(index, at))
            self.streams.cut(stream, work.at)
        count = cut(work.at, len(work.feed), self._budget.chunk) if prefill else 1
        part = Slice(
            stream.index,
            work.feed[:count],
            work.at,
            work.sampler if work.wants_token(count) else None,
            work.targets(count),
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
        if work.over:
            return
        if result.fault is not None:
            work.done.set_exception(BadInput(result.fault.message, hint=result.fault.hint))
            return
        usage = work.process.usage
        try:
            usage.computed += count
            work.process.account.charge("tokens", count)
            work.take(result, self.engine.ends, self.engine.piece)
        except OSFault as fault:
            work.done.set_exception(fault)
        if usage.first_token is None and result.token is not None:
            usage.first_token = time.monotonic()

    def _fail(self, works: list[Work], fault: EngineFault) -> None:
        for work in works:
            if not work.over:
                work.done.set_exception(Unavailable(f"the engine failed: {fault.message}", hint=fault.hint))

    def _empty(self, streams: list[int]) -> None:
        for stream in streams:
            self.engine.trim(stream, 0)

    async def _reap(self) -> None:
        """At the boundary: what is over leaves its stream; a killed process leaves nothing there."""
        over = [w for w in self._work if w.over]
        if not over:
            return
        forget = []
        for work in over:
            doomed = work.done.cancelled() or work.done.exception() is not None
            if doomed and work.stream is not None:
                forget.append(work.stream)
            self.streams.leave(work, forget=doomed)
            work.close()
        self._work = [w for w in self._work if not w.over]
        if forget:
            await self.call(lambda: self._empty(forget))
        async with self._boundary:
            self._boundary.notify_all()
