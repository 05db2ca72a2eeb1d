"""Jobs of the shell: a pipeline under way, its processes, and whether somebody watches it.

Stages run one after the other, for an app reads its input as a whole. A job gets a number when it leaves the
foreground. Everything here belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from ...kernel.errors import BadInput, Interrupted, NotFound, OSFault
from ...kernel.process import Output, Process
from ...kernel.translate import translate
from ...memory.records import Record
from .arguments import Given, parse
from .boot import Running
from .comeback import come_back, suspended
from .describe import description_of
from .display import print_json
from .job import TALK, Builtin, Ended, Job
from .mentioned import mentioned
from .options import user
from .output import AppOutput, Asker, plain_result, remainder
from .pipeline import Command, Pipeline, expand
from .registry import AppInfo
from .seat import Seat, Started
from .talk import APP as TALKS
from .talk import Talk
from .texts import read_text, rendered, write_text


class Jobs:
    """Runs pipelines at a seat."""

    def __init__(self, seat: Seat, builtins: dict[str, Builtin], show: Callable[[RenderableType], None]) -> None:
        self.seat = seat
        self.show = show  # a table and the like, to whoever watches
        self.builtins = builtins
        self.status = 0
        self.talk = Talk(seat)
        self.on_question: Callable[[Job], None] = lambda job: None  # told when a job in the background asks something
        self._numbered: dict[int, Job] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._running: Running | None = None  # where processes of earlier runs went on

    # -- starting --

    def start(self, pipeline: Pipeline, ask: Asker | None) -> Job:
        """Begin a pipeline; nobody watches it yet."""
        job = Job(pipeline, AppOutput())
        job.output = AppOutput(None if ask is None else self._when_in_front(job, ask), on_progress=job.tell)
        job.task = asyncio.ensure_future(self._run(job, job.output))
        return job

    def come_back(self, running: Running, ask: Asker | None) -> list[Job]:
        """Let the processes of earlier runs go on, as jobs in the background; the last conversation is the shell's."""
        self._running = running
        dialogue = self._dialogue(running)
        jobs: dict[int, Job] = {}

        def output(record: Record) -> Output:
            if record.pid == dialogue:
                return self.talk
            job = Job(Pipeline((), background=True, text=f"{record.app} (process {record.pid})"), AppOutput())
            job.output = AppOutput(None if ask is None else self._when_in_front(job, ask), on_progress=job.tell)
            jobs[record.pid] = job
            return job.output

        for process in come_back(running, output):
            if process.pid == dialogue:
                self.talk.adopt(process)
            elif process.pid in jobs:
                job = jobs[process.pid]
                job.processes, job.came_back = [process], True
                job.task = asyncio.ensure_future(self._gone_on(job, process))
                self.enlist(job)
        return [job for job in jobs.values() if job.number is not None]

    def _dialogue(self, running: Running) -> int | None:
        """The newest conversation that an earlier shell of this user left."""
        found = [r for r in suspended(running) if (r.app, r.owner, r.parent) == (TALKS, user(), None)]
        return next((record.pid for record in reversed(found) if not record.args), None)

    async def _gone_on(self, job: Job, process: Process) -> int:
        await process.ended.wait()
        if process.error is not None and not process.suspended:
            return self._failed(job, process.error)
        if not process.suspended:
            rest = await remainder(self.seat.registry.get(process.app), process, job.output.text)
            job.output.write(f"{rest.plain}\n" if rest else "")
        return process.exit_code or 0

    async def _run(self, job: Job, last: AppOutput) -> int:
        """All stages; the exit code of the one that failed, else 0."""
        text = ""
        try:
            for place, command in enumerate(job.pipeline.commands):
                final = place + 1 == len(job.pipeline.commands) and command.target is None
                output = last if final else AppOutput(last.ask, on_progress=job.tell)
                code = await self._stage(job, command, text, output)
                if code:
                    return code
                text = output.text
                if command.target is not None:
                    target = self._one(command.target)
                    await asyncio.to_thread(write_text, target, text, append=command.append)
                    text = ""
        except asyncio.CancelledError:
            return self._failed(job, Interrupted("interrupted"))
        except Exception as problem:
            fault = translate(problem)
            if fault is None:
                raise
            return self._failed(job, fault)
        return 0

    async def _stage(self, job: Job, command: Command, text: str, output: AppOutput) -> int:
        if command.source is not None:
            text = read_text(self._one(command.source))
        name, *words = [found for word in command.words for found in expand(word, Path.cwd(), self.status)]
        if name == TALK:
            return await self._talk(job, " ".join(words), output)
        if name not in self.builtins:
            return await self._app(job, name, words, text, output)
        said = await self.builtins[name](words, text)
        if isinstance(said, Ended):
            output.write(said.text)
            return said.code
        if output is job.output and job.front.is_set() and not isinstance(said, str):
            self.show(said)
        else:
            output.write(said if isinstance(said, str) else rendered(said))
        return 0

    def _one(self, word: Any) -> Path:
        found = expand(word, Path.cwd(), self.status)
        if len(found) > 1:
            raise BadInput(f"{word.text} fits {len(found)} files", hint="name one")
        return Path(found[0])

    async def _app(self, job: Job, name: str, words: list[str], text: str, output: AppOutput) -> int:
        info = self.seat.registry.get(name)
        given = await self._given(info, words)
        if given is None:
            return 0
        if given.detach:
            raise BadInput("--detach is for llmos app run", hint="end the line with & to let it run beside you")
        parts = given.split(info.manifest.each)
        outputs = [output] if len(parts) == 1 else [AppOutput(output.ask, on_progress=job.tell) for _ in parts]
        try:
            for part, own in zip(parts, outputs, strict=True):
                job.processes.append(await self.seat.start(info.name, part, own, stdin=text))
        except OSFault:
            self._send(job.processes, "KILL")
            raise
        code = 0
        for part, process, own in zip(parts, list(job.processes), outputs, strict=True):
            await process.ended.wait()
            await self._said(info, part, process, own, output)
            code = code or process.exit_code or 0
            if process.error is not None:
                self._failed(job, part.in_its_words(process.error))
        job.processes, job.progress = [], ""
        return code

    async def _given(self, info: AppInfo, words: list[str]) -> Given | None:
        """The arguments of an app; where they name no file, the line may have been meant as plain language."""
        description = await asyncio.to_thread(description_of, info)
        try:
            return parse(description, words, program=info.name, folder=Path.cwd())
        except NotFound as fault:
            plain = len(words) > 1 and not any(word.startswith("-") for word in words)
            hint = "; ? before the line asks the model" if plain else ""
            raise NotFound(fault.message, hint=fault.hint + hint, **fault.details) from None

    async def _talk(self, job: Job, line: str, output: AppOutput) -> int:
        process = await self.talk.begin(line, output, mentioned(line, Path.cwd()))
        job.processes = [process]
        await self.talk.answered(process)
        job.processes, job.progress = [], ""
        if process.error is not None:
            self._failed(job, process.error)
        elif job.interrupts:
            return self._failed(job, Interrupted("interrupted"))
        return process.exit_code or 0

    async def _said(self, info: AppInfo, part: Given, process: Started, own: AppOutput, output: AppOutput) -> None:
        """What an ended process has to say, into the stage's output."""
        if part.json:
            file = io.StringIO()
            error = part.in_its_words(process.error) if process.error else None
            print_json({"error": error.to_dict()} if error else plain_result(process), file)
            output.write(file.getvalue())
            return
        if own is not output:
            output.write(own.text)
        if process.error is None and (rest := await remainder(info, process, own.text)):
            output.write(("\n" if own.text and not own.text.endswith("\n") else "") + rest.plain)
        if output.text and not output.text.endswith("\n"):
            output.write("\n")

    def _when_in_front(self, job: Job, ask: Asker) -> Asker:
        """A question of a job in the background waits until the job is brought to the front."""

        async def asked(question: str, choices: list[str]) -> str:
            if not job.front.is_set():
                job.asks = True
                self.on_question(job)
            try:
                await job.front.wait()
            finally:
                job.asks = False
            return await ask(question, choices)

        return asked

    def _failed(self, job: Job, fault: OSFault) -> int:
        job.faults.append(fault)
        return fault.exit_code

    # -- signals --

    def interrupt(self, job: Job) -> None:
        """Ctrl-C: INT to its processes, KILL when it comes again; a command of the shell is broken off."""
        job.interrupts += 1
        living = [process for process in job.processes if process.alive]
        self._send(living, "INT" if job.interrupts == 1 else "KILL")
        if not living and job.task is not None:
            job.task.cancel()

    def stop(self, job: Job) -> None:
        """Ctrl-Z: STOP, and out of the foreground; a command of the shell itself cannot be stopped."""
        if any(process.alive for process in job.processes):
            self._send(job.processes, "STOP")
            self.enlist(job)
            job.stopped.set()

    def go_on(self, job: Job) -> None:
        """CONT."""
        job.interrupts = 0
        job.stopped.clear()
        self._send(job.processes, "CONT")

    async def end(self, job: Job) -> None:
        """KILL all it has, or suspend it where it came back from before; returns when nothing is left."""
        for process in job.processes:
            if process.alive and job.came_back and self._running is not None:
                await self._running.machine.suspend(self._running.machine.table.get(process.pid))
            elif process.alive:
                await self._signal(process, "KILL")
        if job.task is not None:
            job.task.cancel()
            await asyncio.wait({job.task})

    def _send(self, processes: Sequence[Started], signal: str) -> None:
        for process in processes:
            if process.alive:
                sending = asyncio.ensure_future(self._signal(process, signal))
                self._sending.add(sending)
                sending.add_done_callback(self._sending.discard)

    async def _signal(self, process: Started, signal: str) -> None:
        with suppress(OSFault):  # it has ended meanwhile, or the llmos that ran it
            await self.seat.signal(process.pid, signal)

    # -- the list --

    def enlist(self, job: Job) -> int:
        """Give a job a number, if it has none."""
        if job.number is None:
            job.number = max(self._numbered, default=0) + 1
            self._numbered[job.number] = job
        return job.number

    def forget(self, job: Job) -> None:
        """Take a job off the list."""
        if job.number is not None:
            self._numbered.pop(job.number, None)

    def listed(self) -> list[Job]:
        """Jobs with a number, oldest first."""
        return list(self._numbered.values())

    def ending(self) -> list[Job]:
        """Those that would end with the shell; what came back from an earlier run goes on another time."""
        return [job for job in self._numbered.values() if not job.came_back]

    def in_front(self) -> bool:
        """Whether the command that asks this runs before the user's eyes."""
        me = asyncio.current_task()
        return not any(job.task is me and not job.front.is_set() for job in self._numbered.values())

    def get(self, word: str | None = None) -> Job:
        """The job ``1`` or ``%1``; without a word the newest. Raises `NotFound`."""
        if word is None:
            if not self._numbered:
                raise NotFound("there is no job", hint="end a line with & to start one, or stop one with Ctrl-Z")
            return self._numbered[max(self._numbered)]
        number = word.removeprefix("%")
        if not number.isdigit() or int(number) not in self._numbered:
            raise NotFound(f"no job {word!r}", hint="jobs lists them")
        return self._numbered[int(number)]
