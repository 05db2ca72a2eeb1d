"""The shell's own commands that look at the machine and at jobs; those for files are in `reading`."""

import asyncio
from collections.abc import Sequence

from rich.console import Group, RenderableType

from ...kernel.errors import BadInput, OSFault
from . import look, reading
from .caged import execute
from .display import clean, out, process_table, rows_table
from .guide import topic
from .job import Builtin, Ended, Job
from .jobs import Jobs

HISTORY = 100  # lines that `history` shows unasked
_SIGNALS = {"2": "INT", "9": "KILL", "15": "TERM", "18": "CONT", "19": "STOP", "20": "STOP"}


class Exit(Exception):
    """`exit` was typed; ``code`` is the exit code that it named."""

    def __init__(self, code: int | None = None) -> None:
        self.code = code


class Commands:
    """All of them; ``jobs`` is set by the shell that owns this."""

    jobs: Jobs

    def __init__(self) -> None:
        self.resumed: Job | None = None  # what `fg` wants in the foreground, once the line is over
        self.table: dict[str, Builtin] = {
            "help": self.help, "ps": self.ps, "top": self.top, "log": self.log, "kill": self.kill,
            "jobs": self.list_jobs, "fg": self.fg, "bg": self.bg, "cat": reading.cat, "ls": reading.ls,
            "cd": reading.cd, "pwd": reading.pwd, "echo": reading.echo, "exec": execute, "apps": self.apps,
            "new": self.new, "history": self.history, "clear": self.clear, "exit": self.exit, "quit": self.exit,
        }  # fmt: skip

    # -- teaching --

    async def help(self, words: Sequence[str], text: str) -> RenderableType:
        """All commands; with a word, a topic, a command or what an app takes."""
        registry = self.jobs.seat.registry
        if words and words[0] in registry.names():
            from .describe import description_of
            from .information import app_panel

            info = registry.get(words[0])
            return app_panel(info, await asyncio.to_thread(description_of, info))
        return topic(words[0] if words else "", self.table, registry)

    async def apps(self, words: Sequence[str], text: str) -> RenderableType:
        """The apps there are."""
        found = self.jobs.seat.registry.apps()
        return rows_table(("app", "", ""), [(i.name, i.manifest.version, i.manifest.summary) for i in found])

    # -- processes --

    async def ps(self, words: Sequence[str], text: str) -> RenderableType:
        """Processes that live; -a: all since the shell began."""
        rows = await self.jobs.seat.rows()
        return process_table(rows if words else [row for row in rows if row["state"] != "done"])

    async def top(self, words: Sequence[str], text: str) -> RenderableType:
        """The process table, again and again, until q or Ctrl-C."""
        console = out()
        if not console.is_terminal or not self.jobs.in_front():
            return await self.ps(["-a"], text)
        from .top import watch

        try:
            await watch(console, self.jobs.seat.rows, self.jobs.seat.meters)
        except asyncio.CancelledError:  # Ctrl-C as a signal: leaving is what was wanted
            _still_here()
        return ""

    async def log(self, words: Sequence[str], text: str) -> RenderableType:
        """What a process asked for and got, call by call."""
        pid = _pid(words, "log 3")
        record, entries = look.calls(self.jobs.seat.home, pid)
        record |= next((row for row in await self.jobs.seat.rows() if row["pid"] == pid), {})
        return Group(look.process_head(record), look.call_lines(entries))

    async def kill(self, words: Sequence[str], text: str) -> RenderableType:
        """Send a signal: kill [-SIGNAL] PID or %JOB ..."""
        words = list(words)
        signal = words.pop(0)[1:].upper().removeprefix("SIG") if words and words[0].startswith("-") else "TERM"
        signal = _SIGNALS.get(signal, signal)
        if not words:
            _pid(words, "kill 3, kill -KILL 3 or kill %1")
        first: OSFault | None = None
        for word in words:  # one that has ended keeps no other from its signal
            try:
                await self._send(word, signal)
            except OSFault as fault:
                first = first or fault
        if first is not None:
            raise first
        return ""

    async def _send(self, word: str, signal: str) -> None:
        if not word.startswith("%"):
            await self.jobs.seat.signal(_pid([word], "kill 3, kill -KILL 3 or kill %1"), signal)
            return
        job = self.jobs.get(word)
        pids = [process.pid for process in job.processes if process.alive]
        if signal in ("TERM", "KILL") and job.task is not None and not pids:
            job.task.cancel()
        for pid in pids:
            await self.jobs.seat.signal(pid, signal)

    # -- jobs --

    async def list_jobs(self, words: Sequence[str], text: str) -> RenderableType:
        """Jobs in the background and stopped ones."""
        rows = [(f"[{job.number}]", job.state, job.pipeline.text) for job in self.jobs.listed()]
        return rows_table(("job", "", ""), rows) if rows else "there is no job\n"

    async def fg(self, words: Sequence[str], text: str) -> RenderableType:
        """Bring a job to the foreground, and on if it was stopped: fg [N]."""
        self.resumed = self.jobs.get(words[0] if words else None)
        return f"{clean(self.resumed.pipeline.text)}\n"

    async def bg(self, words: Sequence[str], text: str) -> RenderableType:
        """Let a stopped job go on in the background: bg [N]."""
        job = self.jobs.get(words[0] if words else None)
        self.jobs.go_on(job)
        return f"[{job.number}] {clean(job.pipeline.text)} &\n"

    # -- the shell itself --

    async def new(self, words: Sequence[str], text: str) -> RenderableType:
        """Begin a new conversation with the model; what it was told to remember stays."""
        _alone("new", words)
        ended = await self.jobs.talk.end()
        return "a new conversation\n" if ended else "there was none yet\n"

    async def history(self, words: Sequence[str], text: str) -> RenderableType:
        """Lines that were typed before: history [HOW MANY]."""
        if words and not (len(words) == 1 and words[0].isdecimal()):
            raise BadInput("history takes a number", hint="? before the line asks the model")
        from prompt_toolkit.history import FileHistory

        lines = list(FileHistory(str(self.jobs.seat.home.history)).load_history_strings())
        most = int(words[0]) if words else HISTORY
        return "".join(f"{clean(line)}\n" for line in reversed(lines[:most]))

    async def clear(self, words: Sequence[str], text: str) -> RenderableType:
        """Empty the screen."""
        _alone("clear", words)
        out().clear()
        return ""

    async def exit(self, words: Sequence[str], text: str) -> RenderableType | Ended:
        """Leave, with an exit code if one is named; jobs that still run are ended."""
        if words and not (len(words) == 1 and words[0].isdecimal()):
            raise BadInput("exit takes a number", hint="? before the line asks the model")
        raise Exit(int(words[0]) % 256 if words else None)


def _alone(name: str, words: Sequence[str]) -> None:
    if words:
        raise BadInput(f"{name} takes nothing", hint="? before the line asks the model")


def _still_here() -> None:
    """The cancellation has been answered."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _pid(words: Sequence[str], example: str) -> int:
    if len(words) != 1 or not words[0].isdigit():
        raise BadInput("a pid is wanted", hint=f"for example {example}; ps lists them")
    return int(words[0])
