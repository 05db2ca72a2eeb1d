"""Ask: a human's answer or approval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import calls as c

if TYPE_CHECKING:
    from .gate import Call


async def ask(call: Call, request: c.Ask) -> c.Answered:
    """Put the question to whoever watches the process; `Denied` when nobody does."""
    return c.Answered(answer=await call.process.output.ask(request.question, request.choices))
