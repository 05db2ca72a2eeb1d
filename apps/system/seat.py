"""What a terminal has of a llmos, whether that runs in the same program (`boot.Running`) or in another (`guest.Guest`).

The command line and the shell are written for this face alone, so they look the same in both places.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ...kernel.errors import OSFault
from ...kernel.process import Output
from ...memory.records import Record
from .arguments import Given
from .comeback import OutputFor
from .home import Home
from .registry import Registry

Row = dict[str, Any]
"""One line of the process table."""


class Started(Protocol):
    """A process, as the terminal that started it sees it. Owned by the event loop's thread."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def app(self) -> str:
        """The app it runs."""

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""

    @property
    def ended(self) -> asyncio.Event:
        """Set once nothing of it is left; then the three below are final."""

    @property
    def exit_code(self) -> int | None:
        """None while it lives."""

    @property
    def error(self) -> OSFault | None:
        """What it failed with."""

    @property
    def result(self) -> Any:
        """What the app returned: its model, or that in plain values."""


class Seat(Protocol):
    """A llmos, from a terminal. Owned by the event loop's thread."""

    @property
    def home(self) -> Home:
        """Where it runs."""

    @property
    def registry(self) -> Registry:
        """The apps there are."""

    @property
    def model(self) -> str:
        """The name of the model that computes."""

    async def start(self, app: str, given: Given, output: Output, *, stdin: str = "") -> Started:
        """Start an app with what a command line gave. It ends when the terminal goes.

        Raises `NotFound`, `Denied`, `Unavailable`, and `BadInput` for arguments that do not fit.
        """

    async def signal(self, pid: int, signal: str) -> None:
        """Send a signal by name; after KILL, returns when nothing is left. Raises `BadInput`, `NotFound`."""

    async def hand_in(self, process: Started, files: Mapping[str, Path]) -> None:
        """More files for a living process: path in its tree to file on the host."""

    async def suspended(self) -> list[Record]:
        """Processes of the home that an earlier llmos left alive and that do not run, parents before their children."""

    async def resume(self, output: OutputFor, pids: Collection[int] = ()) -> Sequence[Started]:
        """Let suspended processes go on, all or those named, as if this terminal had started them.

        Returns those without a parent. Raises `NotFound` for a pid that is not suspended; one that cannot go on has
        ended, with the reason as its error.
        """

    async def rows(self) -> list[Row]:
        """The process table since that llmos began."""

    async def meters(self) -> Row:
        """Figures of its scheduler, see `Scheduler.meters`."""

    def pids(self, *, ended: bool = False) -> list[int]:
        """Processes that live, or also those that have ended; at once, for whoever cannot wait."""

    def living(self) -> Sequence[Started]:
        """What was started from this terminal and has not ended."""
