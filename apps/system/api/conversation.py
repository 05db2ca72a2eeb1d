"""A conversation: one process that waits for turns, and keeps what the engine computed for it from turn to turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from ....kernel.errors import OSFault, Terminated
from ....kernel.limits import Limits
from ....kernel.process import Priority, Process, State
from ....syscalls.api import Sys
from ..boot import Running
from ..channel import Channel
from ..launch import LocalPort
from ..options import user

APP = "api"
RIGHTS = frozenset({"model:use"})
LIMITS = Limits(tokens=None, seconds=None, pages=20_000, calls=None, children=0)
"""Of one conversation, which may live for days; what ends it is idleness."""

Key = bytes | str
"""A mark of what was said, or a name."""

T = TypeVar("T")
Turn = Callable[[Sys], Awaitable[T]]
"""What is to be done in a process, with its system calls."""


@dataclass(eq=False)
class Conversation:
    """A process of the app "api". Owned by the event loop's thread; one turn at a time."""

    process: Process
    mark: bytes = b""  # by which the conversation so far is known again
    name: str = ""  # of the session, where the client gave one
    used: float = 0.0  # monotonic seconds: when its last turn was over
    paged: list[tuple[tuple[str, str], str]] = field(default_factory=list)  # messages in its context, and their handles
    _turns: asyncio.Queue[tuple[Turn[Any], asyncio.Future[Any]] | None] = field(default_factory=asyncio.Queue)

    @classmethod
    def begin(cls, running: Running, args: dict[str, Any], limits: Limits = LIMITS, model: str = "") -> Conversation:
        """A new one; raises `Unavailable` when llmos is shutting down."""
        begun: list[Conversation] = []

        async def body(process: Process) -> None:
            await begun[0]._run(Sys(LocalPort(running.gate, process)))

        process = running.machine.start(
            body, app=APP, owner=user(), rights=RIGHTS, limits=limits, priority=Priority.NORMAL, output=Channel(),
            args=args, model=model,
        )  # fmt: skip
        begun.append(cls(process))
        return begun[0]

    async def _run(self, sys: Sys) -> None:
        """The process's own code."""
        while True:
            self.process.settle(State.WAITING)
            following = await self._turns.get()
            self.process.settle(State.READY)
            if following is None:
                return
            turn, done = following
            try:
                result = await turn(sys)
            except Exception as problem:  # noqa: BLE001 - it goes to whoever asked for the turn
                if not done.done():
                    done.set_exception(problem)
            else:
                if not done.done():
                    done.set_result(result)

    async def turn(self, turn: Turn[T]) -> T:
        """Do something in the process; raises what it raised, and the process's own error where that has ended.

        A caller that is cancelled ends the process: nobody waits for what it would compute.
        """
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        ended = asyncio.ensure_future(self.process.ended.wait())
        self._turns.put_nowait((turn, done))
        try:
            await asyncio.wait({done, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if done.done():
            return cast(T, done.result())
        raise _reason(self.process)

    @property
    def keys(self) -> list[Key]:
        """What it can be known again by."""
        return [key for key in (self.mark, self.name) if key]

    @property
    def open(self) -> bool:
        """Whether it can take another turn."""
        return self.process.alive and self.process.dying is None and not self.process.ending

    def close(self) -> None:
        """End the process, once what it does is done."""
        self._turns.put_nowait(None)

    def abandon(self, running: Running, why: str) -> None:
        """End the process at once: its client went away."""
        running.machine.end(self.process, Terminated(why))


def _reason(process: Process) -> OSFault:
    return process.error or Terminated("the process has ended", hint="ask again")
