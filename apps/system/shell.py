"""The shell: a line at a time, commands and apps in pipelines, and plain language for the model."""

from __future__ import annotations

import asyncio
import difflib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ...kernel.errors import Interrupted, NotFound, OSFault
from . import pipeline
from .boot import Running
from .commands import Commands, Exit
from .display import clean, err, out
from .jobs import TALK, Job, Jobs
from .options import Options
from .output import Asker, fault_line
from .pipeline import Command, Pipeline, Word
from .session import session


def run_shell(options: Options) -> int:
    """Until `exit`, Ctrl-D or the end of the input; returns the exit code of the last line."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    async with session(options) as running:
        shell = Shell(running)
        if sys.stdin.isatty():
            from .prompt import interact

            return await interact(shell)
        with shell.signals():
            for line in sys.stdin:
                if not await shell.line(line):
                    break
            await shell.settle()
        return shell.jobs.status


class Shell:
    """Runs lines; `prompt` reads them from a terminal. ``ask`` puts an app's question to the human, if there is one."""

    def __init__(self, running: Running, ask: Asker | None = None) -> None:
        self.commands = Commands()
        self.jobs = self.commands.jobs = Jobs(running, self.commands.table, out().print)
        self.ask = ask
        self._front: Job | None = None

    async def line(self, text: str) -> bool:
        """Carry out one line; False when the shell is to end. Errors are one line on standard error."""
        try:
            found = self.read(text)
            if found is None:
                return True
            await self._carry_out(found)
        except OSFault as fault:
            self._say(fault)
            self.jobs.status = fault.exit_code
        except Exit:
            return False
        return True

    def read(self, text: str) -> Pipeline | None:
        """The pipeline that a line means; plain language becomes a turn of the conversation."""
        text = text.strip()
        first = text.split(maxsplit=1)[0] if text else ""
        if text.startswith("?"):
            return self._talk(text[1:].strip())
        if not first or first[0] in "#|&<>" or self._is_command(first):
            return pipeline.parse(text)
        apps = self.jobs.running.launcher.registry.names()
        near = difflib.get_close_matches(first, apps, 1, cutoff=0.8)
        if near:
            raise NotFound(f"no command {first!r}", hint=f"did you mean {near[0]}? ? before the line asks the model")
        return self._talk(text)

    def _is_command(self, first: str) -> bool:
        word = first.partition("|")[0].partition("<")[0].partition(">")[0].rstrip("&")
        registry = self.jobs.running.launcher.registry
        return word in self.jobs.builtins or word in registry.names() or word in registry.broken()

    def _talk(self, text: str) -> Pipeline | None:
        return Pipeline((Command((Word(TALK, bare=False), Word(text, bare=False))),), False, text) if text else None

    async def _carry_out(self, found: Pipeline) -> None:
        job = self.jobs.start(found, self.ask)
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
        job.output.watch(_to_terminal)
        stopping = asyncio.ensure_future(job.stopped.wait())
        try:
            await asyncio.wait({job.task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            job.front.clear()
            job.output.watch(None)
            self._front = None
        if job.task.done():
            self.jobs.status = self._over(job)
        else:
            out().print(f"\n[{job.number}] stopped  {job.pipeline.text}", markup=False)
            self._report_when_done(job)

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
            out().print(f"[{job.number}] done  {job.pipeline.text}", markup=False)
            job.output.watch(_to_terminal)
            with suppress(Exit):
                self._over(job)

        assert job.task is not None
        job.task.remove_done_callback(report)
        job.task.add_done_callback(report)

    async def settle(self) -> None:
        """Wait for all jobs in the background; stopped ones are ended."""
        for job in self.jobs.listed():
            if job.stopped.is_set():
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
            err().print(fault_line(fault), soft_wrap=True)


def _to_terminal(text: str) -> None:
    sys.stdout.write(clean(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
