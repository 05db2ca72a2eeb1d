"""A terminal whose llmos runs in another program: the one that holds the home does the work, this one shows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from ...kernel.errors import OSFault, Terminated, Unavailable, from_dict
from ...kernel.process import Output, State
from ...kernel.translate import translate, translated
from ...memory.database import Database
from ...memory.records import Record, Records
from ...models.catalog import Catalog
from .arguments import Given
from .client import ask
from .comeback import OutputFor
from .exchange import PIECE
from .home import Home
from .link import Asked, Link
from .options import SCRIPTED, Options, user
from .output import AppOutput
from .registry import Registry
from .seat import Row, Started


class Distant:
    """A process that runs there. Owned by the event loop's thread."""

    def __init__(self, pid: int, app: str) -> None:
        self.pid = pid
        self.app = app
        self.ended = asyncio.Event()
        self.exit_code: int | None = None
        self.error: OSFault | None = None
        self.result: Any = None

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as is known here."""
        return not self.ended.is_set()

    def end(self, exit_code: int, error: OSFault | None, result: Any = None) -> None:
        """It has ended so."""
        self.exit_code, self.error, self.result = exit_code, error, result
        self.ended.set()


class Guest:
    """The `seat.Seat` of a client. Owned by the event loop's thread."""

    def __init__(self, home: Home, link: Link, described: Mapping[str, Any]) -> None:
        self.home = home
        self.registry = Registry(home)
        self.model = str(described["model"])
        self.holder = int(described["pid"])  # of the program that holds the home
        self._link = link
        self._followed: dict[Distant, asyncio.Task[None]] = {}

    async def start(self, app: str, given: Given, output: Output, *, stdin: str = "", detach: bool = False) -> Distant:
        """Start an app there; see `Seat.start`. With ``detach`` it goes on alone, and counts as ended here."""
        asked = self._link.begin(
            "run", app=app, args=given.args, owner=given.owner or user(), priority=given.priority,
            adapter=given.adapter, detach=detach,
            handed={path: str(file) for path, file in given.handed.items()}, answers=answers(output),
        )  # fmt: skip
        for place in range(0, len(stdin), PIECE):
            asked.write({"stdin": stdin[place : place + PIECE]})
            await asked.drain()
        asked.write({"stdin": ""})
        return await self._followed_by(asked, output)

    async def attach(self, pid: int, output: Output) -> Distant:
        """Listen to a process that runs there. Raises `BadInput` for one that has ended, `NotFound`."""
        return await self._followed_by(self._link.begin("attach", pid=pid, answers=answers(output)), output)

    async def _followed_by(self, asked: Asked, output: Output) -> Distant:
        steps = asked.steps()
        first = await asked.first(steps)
        told = asked.answer if first is None else first
        process = Distant(int(told["pid"]), str(told["app"]))
        if first is None:
            process.end(0, None)
            return process
        following = asyncio.ensure_future(_Following(process, asked, output).until_ended(steps))
        self._followed[process] = following
        following.add_done_callback(lambda _: self._followed.pop(process, None))
        return process

    async def suspended(self) -> list[Record]:
        """Processes of the home that do not run."""
        here = {row["pid"] for row in await self.rows() if row["state"] not in (State.DONE.value, "suspended")}
        with translated():
            database = Database(self.home.database, read_only=True)
            try:
                return [record for record in Records(database).alive() if record.pid not in here]
            finally:
                database.close()

    async def resume(self, output: OutputFor, pids: Collection[int] = ()) -> list[Distant]:
        """Let suspended processes go on there; see `Seat.resume`. They are suspended again when this terminal goes."""
        waiting = {record.pid: record for record in await self.suspended()}
        back = []
        for pid in pids or [pid for pid, record in waiting.items() if record.parent is None]:
            out = output(waiting[pid]) if pid in waiting else AppOutput()
            back.append(await self._followed_by(self._link.begin("resume", pid=pid, answers=answers(out)), out))
        return back

    async def signal(self, pid: int, signal: str) -> None:
        """Send a signal by name; see `Seat.signal`."""
        await self._link.ask("kill", pid=pid, signal=signal)

    async def hand_in(self, process: Started, files: Mapping[str, Path]) -> None:
        """More files for a living process: path in its tree to file on the host."""
        if files:
            named = {path: str(file) for path, file in files.items()}
            await self._link.ask("hand_in", pid=process.pid, files=named)

    async def rows(self) -> list[Row]:
        """The process table of the one that holds the home."""
        rows: list[Row] = await self._link.ask("ps")
        return rows

    async def meters(self) -> Row:
        """See `Seat.meters`."""
        meters: Row = await self._link.ask("meters")
        return meters

    def pids(self, *, ended: bool = False) -> list[int]:
        """Processes that live, or also those that have ended; none where nobody answers."""
        try:
            return [row["pid"] for row in ask(self.home, "ps") if ended or row["state"] != State.DONE.value]
        except Unavailable:
            return []

    def living(self) -> list[Distant]:
        """What was started from this terminal and has not ended."""
        return [process for process in self._followed if process.alive]

    async def close(self) -> None:
        """Leave: what was started from here ends."""
        await self._link.close()
        for following in list(self._followed.values()):
            await asyncio.wait({following})


class _Following:
    """Passes on to an output here what is told of a process there, until it ends."""

    def __init__(self, process: Distant, asked: Asked, output: Output) -> None:
        self._process = process
        self._asked = asked
        self._output = output
        self._asking: asyncio.Task[None] | None = None

    async def until_ended(self, steps: AsyncIterator[dict[str, Any]]) -> None:
        """All steps, and the end."""
        try:
            with self._asked:
                async for step in steps:
                    await self._pass_on(step)
                ended = self._asked.answer
            error = from_dict(ended["error"]) if ended["error"] else None
            self._process.end(int(ended["exit_code"]), error, ended["result"])
        except Exception as problem:
            fault = translate(problem)
            if fault is None:
                raise
            self._process.end(fault.exit_code, fault)
        finally:
            await self._answered()
            if self._process.alive:
                self._process.end(Terminated.exit_code, Terminated("nobody follows it any more"))

    async def _pass_on(self, step: dict[str, Any]) -> None:
        if "text" in step:
            self._output.write(step["text"])
        elif "missed" in step:
            self._output.write(f"\n[{step['missed']} characters are not shown]\n")
        elif "share" in step:
            self._output.progress(step["share"], 1.0, step["what"])
        elif "question" in step:
            self._asking = asyncio.ensure_future(self._ask(step["question"], step["choices"]))
        elif "answered" in step:
            await self._answered()

    async def _ask(self, question: str, choices: list[str]) -> None:
        try:
            self._asked.write({"answer": await self._output.ask(question, choices)})
        except OSFault as fault:
            self._asked.write({"refusal": fault.to_dict()})

    async def _answered(self) -> None:
        """The question is settled: nobody need answer it here."""
        if self._asking is not None:
            self._asking.cancel()
            with suppress(asyncio.CancelledError):
                await self._asking
            self._asking = None


def answers(output: Output) -> bool:
    """Whether somebody is there to answer questions; an output that cannot tell has somebody."""
    return bool(getattr(output, "answers", True))


@asynccontextmanager
async def guest(options: Options) -> AsyncIterator[Guest]:
    """A seat at the llmos that holds the home, until the block is left. Raises `NotRunning` where there is none."""
    link = await Link.open(options.home)
    try:
        described = await link.ask("ping")
        _agree(options, described)
        seat = Guest(options.home, link, described)
        try:
            yield seat
        finally:
            await seat.close()
    finally:
        await link.close()


def _agree(options: Options, described: Mapping[str, Any]) -> None:
    """What was asked for by options must be what runs there; raises `Unavailable`."""
    plain = Options()
    wanted = {
        name: getattr(options, name)
        for name in ("streams", "window", "way")
        if getattr(options, name) != getattr(plain, name)
    }
    if options.model is not None:
        named = options.model == SCRIPTED or options.model == described["model"]
        wanted["model"] = options.model if named else Catalog(options.home.root).get(options.model).name
    for name, value in sorted(wanted.items()):
        if value != described[name]:
            raise Unavailable(
                f"--{name} {value}: the llmos on {options.home.root} (process {described['pid']}) runs"
                f" with {described[name]}",
                hint=f"leave --{name} out, end that llmos, or name another folder with --home",
            )
