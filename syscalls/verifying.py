"""A gate at which a finished process runs again: the model computes anew and is compared, all else is handed back.

Nothing that the process asks for reaches the world: what tools, files, memory, humans and other processes told it
stands in its journal. Its context is built again, in pages of its own, for the model's prompts come from that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..kernel.errors import Diverged, OSFault, Terminated
from ..kernel.process import Process
from ..kernel.replay import Replay
from ..memory.journal import Asked
from ..memory.journal import Entry as Before
from . import calls as c
from .gate import NOWHERE, Call, Gate, count_call, handed_back, in_plain_values
from .recording import Open
from .table import Entry, Keeps

COMPARED = {"generate": ("tokens", "text", "finish"), "choose": ("scores", "index"), "run": ("answer", "finish")}
"""Fields that are computed again, by call; those of numbers bit for bit."""

REBUILT = ("context.add", "context.fetch", "context.recall", "context.drop", "context.tune")
"""Calls that are carried out again for what they do to the context."""

BROKEN_OFF = ("interrupted", "timeout")
"""Outcomes of calls that ended by the clock or a signal, not by themselves."""

_AROUND = 40  # characters of a text that are shown around a difference


@dataclass(frozen=True)
class Difference:
    """The first thing that came out otherwise."""

    call: str
    n: int  # of the call in the journal
    field: str
    position: int  # of the first token, score or character that differs
    recorded: Any
    computed: Any

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


class VerifyingGate(Gate):
    """The gate of one process that runs again. Owned by the event loop's thread.

    ``cut``: the process of the journal was broken off from outside; where its journal ends, so does the replay.
    """

    def __init__(self, gate: Gate, past: Replay, *, cut: bool, on_call: Callable[[int], None]) -> None:
        super().__init__(gate.machine, gate.table, gate.audit, gate.tools, gate.spawn)
        self._past = past
        self._was_cut = cut
        self._on_call = on_call
        self.calls = self.tokens = self.scores = 0  # compared, or handed back
        self.difference: Difference | None = None
        self.at_the_cut = asyncio.Event()

    async def call(
        self,
        process: Process,
        name: str,
        request: c.Request | Mapping[str, Any],
        on_text: Callable[[str], None] | None = None,
        within: int | None = None,
    ) -> c.Reply:
        """As `Gate.call`."""
        await self._enter(process, None)
        entry, request, plain = self._admit(process, name, self.table.get(name), request)
        count_call(process)
        if entry.keeps is Keeps.NOTHING and not self._past.has(name, plain, within):
            return await self._directly(Call(self, process, on_text, 0, NOWHERE, again=False), entry, request)
        before = await self._taken(process, name, plain, within)
        again = self._begun(process, entry, request, before, plain)
        try:
            await self._turn(process, before)
            if again is not None:
                await self._compared(process, before, again)
        finally:
            if again is not None:
                again.cancel()
        self.calls += 1
        self._on_call(self.calls)
        return handed_back(entry, before, on_text)

    async def _taken(self, process: Process, name: str, plain: dict[str, Any], within: int | None) -> Before:
        """The call's entry. Where there is none since the process was broken off, nothing comes after this."""
        try:
            before = await self._past.take(name, plain, within)
        except Diverged as fault:
            self.machine.end(process, fault)
            raise
        if before is not None and before.ok is not None:
            return before
        if before is None and not (self._was_cut and self._past.next() is None):
            more = Diverged(f"{process.app} calls {name}, and its journal has no such call", call=name, args=plain)
            self.machine.end(process, more)
            raise more
        self.at_the_cut.set()
        await asyncio.Future()
        raise Terminated("the process has ended")

    async def _turn(self, process: Process, before: Before) -> None:
        try:
            await self._past.turn(before)
        except Diverged as fault:
            self.machine.end(process, fault)
            raise

    def _begun(
        self, process: Process, entry: Entry, request: c.Request, before: Before, plain: dict[str, Any]
    ) -> asyncio.Future[c.Reply] | None:
        """The call on its way again, if it is one that is; at the time at which it was, since it sees the context."""
        if before.call not in COMPARED and before.call not in REBUILT:
            return None
        if not before.ok and before.call != "run":
            return None  # one that failed has left the context as it was
        opened = Open(Asked(before.id, before.n, before.asked), before.call, plain, before.within)
        call = Call(self, process, None, self._past.numbers[before.id], opened, again=False)
        return asyncio.ensure_future(self._carried_out(call, entry, request))

    async def _carried_out(self, call: Call, entry: Entry, request: c.Request) -> c.Reply:
        reply = await entry.handler(call, request)
        for write in call.writes:  # pages of its own
            await asyncio.wrap_future(self.machine.parts.journal.post(write))
        return reply

    async def _compared(self, process: Process, before: Before, again: asyncio.Future[c.Reply]) -> None:
        recorded = before.reply or {}
        if not before.ok and recorded.get("code") in BROKEN_OFF:
            return
        try:
            computed = in_plain_values(await again)
        except OSFault as fault:
            computed = {} if not before.ok else {"error": fault.message}
        if not before.ok:
            return
        fields = COMPARED.get(before.call, ())
        # Before tokens were kept, only their text was.
        different = next((f for f in fields if f != "tokens" or f in recorded if _other(recorded, computed, f)), None)
        if different is not None:
            self._differs(process, before, different, recorded.get(different), computed.get(different, computed))
        self.tokens += len(computed.get("tokens", ())) if "tokens" in fields else 0
        self.scores += len(computed.get("scores", ())) if "scores" in fields else 0

    def _differs(self, process: Process, before: Before, field: str, recorded: Any, computed: Any) -> None:
        """The first difference ends the replay."""
        place = _first_difference(recorded, computed)
        if field == "tokens":
            shown = [self._text_around(process, tokens, place) for tokens in (recorded, computed)]
        else:
            shown = [recorded, computed]
        self.difference = self.difference or Difference(before.call, before.n, field, place, *shown)
        fault = Diverged(f"call {before.n} ({before.call}) came to something else", call=before.call, n=before.n)
        self.machine.end(process, fault)
        raise fault

    def _text_around(self, process: Process, tokens: Any, place: int) -> Any:
        if not isinstance(tokens, list):
            return tokens
        piece = process.core.piece
        text, rest = (b"".join(map(piece, part)).decode(errors="replace") for part in (tokens[:place], tokens[place:]))
        return text[-_AROUND:] + rest[:_AROUND]


def _other(recorded: Mapping[str, Any], computed: Mapping[str, Any], field: str) -> bool:
    return bool(recorded.get(field) != computed.get(field))


def _first_difference(one: Any, other: Any) -> int:
    if not isinstance(one, list | str) or not isinstance(other, type(one)):
        return 0
    same = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(same) if a != b), min(len(one), len(other)))
