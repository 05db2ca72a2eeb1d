"""`top` in the shell: the process table on the whole screen, until a key ends it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from prompt_toolkit.application import get_app_session
from prompt_toolkit.keys import Keys
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from .display import meters_line, process_table

_LEAVE = {"q", "Q", Keys.ControlC, Keys.ControlD, Keys.Escape}
_ABOVE = 4  # lines over the rows: the head, the meters, an empty one, the names of the columns

Row = dict[str, Any]


def shown(rows: Sequence[Row], height: int) -> list[Row]:
    """What fits: the living by pid, then those that ended, the newest first."""
    living = [row for row in rows if row["state"] != "done"]
    ended = [row for row in reversed(rows) if row["state"] == "done"]
    return [*living, *ended][: max(1, height - _ABOVE)]


async def watch(
    console: Console,
    snapshot: Callable[[], Awaitable[list[Row]]],
    meters: Callable[[], Awaitable[Row]],
    every: float = 0.5,
) -> None:
    """Show it anew every so many seconds, until q or Ctrl-C."""
    leave = asyncio.Event()
    keys = get_app_session().input

    def pressed() -> None:
        if any(press.key in _LEAVE for press in (*keys.read_keys(), *keys.flush_keys())):
            leave.set()

    with keys.raw_mode(), keys.attach(pressed), Live(console=console, auto_refresh=False, screen=True) as live:
        pressed()  # what was typed before
        while not leave.is_set():
            rows = await snapshot()
            living = sum(row["state"] != "done" for row in rows)
            head = Text(f"{datetime.now():%H:%M:%S}  {living} living  q leaves")
            line = meters_line(await meters())
            live.update(Group(head, line, Text(), process_table(shown(rows, console.height))), refresh=True)
            try:
                await asyncio.wait_for(leave.wait(), every)
            except TimeoutError:
                continue
