"""Text in and out of the user's files, and tables as text, for pipelines of the shell."""

import errno
import io
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from ...kernel.errors import BadInput, NotFound, Unavailable
from ...kernel.translate import translated


def rendered(said: RenderableType) -> str:
    """A table or the like as plain text, for a pipe or a file."""
    if isinstance(said, Text):
        return said.plain
    file = io.StringIO()
    Console(file=file, width=200, highlight=False).print(said)
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def read_text(path: Path) -> str:
    """A text file of the user's; raises `NotFound` or `BadInput` in one line."""
    if not path.exists():
        raise NotFound(f"no file {str(path)!r}", hint="check the spelling and the folder you are in")
    if path.is_dir():
        raise BadInput(f"{path} is a folder", hint="ls lists it")
    try:
        with translated():
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text", hint="convert it, for example with iconv") from None


def write_text(path: Path, text: str, *, append: bool) -> None:
    """Put text into a file of the user's; what was there stays until the new text is complete.

    A link leads to its file, a file keeps its mode, and a device or a pipe is written to. Errors name ``path``.
    """
    data = text.encode("utf-8", "replace")
    try:
        place = Path(os.path.realpath(path))
        if append or place.is_symlink() or (path.exists() and not path.is_file()):  # a link still: it leads in a circle
            _write_through(path, data, append=append)
        else:
            _write_anew(place, data)
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder", hint="name a file") from None
    except OSError as problem:
        with translated():
            raise OSError(problem.errno, problem.strerror, str(path)) from problem


def _write_through(path: Path, data: bytes, *, append: bool) -> None:
    """To whatever stands there; a pipe that nobody reads would hold us up for ever, so that is an error."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | (os.O_APPEND if append else os.O_TRUNC)
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as problem:
        if problem.errno != errno.ENXIO:
            raise
        raise Unavailable(f"nobody reads the pipe {path}", hint="start its reader first") from None
    os.set_blocking(handle, True)
    with open(handle, "wb") as file:
        file.write(data)


def _write_anew(place: Path, data: bytes) -> None:
    """Beside the file first, then in its stead."""
    before = place.stat() if place.exists() else None
    fresh = place.with_name(f".{secrets.token_hex(4)}.llmos")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if before else 0o666), "wb") as file:
            file.write(data)
        if before:
            with suppress(PermissionError):  # to keep an owner who is somebody else takes root
                os.chown(fresh, before.st_uid, before.st_gid)
            fresh.chmod(stat.S_IMODE(before.st_mode))
        fresh.replace(place)
    finally:
        fresh.unlink(missing_ok=True)
