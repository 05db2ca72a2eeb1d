"""Output and input of a process: its terminal or its pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import calls as c

if TYPE_CHECKING:
    from .gate import Call


async def write(call: Call, request: c.Print) -> c.Nothing:
    """Write text."""
    await call.process.output.room()  # a terminal that reads slowly holds the process up
    call.process.output.write(request.text)
    return c.Nothing()


async def read(call: Call, request: c.Input) -> c.InputText:
    """All that was piped in."""
    return c.InputText(text=call.process.stdin)


async def progress(call: Call, request: c.Progress) -> c.Nothing:
    """Tell how far the work is."""
    call.process.output.progress(request.done, request.total, request.what)
    return c.Nothing()
