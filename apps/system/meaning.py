"""What a line means that was typed: commands, plain language for the model, or a slip of the pen."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from ...kernel.errors import BadInput, NotFound
from . import pipeline
from .job import TALK
from .jobs import Jobs
from .pipeline import Command, Pipeline, Word

NEAR = 0.8  # likeness of a word to a name from which it may be meant
_ASK = "? before the line asks the model"
_OUTSIDE = ("app", "demo", "doctor", "model", "version")  # commands of `llmos` that are none of the shell
_CHANGING_WORDS = "chgrp chmod chown cp emacs ln mkdir mv nano rm rmdir touch vi vim"
_PROGRAM_WORDS = """
apt awk bash cut curl date df diff du egrep env file find git grep gzip head less make man more node perl pip python
python3 sed sh sort ssh sudo tail tar tee tr uniq wc wget which whoami xargs zip unzip
"""
_ENGLISH = "app cut date demo file find head less make man model more sort tail tee touch version which"
_CHANGING = frozenset(_CHANGING_WORDS.split())  # programs that people type by habit; these would change files
_PROGRAMS = frozenset(_PROGRAM_WORDS.split())
_WORDS_TOO = frozenset(_ENGLISH.split())  # a line in plain language may begin with them


class Reader:
    """Reads lines for one shell: which commands and apps there are decides what a line is."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def lines(self, text: str) -> Iterator[str]:
        """The lines of what was typed or pasted at once; a line break in quotes of a command parts nothing."""
        held = ""
        for line in text.split("\n"):
            held = f"{held}\n{line}" if held else line
            if not self._is_open(held):
                yield held
                held = ""
        if held:
            yield held

    def read(self, text: str) -> Pipeline | None:
        """The pipeline that a line means; plain language becomes a turn of the conversation."""
        text = self._without_llmos(text.strip())
        first = text.split(maxsplit=1)[0] if text else ""
        if text.startswith("?"):
            return self._talk(text[1:].strip())
        if not first or first[0] in "#|&<>" or self._is_command(first):
            return self._checked(pipeline.parse(text))
        self._refuse_slip(first, text)
        return self._talk(text)

    def _without_llmos(self, text: str) -> str:
        """The line as it is typed here; from habit it may begin with ``llmos``."""
        words = text.split(maxsplit=3)
        if words == ["llmos"]:
            raise BadInput("this is the shell of llmos already", hint="help teaches")
        if words[:1] != ["llmos"]:
            return text
        if words[1:3] == ["app", "run"] and len(words) > 3:
            return words[3]
        known = self._is_command(words[1]) or words[1] in _OUTSIDE
        return text.split(maxsplit=1)[1] if known else text

    def _names(self) -> list[str]:
        return [*self._jobs.builtins, *self._apps()]

    def _apps(self) -> list[str]:
        registry = self._jobs.seat.registry
        return [*registry.names(), *registry.broken()]

    def _is_command(self, first: str) -> bool:
        word = first.partition("|")[0].partition("<")[0].partition(">")[0].rstrip("&")
        return word in self._names()

    def _is_open(self, text: str) -> bool:
        first = text.split(maxsplit=1)[:1]
        if not first or not self._is_command(first[0]):
            return False
        found = pipeline.begun(text)
        return found is not None and bool(found.quote)

    def _talk(self, text: str) -> Pipeline | None:
        return Pipeline((Command((Word(TALK, bare=False), Word(text, bare=False))),), False, text) if text else None

    def _checked(self, found: Pipeline | None) -> Pipeline | None:
        """With every command known: a slip in the last one should not cost the work of the first."""
        for name in [command.name for command in found.commands] if found is not None else []:
            if name not in self._names():
                near = None if name in _CHANGING | _PROGRAMS else self._near(name, sure=True)
                raise NotFound(f"no command {name!r}", hint=f"did you mean {near}?" if near else _hint(name))
        return found

    def _refuse_slip(self, first: str, text: str) -> None:
        """Raise `NotFound` for a line that is hardly meant for the model."""
        words = text.split()
        foreign = first in _CHANGING | _PROGRAMS or first in _OUTSIDE
        if foreign and (first not in _WORDS_TOO or _like_a_command(words)):
            raise NotFound(f"no command {first!r}", hint=f"{_hint(first)}; {_ASK}")
        near = self._near(first, sure=len(words) <= 2)
        if near:
            raise NotFound(f"no command {first!r}", hint=f"did you mean {near}? {_ASK}")

    def _near(self, word: str, *, sure: bool) -> str | None:
        """A name that may be meant: its letters swapped, an app's name nearly, or, if ``sure``, any name nearly."""
        names = self._names()
        for name in names:
            if _swapped(word, name):
                return name
        near = difflib.get_close_matches(word.lower(), names if sure else self._apps(), 1, cutoff=NEAR)
        return near[0] if near else None


def _swapped(word: str, name: str) -> bool:
    """Whether two neighbouring letters changed places."""
    if len(word) != len(name):
        return False
    apart = [place for place in range(len(word)) if word[place] != name[place]]
    if len(apart) != 2 or apart[1] != apart[0] + 1:
        return False
    return (word[apart[0]], word[apart[1]]) == (name[apart[1]], name[apart[0]])


def _like_a_command(words: list[str]) -> bool:
    rest = words[1:]
    return not rest or any(word[0] in "-|<>" or Path(word).exists() for word in rest)


def _hint(name: str) -> str:
    if name in _OUTSIDE:
        return "apps lists the apps" if name == "app" else f"leave the shell and type llmos {name}"
    if name in _CHANGING:
        return "the shell changes no files but by > and >>"
    return f"exec -- {name} ... runs it in the sandbox" if name in _PROGRAMS else "help lists what there is"
