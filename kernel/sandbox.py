"""Running foreign code: no network, no files but those handed in, bounded time, memory, processes and output.

    outcome = await Sandbox().run(["python3", "job.py"], files={"job.py": Path("job.py")})

The rooms below: `cage` says what a program sees, `seccomp` what it may call, `uids` as whom it runs, `warden`
watches and ends it, `holding` counts its memory, `harvest` brings its files out, `layers` proves all that on
this machine. The sandbox fails closed: where a required layer is missing, nothing runs.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from .cage import Cage, Inputs, Outcome, Python, Tools, checked_name
from .errors import BadInput
from .layers import Layer, Layers, probe
from .uids import own_uid
from .warden import confine

__all__ = ["Cage", "Layer", "Layers", "Outcome", "Python", "Sandbox", "Tools", "named_files", "probe"]

_AT_ONCE = 16  # cages side by side; each takes about ten descriptors
_ARGV_BYTES = 100_000  # within the kernel's 128 kB for one argument


class Sandbox:
    """Starts cages; one for each event loop. ``probe`` says which layers hold and is asked before every run."""

    def __init__(self, probe: Callable[[], Awaitable[Layers]] = probe, at_once: int = _AT_ONCE) -> None:
        self.probe = probe
        self._turns = asyncio.Semaphore(at_once)

    async def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, bytes | Path] | None = None,
        stdin: bytes = b"",
        limits: Cage | None = None,
        collect: Collection[str] | None = None,
    ) -> Outcome:
        """Run ``argv`` (found on the cage's PATH, or a path from /work) and hand back what it left.

        ``files`` maps relative names to contents or to files of this machine: read-only copies in /in, with a
        link in /work. ``collect`` names the files wanted back (None: all). Waits for a turn; waiting costs
        nothing of ``limits.seconds``. A program that is not there ends with 127, as in a shell.

        Raises `NoSandbox` when a required layer is missing, `BadInput` or `NotFound` for what is handed in.
        Cancelling kills the cage first.
        """
        limits = limits or Cage()
        _check(argv)
        layers = await self.probe()
        tools = layers.require()
        async with self._turns:
            with own_uid() as uid, Inputs() as inputs:
                inputs.hand_in(files or {}, stdin, limits.input_bytes)
                return await confine(
                    argv, tools=tools, python=layers.python, uid=uid, limits=limits, inputs=inputs,
                    collect=collect, layers=layers.names,
                )  # fmt: skip


def _check(argv: Sequence[str]) -> None:
    if not argv or not argv[0] or argv[0].startswith("-"):
        raise BadInput("no program named", hint="for example: python3 script.py")
    try:
        size = sum(len(os.fsencode(word)) for word in argv)
    except UnicodeEncodeError as error:
        raise BadInput(f"an argument is no text: {error}") from error
    if size > _ARGV_BYTES or any("\0" in word for word in argv):
        raise BadInput("arguments too long or with a zero byte", hint="hand long texts in as a file")


def named_files(argv: Sequence[str], extra: Sequence[Path] = ()) -> tuple[list[str], dict[str, Path]]:
    """For a command line typed by a human: hand in every file it names. Returns the command and its files.

    A relative path keeps its name; any other is handed in under its last part, and the argument says so then.
    Raises `BadInput` when two files would have one name.
    """
    words: list[str] = []
    files: dict[str, Path] = {}
    for place, word in enumerate([*argv, *map(str, extra)]):
        path = Path(word)
        program = place == 0 and ("/" not in word or word.startswith(("/usr/", "/bin/", "/sbin/")))
        if program or not _is_file(path):
            words.append(word)
            continue
        name = str(PurePosixPath(word))
        if path.is_absolute() or ".." in path.parts:
            name = path.name
        if files.setdefault(checked_name(name), path) != path:
            raise BadInput(f"two files named {name!r}", hint="copy them into one folder under two names")
        words.append(f"./{name}" if place == 0 else name)
    return words[: len(argv)], files


def _is_file(path: Path) -> bool:
    """False too where nobody can tell: a word too long for a name, or below a folder that is shut."""
    try:
        return path.is_file()
    except OSError:
        return False
