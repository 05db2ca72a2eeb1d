"""The shell's own commands. Those that touch the user's files only read them."""

import asyncio
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from ...kernel.errors import BadInput
from ...kernel.translate import translated
from . import control, look
from .display import out, process_table, rows_table
from .guide import topic
from .jobs import Builtin, Job, Jobs
from .texts import read_text


class Exit(Exception):
    """`exit` was typed."""


class Commands:
    """All of them; ``jobs`` is set by the shell that owns this."""

    jobs: Jobs

    def __init__(self) -> None:
        self.resumed: Job | None = None  # what `fg` wants in the foreground, once the line is over
        self.table: dict[str, Builtin] = {
            "help": self.help, "ps": self.ps, "top": self.top, "log": self.log, "kill": self.kill,
            "jobs": self.list_jobs, "fg": self.fg, "bg": self.bg, "cat": self.cat, "ls": self.ls, "cd": self.cd,
            "pwd": self.pwd, "echo": self.echo, "apps": self.apps, "exit": self.exit,
        }  # fmt: skip

    # -- teaching --

    async def help(self, words: Sequence[str], text: str) -> RenderableType:
        """All commands; with a word, a topic, a command or what an app takes."""
        registry = self.jobs.running.launcher.registry
        if words and words[0] in registry.names():
            from .describe import description_of
            from .information import app_panel

            info = registry.get(words[0])
            return app_panel(info, await asyncio.to_thread(description_of, info))
        return topic(words[0] if words else "", self.table, registry)

    async def apps(self, words: Sequence[str], text: str) -> RenderableType:
        """The apps there are."""
        found = self.jobs.running.launcher.registry.apps()
        return rows_table(("app", "", ""), [(i.name, i.manifest.version, i.manifest.summary) for i in found])

    # -- processes --

    async def ps(self, words: Sequence[str], text: str) -> RenderableType:
        """Processes that live; -a: all since the shell began."""
        rows = self.jobs.running.machine.snapshot()
        return process_table(rows if words else [row for row in rows if row["state"] != "done"])

    async def top(self, words: Sequence[str], text: str) -> RenderableType:
        """The process table, again and again, until Ctrl-C."""
        console = out()
        if not console.is_terminal:
            return await self.ps(["-a"], text)
        machine = self.jobs.running.machine
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while True:
                head = Text(f"{datetime.now():%H:%M:%S}  {len(machine.table.living())} living  Ctrl-C leaves")
                live.update(Group(head, Text(), process_table(machine.snapshot())), refresh=True)
                await asyncio.sleep(0.5)

    async def log(self, words: Sequence[str], text: str) -> RenderableType:
        """What a process asked for and got, call by call."""
        record, entries = look.calls(self.jobs.running.home, _pid(words, "log 3"))
        return Group(look.process_head(record), look.call_lines(entries))

    async def kill(self, words: Sequence[str], text: str) -> RenderableType:
        """Send a signal: kill [-SIGNAL] PID or %JOB."""
        words = list(words)
        signal = words.pop(0)[1:].removeprefix("SIG") if words and words[0].startswith("-") else "TERM"
        if words and words[0].startswith("%"):
            job = self.jobs.get(words[0])
            pids = [process.pid for process in job.processes if process.alive]
            if signal in ("TERM", "KILL") and job.task is not None and not pids:
                job.task.cancel()
        else:
            pids = [_pid(words, "kill 3, kill -KILL 3 or kill %1")]
        for pid in pids:
            await control.kill(self.jobs.running.machine, pid, signal)
        return ""

    # -- jobs --

    async def list_jobs(self, words: Sequence[str], text: str) -> RenderableType:
        """Jobs in the background and stopped ones."""
        rows = [(f"[{job.number}]", job.state, job.pipeline.text) for job in self.jobs.listed()]
        return rows_table(("job", "", ""), rows) if rows else "there is no job\n"

    async def fg(self, words: Sequence[str], text: str) -> RenderableType:
        """Bring a job to the foreground, and on if it was stopped: fg [N]."""
        self.resumed = self.jobs.get(words[0] if words else None)
        return f"{self.resumed.pipeline.text}\n"

    async def bg(self, words: Sequence[str], text: str) -> RenderableType:
        """Let a stopped job go on in the background: bg [N]."""
        job = self.jobs.get(words[0] if words else None)
        self.jobs.go_on(job)
        return f"[{job.number}] {job.pipeline.text} &\n"

    async def exit(self, words: Sequence[str], text: str) -> RenderableType:
        """Leave; jobs that still run are ended."""
        raise Exit

    # -- files, to be read --

    async def cat(self, words: Sequence[str], text: str) -> RenderableType:
        """The text of files, one after the other."""
        return "".join(read_text(Path(word)) for word in words) if words else text

    async def ls(self, words: Sequence[str], text: str) -> RenderableType:
        """Names in a folder; folders end with /."""
        found = []
        for word in words or ["."]:
            place = Path(word)
            with translated():
                names = sorted(place.iterdir()) if place.is_dir() else [place]
            if not place.exists():
                raise BadInput(f"no file or folder {word!r}", hint="pwd tells where you are")
            found += [path.name + "/" * path.is_dir() for path in names if not path.name.startswith(".")]
        return "".join(f"{name}\n" for name in found)

    async def cd(self, words: Sequence[str], text: str) -> RenderableType:
        """Go to another folder, where file names begin; alone: to your home folder."""
        place = Path(words[0] if words else "~").expanduser()
        if not place.is_dir():
            raise BadInput(f"no folder {str(place)!r}", hint="ls lists what is here")
        with translated():
            os.chdir(place)
        return ""

    async def pwd(self, words: Sequence[str], text: str) -> RenderableType:
        """Where you are."""
        return f"{Path.cwd()}\n"

    async def echo(self, words: Sequence[str], text: str) -> RenderableType:
        """Say the words again; $? is the last exit code."""
        return " ".join(words) + "\n"


def _pid(words: Sequence[str], example: str) -> int:
    if len(words) != 1 or not words[0].isdigit():
        raise BadInput("a pid is wanted", hint=f"for example {example}; ps lists them")
    return int(words[0])
