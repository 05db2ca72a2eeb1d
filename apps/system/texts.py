"""Text in and out of the user's files, and tables as text, for pipelines of the shell."""

import io
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from ...kernel.errors import BadInput, NotFound
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
    """Put text into a file of the user's; what was there stays until the new text is complete."""
    with translated():
        if append:
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
            return
        fresh = path.with_name(f".{path.name}.llmos")
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
