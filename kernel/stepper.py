"""The engine's thread: carries out a step, with the moves of streams before it, one at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from ..models.engine import Engine, Result, Slice
from ..models.faults import EngineFault
from .sequence import Work

Move = tuple[Work, Callable[[], None]]
"""Something for the engine's thread to do before the step, in order, and for whom; when it fails, that work fails."""

Part = tuple[Work, Slice]
"""What one work computes in a step."""

T = TypeVar("T")


@dataclass
class Outcome:
    """What a step gave, and why some of its works got nothing."""

    done: list[tuple[Work, Slice, Result]] = field(default_factory=list)
    failed: dict[Work, EngineFault] = field(default_factory=dict)
    seconds: float = 0.0  # that the engine computed, without the moves


class Stepper:
    """Owns the thread that owns the engine. Its methods belong to the event loop."""

    def __init__(self, engine: Engine, shared: ThreadPoolExecutor | None = None) -> None:
        """Engines on the same processor may have one thread together: then they compute in turn, a step each."""
        self._engine = engine
        self._shared = shared is not None
        self._thread = shared or engine_thread()
        self.steps = 0

    def begin(self, moves: Sequence[Move], parts: Sequence[Part]) -> asyncio.Future[Outcome]:
        """Moves, then the step. What cannot be moved fails alone; a step that fails, fails all that are in it."""
        outcome = Outcome()

        def carry_out() -> Outcome:
            for work, move in moves:
                try:
                    if work not in outcome.failed:
                        move()
                except EngineFault as fault:
                    outcome.failed[work] = fault
            sound = [(work, part) for work, part in parts if work not in outcome.failed]
            begun = time.perf_counter()
            try:
                results = self._engine.step([part for _, part in sound]) if sound else []
            except EngineFault as fault:
                outcome.failed.update((work, fault) for work, _ in sound)
            else:
                outcome.done += [(work, part, result) for (work, part), result in zip(sound, results, strict=True)]
            outcome.seconds = time.perf_counter() - begun
            return outcome

        self.steps += 1
        return asyncio.ensure_future(self.call(carry_out))

    async def call(self, function: Callable[[], T]) -> T:
        """Run something on the engine's thread. It cannot be broken off: a cancelled caller still waits for its end."""
        call = asyncio.get_running_loop().run_in_executor(self._thread, function)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            await asyncio.wait([call])
            raise

    async def close(self) -> None:
        """Free the engine, then the thread if it is its own."""
        await self.call(self._engine.close)
        if not self._shared:
            self._thread.shutdown()


def engine_thread() -> ThreadPoolExecutor:
    """A thread for one engine, or for several in turn."""
    return ThreadPoolExecutor(1, "llmos-engine")
