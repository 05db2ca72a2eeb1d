"""The shell: a line at a time, commands and apps in pipelines, and plain language for the model."""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ...kernel.errors import Denied, Interrupted, OSFault
from .boot import Running
from .commands import Commands, Exit
from .display import clean, err, out
from .job import Job
from .jobs import Jobs
from .meaning import Reader
from .options import Options
from .output import Asker, fault_line
from .pipeline import Pipeline
from .screen import Screen
from .seat import Seat
from .session import session

TELL_EVERY = 0.5  # seconds


def run_shell(options: Options) -> int:
    """Until `exit`, Ctrl-D or the end of the input; returns the exit code of the last line."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    async with session(options) as seat:
        shell = Shell(seat)
        if isinstance(seat, Running):
            shell.come_back(seat)
        if sys.stdin.isatty():
            from .prompt import interact

            return await interact(shell)
        lines = _piped_lines()
        with shell.signals():
            while (line := await lines.get()) is not None and await shell.line(line):
                pass
            await shell.settle()
        return shell.jobs.status


def _piped_lines() -> asyncio.Queue[str | None]:
    """Lines of standard input, None at its end. Read on a thread that nobody has to wait for: signals go on working."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def read() -> None:
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        text = ""
        while data := os.read(0, 65536):
            *whole, text = (text + decode(data)).split("\n")
            for line in whole:
                loop.call_soon_threadsafe(lines.put_nowait, line)
        for last in ([text] if text else []) + [None]:
            loop.call_soon_threadsafe(lines.put_nowait, last)

    threading.Thread(target=read, daemon=True).start()
    return lines


class Shell:
    """Runs lines; `prompt` reads them from a terminal. ``ask`` puts an app's question to the human, if there is one."""

    def __init__(self, seat: Seat, ask: Asker | None = None) -> None:
        self.commands = Commands()
        self.jobs = self.commands.jobs = Jobs(seat, self.commands.table, out().print)
        self.jobs.on_question = self._notice
        self.reader = Reader(self.jobs)
        self.ask = ask
        self._screen = Screen()
        self._front: Job | None = None
        self._asking = False  # a question stands on the terminal

    def come_back(self, running: Running) -> None:
        """What earlier runs left alive goes on in the background."""
        for job in self.jobs.come_back(running, self._put):
            out().print(f"[{job.number}] goes on  {clean(job.pipeline.text)}", markup=False)
            self._report_when_done(job)

    async def line(self, text: str) -> bool:
        """Carry out one line; False when the shell is to end. Errors are one line on standard error."""
        try:
            found = self.reader.read(text)
            if found is None:
                return True
            await self._carry_out(found)
        except OSFault as fault:
            self._say(fault)
            self.jobs.status = fault.exit_code
        except Exit as leaving:
            self.jobs.status = self.jobs.status if leaving.code is None else leaving.code
            return False
        return True

    async def lines(self, text: str) -> bool:
        """Carry out all lines of a text, one after the other; False when the shell is to end."""
        for line in self.reader.lines(text):
            if not await self.line(line):
                return False
        return True

    async def _carry_out(self, found: Pipeline) -> None:
        job = self.jobs.start(found, self._put if self.ask else None)
        if found.background:
            number = self.jobs.enlist(job)
            out().print(f"[{number}]", markup=False)
            self._report_when_done(job)
            return
        await self._watch(job)
        while (resumed := self.commands.resumed) is not None:
            self.commands.resumed = None
            self.jobs.go_on(resumed)
            await self._watch(resumed)

    async def _watch(self, job: Job) -> None:
        """Keep a job in the foreground until it is over or stopped."""
        assert job.task is not None
        self._front = job
        job.front.set()
        job.output.watch(self._screen.write)
        stopping = asyncio.ensure_future(job.stopped.wait())
        telling = asyncio.ensure_future(self._tell(job))
        try:
            await asyncio.wait({job.task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            telling.cancel()
            job.front.clear()
            job.output.watch(None)
            self._screen.close()
            self._front = None
        if job.task.done():
            self.jobs.status = self._over(job)
        else:
            out().print(f"\n[{job.number}] stopped  {clean(job.pipeline.text)}", markup=False)
            self._report_when_done(job)

    async def _tell(self, job: Job) -> None:
        """While its processes work and say nothing, how far they are."""
        begun = time.monotonic()
        while True:
            await asyncio.sleep(TELL_EVERY)
            if any(process.alive for process in job.processes) and not self._asking:
                told = (job.processes[0].app, job.progress, f"{time.monotonic() - begun:.0f} s")
                self._screen.tell(" · ".join(part for part in told if part))

    async def _put(self, question: str, choices: list[str]) -> str:
        """A question of a job to the human, on a line of its own."""
        if self.ask is None:
            raise Denied(f"nobody is there to answer {question!r}", hint="run the shell on a terminal")
        self._screen.close()
        self._asking = True
        try:
            return await self.ask(question, choices)
        finally:
            self._asking = False

    def _notice(self, job: Job) -> None:
        out().print(f"[{job.number}] asks you: fg {job.number}  {clean(job.pipeline.text)}", markup=False)

    def _over(self, job: Job) -> int:
        """Take an ended job off the list and say what went wrong; its exit code."""
        assert job.task is not None
        self.jobs.forget(job)
        for fault in job.faults:
            self._say(fault)
        return job.task.result()

    def _report_when_done(self, job: Job) -> None:
        def report(_: asyncio.Task[int]) -> None:
            if job is self._front or job.number is None or job not in self.jobs.listed():
                return
            out().print(f"[{job.number}] {job.ending()}  {clean(job.pipeline.text)}", markup=False)
            screen = Screen()
            job.output.watch(screen.write)
            screen.close()
            job.faults = [fault for fault in job.faults if fault.message != job.ending()]  # it has just been said
            with suppress(Exit):
                self._over(job)

        assert job.task is not None
        job.task.remove_done_callback(report)
        job.task.add_done_callback(report)

    async def settle(self) -> None:
        """Wait for all jobs in the background; stopped ones are ended."""
        for job in self.jobs.listed():
            if job.stopped.is_set() or job.came_back:
                await self.jobs.end(job)
            elif job.task is not None:
                await asyncio.wait({job.task})

    @contextmanager
    def signals(self) -> Iterator[None]:
        """While the block runs, Ctrl-C and Ctrl-Z reach the job in the foreground, and nothing else."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._to_front, self.jobs.interrupt)
        loop.add_signal_handler(signal.SIGTSTP, self._to_front, self.jobs.stop)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTSTP)

    def _to_front(self, act: Callable[[Job], None]) -> None:
        if self._front is not None:
            act(self._front)

    def _say(self, fault: OSFault) -> None:
        if isinstance(fault, Interrupted):
            err().print("\ninterrupted" if sys.stderr.isatty() else "interrupted")  # after the terminal's own ^C
        else:
            console = err()
            console.print(fault_line(fault), soft_wrap=not console.is_terminal)
