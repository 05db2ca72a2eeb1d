"""Which process a request is a turn of.

By a session's name (the header ``X-LLMOS-Session``); else by what is said: messages that go on from the messages and
the answer of an earlier request are its next turn; else by ``user``, the last of that user's that is idle. A process
that computes takes no second turn: a request that comes meanwhile is a new process, which shares the beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from ....kernel.errors import Unavailable
from ....kernel.limits import Limits
from ....kernel.process import Priority
from ....kernel.revival import give_up
from ..boot import Running
from .conversation import APP, LIMITS, Conversation, Key
from .errors import Refusal

MOST = 1000
"""Conversations that wait for a turn; the one that waited longest makes room."""
_LOOKS = 20  # times that idle ones are looked for in their time
NAME = 128  # most characters of a session's name


class Sessions:
    """The conversations that are idle. Owned by the event loop's thread."""

    def __init__(self, running: Running, *, idle: float, most: int = MOST, limits: Limits = LIMITS) -> None:
        self.running = running
        self._idle_after, self._most, self._limits = idle, most, limits
        self._idle: dict[Conversation, None] = {}  # the one that waited longest first
        self._known_as: dict[Key, dict[Conversation, None]] = {}  # the idle ones, the last used last
        self.continued = 0  # requests that were turns of a process there was
        self._looking = asyncio.ensure_future(self._look())

    @property
    def idle(self) -> int:
        """Conversations that wait for a turn."""
        return len(self._idle)

    @contextmanager
    def turn(
        self, *, name: str = "", user: str = "", marks: Sequence[bytes] = (), priority: str | None = None,
        keep: bool = True,
    ) -> Iterator[Conversation]:  # fmt: skip
        """The process that a request is a turn of, for the block; a new one ends with it unless it is to be kept.

        Whoever leaves the block by an exception that is no answer (it was cancelled) ends the process.
        """
        if len(name) > NAME:
            raise Refusal(400, f"a session's name has at most {NAME} characters", param="X-LLMOS-Session")
        conversation = self._known(name, user, marks) or self._new(name, user)
        conversation.process.priority = Priority[(priority or "normal").upper()]
        try:
            yield conversation
        except (asyncio.CancelledError, GeneratorExit):
            conversation.abandon(self.running, "its client went away")
            raise
        finally:
            if conversation.open:
                self._put_by(conversation, keep=keep or bool(name))

    def _known(self, name: str, user: str, marks: Sequence[bytes]) -> Conversation | None:
        keys: list[Key] = [f"session {name}"] if name else [*reversed(marks), *([f"user {user}"] if user else [])]
        for key in keys:
            for conversation in list(reversed(self._known_as.get(key, {}))):
                self._take(conversation)
                if conversation.open:
                    self.continued += 1
                    return conversation
        return None

    def _new(self, name: str, user: str) -> Conversation:
        args: dict[str, Any] = {k: v for k, v in (("session", name), ("user", user)) if v}
        conversation = Conversation.begin(self.running, args, self._limits)
        conversation.name = f"session {name}" if name else f"user {user}" if user else ""
        return conversation

    def _put_by(self, conversation: Conversation, *, keep: bool) -> None:
        if not (keep and conversation.keys):  # nobody could ever come back to it
            conversation.close()
            return
        conversation.used = monotonic()
        self._idle[conversation] = None
        for key in conversation.keys:
            self._known_as.setdefault(key, {})[conversation] = None
        while len(self._idle) > self._most:
            self._end(next(iter(self._idle)))

    def _take(self, conversation: Conversation) -> None:
        """Off the shelf of the idle."""
        self._idle.pop(conversation, None)
        for key in conversation.keys:
            if (found := self._known_as.get(key)) is not None:
                found.pop(conversation, None)
                if not found:
                    del self._known_as[key]

    def _end(self, conversation: Conversation) -> None:
        self._take(conversation)
        conversation.close()

    async def _look(self) -> None:
        """End those that were idle for too long, and forget those that were ended by others."""
        while True:
            await asyncio.sleep(self._idle_after / _LOOKS)
            before = monotonic() - self._idle_after
            for conversation in [one for one in self._idle if one.used < before or not one.open]:
                self._end(conversation)

    async def close(self) -> None:
        """End them all; returns when nothing of any is left. No request may be under way."""
        self._looking.cancel()
        for conversation in list(self._idle):
            self._end(conversation)
        for process in self.running.machine.table:
            if process.app == APP:
                await process.ended.wait()


def end_left(running: Running) -> None:
    """End what an earlier llmos left alive of this app: its clients have gone with that."""
    for record in running.machine.parts.records.alive():
        if record.app == APP and all(process.pid != record.pid for process in running.machine.table):
            give_up(running.machine, record, Unavailable("the server ended while it computed"))
