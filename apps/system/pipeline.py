"""The shell's grammar, as a pure function: a line of text in, commands, files and a place to run out.

    line     := pipeline [ "&" ]
    pipeline := command { "|" command }
    command  := word { word | "<" file | ">" file | ">>" file }

Words are quoted as in a POSIX shell: 'as it stands', "with \\" and \\\\", and a backslash before one letter.
"""

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...kernel.errors import BadInput
from .handin import expanded

_OPERATORS = ("<<", ">>", "&&", "||", "|", "<", ">", "&", ";")
_NOT_OURS = {"<<", "&&", "||", ";"}
_SPECIAL = "\\\"'|&<>;*?["
_HELP = "help pipes tells what the shell understands"


@dataclass(frozen=True)
class Word:
    """One word; ``bare`` when nothing in it was quoted, so that patterns may stand for files."""

    text: str
    bare: bool = True


@dataclass(frozen=True)
class Command:
    """One program with its words, and the files that its input and output are turned to."""

    words: tuple[Word, ...]
    source: Word | None = None
    target: Word | None = None
    append: bool = False

    @property
    def name(self) -> str:
        """The program."""
        return self.words[0].text


@dataclass(frozen=True)
class Pipeline:
    """What one line asks for."""

    commands: tuple[Command, ...]
    background: bool
    text: str


def parse(line: str) -> Pipeline | None:
    """The pipeline in a line; None for an empty one. Raises `BadInput` in one line."""
    parts = list(_lex(line))
    background = bool(parts) and parts[-1] == "&"
    if background:
        parts.pop()
        if not parts:
            raise BadInput("nothing stands before &", hint=_HELP)
    if not parts:
        return None
    commands = tuple(_command(group) for group in _groups(parts))
    text = line.strip()
    return Pipeline(commands, background, text[:-1].rstrip() if background else text)


def _groups(parts: list[Word | str]) -> Iterator[list[Word | str]]:
    group: list[Word | str] = []
    for part in [*parts, "|"]:
        if part == "|":
            if not group:
                raise BadInput("a command is missing before or after |", hint=_HELP)
            yield group
            group = []
        elif part == "&" or part in _NOT_OURS:
            where = "& stands at the end of a line" if part == "&" else f"{part} means nothing here"
            raise BadInput(where, hint="quote it, or give one command a line")
        else:
            group.append(part)


def _command(group: list[Word | str]) -> Command:
    words: list[Word] = []
    turned: dict[str, Word] = {}
    parts = iter(group)
    for part in parts:
        if isinstance(part, Word):
            words.append(part)
            continue
        file = next(parts, None)
        side = "<" if part == "<" else ">"
        if not isinstance(file, Word):
            raise BadInput(f"{part} needs a file after it", hint=_HELP)
        if side in turned:
            raise BadInput(f"{side} stands twice in one command", hint=_HELP)
        turned[side] = file
    if not words:
        raise BadInput("a command is missing", hint=_HELP)
    return Command(tuple(words), turned.get("<"), turned.get(">"), ">>" in group)


def _lex(line: str) -> Iterator[Word | str]:
    """Words and operators, left to right; a # at the beginning of a word begins a comment."""
    place = 0
    while place < len(line):
        if line[place].isspace():
            place += 1
        elif line[place] == "#":
            return
        elif operator := _operator_at(line, place):
            yield operator
            place += len(operator)
        else:
            word, place = _word(line, place)
            yield word


def _operator_at(line: str, place: int) -> str:
    return next((operator for operator in _OPERATORS if line.startswith(operator, place)), "")


def _word(line: str, place: int) -> tuple[Word, int]:
    text: list[str] = []
    bare = True
    while place < len(line) and not line[place].isspace() and not _operator_at(line, place):
        if line[place] in "'\"":
            piece, place = _quoted(line, place)
            bare = False
        elif line[place] == "\\":
            if place + 1 == len(line):
                raise BadInput("nothing stands after \\", hint="double it to mean the sign itself")
            piece, place = line[place + 1], place + 2
            bare = False
        else:
            piece, place = line[place], place + 1
        text.append(piece)
    return Word("".join(text), bare), place


def _quoted(line: str, start: int) -> tuple[str, int]:
    """The text between the quote at ``start`` and its partner, and the place after that."""
    mark = line[start]
    text: list[str] = []
    place = start + 1
    while place < len(line) and line[place] != mark:
        if mark == '"' and line[place] == "\\" and line[place + 1 : place + 2] in ('"', "\\"):
            place += 1
        text.append(line[place])
        place += 1
    if place >= len(line):
        raise BadInput(f"the quote {mark} is not closed", hint=f"close it, or write \\{mark} to mean the sign itself")
    return "".join(text), place + 1


@dataclass(frozen=True)
class Begun:
    """A line up to the cursor: whole words and operators, and the word in which the cursor stands.

    ``text`` is what that word means so far, ``start`` where it begins, ``quote`` the mark that is still open.
    """

    parts: tuple[Word | str, ...]
    start: int
    text: str = ""
    quote: str = ""


def begun(line: str) -> Begun | None:
    """What has been typed so far; None inside a remark."""
    parts: list[Word | str] = []
    place = 0
    while place < len(line):
        if line[place].isspace():
            place += 1
        elif line[place] == "#":
            return None
        elif operator := _operator_at(line, place):
            parts.append(operator)
            place += len(operator)
        else:
            word, end, quote = _word_so_far(line, place)
            if end == len(line):
                return Begun(tuple(parts), place, word.text, quote)
            parts.append(word)
            place = end
    return Begun(tuple(parts), len(line))


def _word_so_far(line: str, place: int) -> tuple[Word, int, str]:
    """The word at ``place``, its end, and the quote that nobody has closed yet."""
    for quote in ("", "'", '"'):
        try:
            word, end = _word(line + quote, place)
        except BadInput:
            continue
        return word, min(end, len(line)), quote
    word, _, quote = _word_so_far(line[:-1], place)  # without the backslash at the end, that stands before nothing yet
    return word, len(line), quote


def quoted(text: str, quote: str = "") -> str:
    """A text as one word that means just that; inside ``quote``, if it can be, and closed."""
    if quote == '"' or (quote == "'" and "'" not in text):
        inner = text.replace("\\", "\\\\").replace('"', '\\"') if quote == '"' else text
        return f"{quote}{inner}{quote}"
    special = "".join("\\" + letter if letter.isspace() or letter in _SPECIAL else letter for letter in text)
    return "\\" + special if special[:1] in ("#", "~") else special


def expand(word: Word, folder: Path, status: int) -> list[str]:
    """What a word stands for: files for a bare pattern that fits some, the last exit code for ``$?``, ~ for home."""
    if not word.bare:
        return [word.text]
    text = word.text.replace("$?", str(status))
    if text == "~" or text.startswith("~/"):
        text = str(expanded(Path(text)))
    if glob.has_magic(text):
        return sorted(glob.glob(text, root_dir=folder)) or [text]
    return [text]
