"""Commands of the shell that look at the user's files, and change none."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import RenderableType

from ...kernel.errors import BadInput
from ...kernel.translate import translated
from .handin import expanded
from .texts import read_text


async def cat(words: Sequence[str], text: str) -> RenderableType:
    """The text of files, one after the other."""
    return "".join(read_text(Path(word)) for word in words) if words else text


async def ls(words: Sequence[str], text: str) -> RenderableType:
    """Names in a folder, folders with / at the end: ls [-l: size and time] [-a: hidden ones too] [NAME]."""
    flags = {letter for word in words if word.startswith("-") for letter in word[1:]}
    if flags - set("la"):
        raise BadInput(f"ls knows no -{min(flags - set('la'))}", hint="-l shows size and time, -a hidden names")
    found = []
    for word in [word for word in words if not word.startswith("-")] or ["."]:
        place = Path(word)
        if not os.path.lexists(place):
            raise BadInput(f"no file or folder {word!r}", hint="pwd tells where you are")
        with translated():
            paths = sorted(place.iterdir()) if place.is_dir() else [place]
        found += [_line(path, long="l" in flags) for path in paths if "a" in flags or not path.name.startswith(".")]
    return "".join(f"{line}\n" for line in found)


def _line(path: Path, *, long: bool) -> str:
    name = path.name + "/" * path.is_dir()
    if not long:
        return name
    with translated():
        info = path.lstat()
    return f"{info.st_size:>12,}  {datetime.fromtimestamp(info.st_mtime):%Y-%m-%d %H:%M}  {name}"


async def cd(words: Sequence[str], text: str) -> RenderableType:
    """Go to another folder, where file names begin; alone: to your home folder."""
    place = expanded(Path(words[0] if words else "~"))
    if not place.is_dir():
        raise BadInput(f"no folder {str(place)!r}", hint="ls lists what is here")
    with translated():
        os.chdir(place)
    return ""


async def pwd(words: Sequence[str], text: str) -> RenderableType:
    """Where you are."""
    return f"{Path.cwd()}\n"


async def echo(words: Sequence[str], text: str) -> RenderableType:
    """Say the words again; $? is the last exit code."""
    return " ".join(words) + "\n"
