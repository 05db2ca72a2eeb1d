"""A connection to the llmos that holds a home, for many requests at a time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

from ...kernel.errors import Unavailable, from_dict
from .client import connected
from .exchange import LARGEST, Frame, decoded, encoded
from .home import Home

_WAITING = 64  # lines of one request that wait; more hold up the connection, and so the one who sends them


class Link:
    """Owned by the event loop's thread. When the other side is gone, every request ends with `Unavailable`."""

    def __init__(self, home: Home, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._home = home
        self._writer = writer
        self._numbers = itertools.count(1)
        self._under_way: dict[int, asyncio.Queue[Frame | None]] = {}
        self._gone = False
        self._reading = asyncio.ensure_future(self._read(reader))

    @classmethod
    async def open(cls, home: Home) -> Link:
        """Connect; raises `NotRunning` where no llmos runs."""
        return cls(home, *await asyncio.open_unix_connection(sock=connected(home), limit=LARGEST))

    async def ask(self, call: str, **fields: Any) -> Any:
        """One request; its answer, or its error raised."""
        with self.begin(call, **fields) as asked:
            async for _ in asked.steps():
                pass
            return asked.answer

    def begin(self, call: str, **fields: Any) -> Asked:
        """A request that tells steps; sent at once."""
        number = next(self._numbers)
        self._under_way[number] = asyncio.Queue(_WAITING)
        asked = Asked(self, number)
        asked.write({"call": call, **fields})
        return asked

    async def close(self) -> None:
        """Hang up: what was started over this link and not detached ends."""
        self._reading.cancel()
        await asyncio.wait({self._reading})
        self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                frame = decoded(line)
                waits = self._under_way.get(frame.get("id", 0))
                if waits is not None:
                    await waits.put(frame)
        except (ConnectionError, ValueError):
            pass  # gone, or not a llmos of ours
        finally:
            self._gone = True
            for waits in self._under_way.values():
                if waits.empty():  # somebody may be waiting; who is not sees it in `next`
                    waits.put_nowait(None)

    async def next(self, number: int) -> Frame:
        """The next line about a request."""
        waits = self._under_way[number]
        frame = None if self._gone and waits.empty() else await waits.get()
        if frame is None:
            raise Unavailable(
                f"the llmos on {self._home.root} has ended", hint="llmos begins another; llmos ps shows what can go on"
            )
        return frame

    def write(self, frame: Frame) -> None:
        """Send a line; nothing is sent to one that is gone."""
        if not self._writer.is_closing():
            self._writer.write(encoded(frame))

    async def drain(self) -> None:
        """Until what was written is on its way."""
        if not self._gone:
            await self._writer.drain()

    def forget(self, number: int) -> None:
        """What is still said about a request goes nowhere."""
        self._under_way.pop(number, None)


class Asked:
    """One request under way, from its client's side."""

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self._number = number
        self.answer: Any = None  # once `steps` is through

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.forget(self._number)

    def write(self, frame: Frame) -> None:
        """Say more about it."""
        self._link.write({"id": self._number, **frame})

    async def drain(self) -> None:
        """Until what was said is on its way; between the pieces of something long."""
        await self._link.drain()

    async def first(self, steps: AsyncIterator[Frame]) -> Frame | None:
        """The first of ``steps``; None where there is none, but an answer. After an error it is forgotten."""
        try:
            return await anext(steps, None)
        except BaseException:
            self._link.forget(self._number)
            raise

    async def steps(self) -> AsyncIterator[Frame]:
        """What is told before the answer, which then stands in ``answer``. Raises the error that was answered."""
        while True:
            frame = await self._link.next(self._number)
            if "error" in frame:
                raise from_dict(frame["error"])
            if "step" not in frame:
                self.answer = frame.get("ok")
                return
            yield frame["step"]
