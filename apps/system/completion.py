"""What Tab offers in the shell: commands and apps, topics, pids and jobs, an app's options, files.

What is put in is quoted where it has to be, so that the line means what was offered.
"""

import os
from collections.abc import Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from ...kernel.errors import OSFault
from ...kernel.process import Signal
from . import arguments
from .describe import description_of
from .guide import TOPICS
from .jobs import Jobs
from .pipeline import Begun, Word, begun, quoted
from .registry import AppInfo


class ShellCompleter(Completer):
    """Looks at the command before the cursor, back to the last ``|``."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._options: dict[str, list[str]] = {}

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Completions of the word before the cursor."""
        line = document.text_before_cursor
        found = begun(line)
        if found is None:
            return
        typed = line[found.start :]
        words = self._words(found)
        if words is not None:
            names = sorted({word for word in words if word.startswith(found.text)})
            for name in names:
                insert = quoted(name, found.quote) + " " * (len(names) == 1)
                yield Completion(insert, start_position=-len(typed), display=name)
            return
        for name in _files(found.text, folders=_words(found.parts)[:1] == ["cd"]):
            insert = _typed(name, found.quote)
            if insert.startswith(typed):  # the rest alone, as one that begins otherwise has nothing in common with it
                yield Completion(insert[len(typed) :], display=name)
            else:
                yield Completion(insert, start_position=-len(typed), display=name)

    def _words(self, found: Begun) -> list[str] | None:
        """What may stand where the cursor is; None for files."""
        registry = self._jobs.seat.registry
        words = _words(found.parts)
        if found.parts and found.parts[-1] in ("<", ">", ">>"):
            return None
        if not words:
            return [*self._jobs.builtins, *registry.names()]
        name = words[0]
        if name == "help":
            return [*TOPICS, *self._jobs.builtins, *registry.names()]
        if name in ("kill", "log"):
            return self._processes(name, found.text)
        if name in ("fg", "bg"):
            return self._job_names("%" if found.text.startswith("%") else "")
        if found.text.startswith("-") and name in registry.names():
            return self._options_of(registry.look(name))
        return None

    def _processes(self, name: str, last: str) -> list[str]:
        if name == "kill" and last.startswith("-"):
            return [f"-{signal.name}" for signal in Signal]
        if name == "kill" and last.startswith("%"):
            return self._job_names("%")
        return [str(pid) for pid in self._jobs.seat.pids(ended=name == "log")]

    def _job_names(self, mark: str) -> list[str]:
        return [f"{mark}{job.number}" for job in self._jobs.listed()]

    def _options_of(self, info: AppInfo) -> list[str]:
        if info.name not in self._options:
            try:
                takes = description_of(info).takes
            except OSFault:
                takes = []
            named = [name for one in takes if not one.positional for name in arguments.option_names(one)]
            self._options[info.name] = [name for both in named for name in both.split("/")]
        return [*self._options[info.name], "--json", "--help"]


def _words(parts: tuple[Word | str, ...]) -> list[str]:
    """Whole words of the command in which the cursor stands."""
    after = max((place + 1 for place, part in enumerate(parts) if part == "|"), default=0)
    return [part.text for part in parts[after:] if isinstance(part, Word)]


def _files(last: str, *, folders: bool = False) -> Iterator[str]:
    """Files and folders that begin so; names that no line can hold, such as one with a line break, are left out."""
    above, slash, start = last.rpartition("/")
    try:
        entries = sorted(os.scandir(os.path.expanduser(above + slash) or "."), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        hidden = entry.name.startswith(".") and not start.startswith(".")
        if hidden or not entry.name.startswith(start) or not entry.name.isprintable():
            continue
        if entry.is_dir() or not folders:
            path = above + slash + entry.name
            yield f"./{path}" if path.startswith("-") else path  # that would be an option


def _typed(path: str, quote: str) -> str:
    """A path as it has to be typed; ``~`` is spelt out where quotes make it stand for itself."""
    if path.startswith("~/"):
        if not quote and quoted(path[1:]) == path[1:]:
            return path
        path = os.path.expanduser(path)
    return quoted(path, quote)
