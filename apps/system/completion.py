"""What Tab offers in the shell: commands and apps, topics, pids and jobs, an app's options, files."""

from collections.abc import Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from ...kernel.errors import OSFault
from .describe import description_of
from .guide import TOPICS
from .jobs import Jobs
from .registry import AppInfo


class ShellCompleter(Completer):
    """Looks at the command before the cursor, back to the last ``|``."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._options: dict[str, list[str]] = {}

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Completions of the word before the cursor."""
        command = document.text_before_cursor.rpartition("|")[2].lstrip()
        words = command.split()
        last = "" if not words or command[-1].isspace() else words.pop()
        registry = self._jobs.running.launcher.registry
        if not words:
            return _fitting(last, [*self._jobs.builtins, *registry.names()])
        name = words[0]
        if name == "help":
            return _fitting(last, [*TOPICS, *self._jobs.builtins, *registry.names()])
        if name in ("kill", "log"):
            living = self._jobs.running.machine.table
            return _fitting(last, [str(p.pid) for p in living if p.alive or name == "log"])
        if name in ("fg", "bg"):
            return _fitting(last, [str(job.number) for job in self._jobs.listed()])
        if last.startswith("-") and name in registry.names():
            return _fitting(last, self._options_of(registry.look(name)))
        files = PathCompleter(expanduser=True, only_directories=name == "cd")
        return files.get_completions(Document(last.lstrip("<>")), complete_event)

    def _options_of(self, info: AppInfo) -> list[str]:
        if info.name not in self._options:
            try:
                takes = description_of(info).takes
            except OSFault:
                takes = []
            self._options[info.name] = [f"--{one.name.replace('_', '-')}" for one in takes if not one.positional]
        return [*self._options[info.name], "--json", "--help"]


def _fitting(last: str, words: Iterable[str]) -> Iterator[Completion]:
    found = sorted(word for word in set(words) if word.startswith(last))
    for word in found:
        yield Completion(word + " " * (len(found) == 1), start_position=-len(last), display=word)
