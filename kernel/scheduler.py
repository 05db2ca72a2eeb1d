"""The loop that keeps the engine busy: view, decide, move streams, step, deliver.

All state here belongs to the event loop's thread. The engine has one thread of its own; while it computes, the
loop may take new work, signals and cancellations, and acts on them at the boundary of the step.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..models.engine import Constraint, Engine, Result, Sampling, Slice
from ..models.faults import EngineFault
from ..models.lookup import Lookup
from ..models.textout import TextOut
from .costs import Meter
from .errors import BadInput, LimitExceeded, OSFault, Unavailable
from .placing import Moves, Placing, StateLost
from .policy import Budget, Last, Turn, cut, decide
from .process import Process, State
from .sequence import Scoring, Work, Writing, Written
from .shelf import Shelf
from .stepper import Outcome, Part, Stepper
from .streams import Streams
from .viewing import Viewing


class Scheduler:
    """Serves one engine to all processes."""

    def __init__(self, engine: Engine, *, quantum: int = 512, reserve: int = 0, shelf: Shelf | None = None) -> None:
        info = engine.info
        self.engine = engine
        self.shelf = shelf or Shelf()
        self.streams = Streams(info, self.shelf)
        self.swaps = 0
        self.meter = Meter()
        self._budget = Budget(info.streams, info.grain, info.batch, quantum, reserve)
        self._placing = Placing(engine, self.streams)
        self._viewing = Viewing(self.streams)
        self._work: list[Work] = []
        self._arrivals = itertools.count()
        self._last = Last()
        self._served = 0.0  # service that a tree has which becomes active now
        self._told: list[Work] = []  # have text to hand on
        self._wake = asyncio.Event()
        self._boundary = asyncio.Event()  # of a step: set when it comes, then a new one takes its place
        self._stepper = Stepper(engine)
        loop = asyncio.get_running_loop()

        def lost(key: int) -> None:
            loop.call_soon_threadsafe(self.streams.unshelved, key)

        self.shelf.on_lost = lost
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
        lookup: bool = False,
    ) -> Written:
        """Generate up to ``most`` tokens; fewer where the window ends. Raises LimitExceeded for too long a prompt.

        ``ignore_end``: never end before ``most``. ``top``: give the chances of each token, see `Slice`.
        ``lookup``: guess that the answer copies its prompt; done only where that changes no token.
        """
        self._fits(len(prompt))
        work = Writing(
            process,
            list(prompt),
            asyncio.get_running_loop().create_future(),
            sampler=self.engine.sampler(replace(sampling, ends=not ignore_end), constraint),
            most=min(most, self.engine.info.window - len(prompt)),
            out=TextOut(stops),
            on_text=on_text,
            top=top,
            lookup=Lookup(prompt) if lookup and self.engine.info.any_cut else None,
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
            most_targets=self.engine.info.chunk,
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
        work.keys = self.streams.prefixes.keys(work.prompt)
        self.streams.prefixes.promise(work, work.root, work.prompt, work.keys)
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

        Start-time fair queueing (Goyal, Vin and Cheng 1996), with tokens computed by weight as the service.
        """
        active = {w.process.account.root().service for w in self._work}
        self._served = max(self._served, min(active, default=self._served))
        root = process.account.root()
        root.service = max(root.service, self._served)

    async def gone(self, process: Process) -> None:
        """Wait until nothing of a process that ends is left in the engine: at most the step under way."""
        for work in self._work:
            if work.process is process:
                work.done.cancel()
        self._wake.set()
        while any(w.process is process for w in self._work):
            await self._boundary.wait()
        self.streams.leave_off(process)

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
        self.shelf.close()

    @property
    def steps(self) -> int:
        """Steps since boot."""
        return self._stepper.steps

    def meters(self) -> dict[str, float]:
        """Plain figures since boot: steps, swaps, streams, prefixes that were found, states on the shelf."""
        streams = self.streams
        return {
            "steps": self.steps, "swaps": self.swaps, "streams": len(streams.places),
            "streams_in_use": streams.in_use(), "prompts": streams.placed, "prefix_hits": streams.hits,
            "tokens_asked": streams.asked, "tokens_saved": streams.saved,
            "hit_rate": round(streams.saved / streams.asked, 4) if streams.asked else 0.0,
            **{f"states_{name}": value for name, value in self.shelf.meters().items()},
        }  # fmt: skip

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
            ready = {w.arrival: w for w in self._work if w.runnable}
            if not ready:
                self._tell()
                self._wake.clear()
                await self._wake.wait()
                continue
            now = time.monotonic()
            views = [self._viewing.view(work, ready, now) for work in ready.values()]
            turn = decide(views, self._budget, self.meter.costs, self._last)
            await self._step(turn, ready)

    async def _step(self, turn: Turn, ready: dict[int, Work]) -> None:
        moves = Moves()
        for newcomer, victim in turn.place:
            self._placing.place(ready[newcomer], None if victim is None else ready[victim], moves)
        parts = [part for key, count in turn.parts if (part := self._part(ready[key], count, moves)) is not None]
        computing = self._stepper.begin(moves.todo, parts)
        self._tell()  # what the step before gave is shown while this one computes
        outcome = await computing
        self._note(turn, outcome)
        for work, fault in outcome.failed.items():
            self._failed(work, fault)
        self._placing.settle(moves, self.meter.costs.prefill_each)
        self.swaps += moves.swaps
        for work, computed, result in outcome.done:
            self._deliver(work, computed, result)

    def _part(self, work: Work, count: int, moves: Moves) -> Part | None:
        """Take the next tokens off the work's feed; what lies in the stream beyond them is cut."""
        stream = self.streams.of(work)
        if len(stream.tokens) > work.at:
            engine, index, at = self.engine, stream.index, work.at
            moves.todo.append((work, lambda: engine.trim(index, at)))
            self.streams.cut(stream, work.at)
        if work.left:  # a cached prefix may have come or gone since the decision
            count = cut(work.left, count, self._budget.grain)
        return (work, work.part(count)) if count else None

    def _note(self, turn: Turn, outcome: Outcome) -> None:
        """Learn from the time that a step took."""
        tokens, ms = sum(len(part.tokens) for _, part, _ in outcome.done), outcome.seconds * 1000
        if not tokens:
            return
        if turn.prefill:
            self.meter.prefilled(tokens, ms)
        else:
            self.meter.decoded(tokens, ms)
        self._last = Last(self._last.prefilled + ms if turn.prefill else 0.0, turn.adapter)

    # -- delivering --

    def _deliver(self, work: Work, part: Slice, result: Result) -> None:
        work.seen = time.monotonic()
        if result.fault is not None:
            self._end(work, BadInput(result.fault.message, hint=result.fault.hint))
            return
        usage = work.process.usage
        if usage.first_token is None and result.tokens:
            usage.first_token = work.seen
        kept = len(part.tokens)
        try:
            kept = work.take(part, result, self.engine.ends, self.engine.piece)
        except Exception as problem:  # noqa: BLE001 - the text goes to foreign code, which must not end the loop
            self._end(work, problem)
        self.streams.wrote(self.streams.of(work), part.tokens[:kept], len(part.tokens))
        self._book(work, kept)
        if not work.prefilling:
            self.streams.prefixes.fulfil(work)
            self._told.append(work)

    def _book(self, work: Work, tokens: int) -> None:
        work.ran += tokens
        process = work.process
        process.usage.computed += tokens
        process.account.root().service += tokens
        try:
            process.account.spend("tokens", tokens)
        except OSFault as fault:
            self._end(work, fault)

    def _end(self, work: Work, problem: Exception) -> None:
        if not work.over:
            work.done.set_exception(problem)

    def _failed(self, work: Work, fault: EngineFault) -> None:
        if isinstance(fault, StateLost):
            work.again()
        else:
            self._end(work, Unavailable(f"the engine failed: {fault.message}", hint=fault.hint))

    def _tell(self) -> None:
        """Hand on the text that is new."""
        told, self._told = self._told, []
        for work in told:
            if work.over:
                continue
            try:
                work.flush()
            except Exception as problem:  # noqa: BLE001 - as in `_deliver`
                self._end(work, problem)

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
        self.streams.prefixes.fulfil(work)
        self.streams.leave(work, forget=doomed)
        if work.shelved is not None:
            self.streams.drop(work.shelved)
        work.close()
        return stream

    def _turn(self) -> None:
        """Wake whoever waits for a boundary."""
        self._boundary.set()
        self._boundary = asyncio.Event()
