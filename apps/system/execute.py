"""`llmos exec`: one program in the sandbox, its output and its exit code."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...kernel.errors import BadInput, LimitExceeded, TimedOut
from ...kernel.sandbox import Cage, Outcome, Sandbox, named_files
from ...kernel.translate import translated
from . import sizes
from .display import clean, err, print_json
from .ending import Ending
from .handin import there
from .output import fault_line
from .piped import comes_within, is_piped, read_bytes

_LEAST, _MOST = 2**20, 2**40  # bytes of memory
_LONGEST = 24 * 3600.0  # seconds


def size(text: str) -> int:
    """Bytes of memory from ``256M``; raises `BadInput`."""
    try:
        found = sizes.size(text)
    except BadInput as wrong:
        raise BadInput(f"--memory: {wrong.message}", hint=wrong.hint) from None
    if not found:
        raise BadInput("--memory: no program runs in 0 bytes", hint="for example 256M or 1G")
    return found


async def run_caged(
    command: Sequence[str], extra: Sequence[Path], seconds: float, memory: str, keep: Path | None, *, as_json: bool
) -> int:
    """Run it and pass on what it says; returns its exit code, or 75 when a limit ended it."""
    check_there(extra)
    words, files = named_files(command, extra)
    limits = limits_of(seconds, memory)
    stdin = _piped_in(seconds, limits.input_bytes)
    ending = Ending()
    try:
        with ending.guard():
            outcome = await Sandbox().run(
                words, files=files, stdin=stdin, limits=limits, collect=None if keep or as_json else ()
            )
    finally:
        ending.release()
    left = _keep(outcome, keep) if keep else sorted(outcome.files)
    if as_json:
        print_json(_plain(outcome, left))
    else:
        _pass_on(outcome.stdout, sys.stdout)
        _pass_on(outcome.stderr, sys.stderr)
        explain(outcome, limits)
    return exit_code_of(outcome)


def check_there(files: Sequence[Path]) -> None:
    """Raise `BadInput` for the first of ``--file`` that is no file."""
    for path in files:
        if not there(path) or not path.is_file():
            raise BadInput(f"--file: no file {str(path)!r}", hint="check the spelling and where you are")


def limits_of(seconds: float, memory: str) -> Cage:
    """Limits as they are typed; raises `BadInput` for what is none."""
    if not 0 < seconds <= _LONGEST:  # nor is it "not a number"
        raise BadInput(f"--timeout: {seconds:g} is no time", hint=f"seconds, up to {_LONGEST:.0f}")
    count = size(memory)
    if not _LEAST <= count <= _MOST:
        raise BadInput(f"--memory: {memory} is too {'little' if count < _LEAST else 'much'}", hint="from 1M to 1024G")
    return Cage(seconds=seconds, memory=count)


def _piped_in(seconds: float, most: int) -> bytes:
    """All that is piped in, since the program may want it; whether it does, nobody can tell beforehand.

    So a pipe that stays open and silent is an error, not an empty input, which could pass for the real one.
    """
    if not is_piped():
        return b""
    if not comes_within(seconds):
        hint = "add < /dev/null for a program that reads nothing, or raise --timeout"
        raise TimedOut(f"nothing came on standard input within {seconds:g} s", hint=hint, seconds=seconds)
    return read_bytes(most)


def _keep(outcome: Outcome, folder: Path) -> list[str]:
    with translated():
        for name, content in outcome.files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    return sorted(outcome.files)


def _pass_on(content: bytes, stream: Any) -> None:
    """Bytes as they are, but nothing that steers a terminal."""
    if stream.isatty():
        stream.write(clean(content.decode(errors="replace")))
        stream.flush()
    elif content:
        stream.flush()
        stream.buffer.write(content)
        stream.buffer.flush()


def explain(outcome: Outcome, limits: Cage) -> None:
    """Say on standard error for which limit it was ended."""
    if outcome.killed_by:
        most = {"time": f"{limits.seconds:g} s", "memory": f"{limits.memory // 2**20} MiB"}
        allowed = most.get(outcome.killed_by, f"{limits.output // 2**10} KiB")
        fault = LimitExceeded(
            f"the program was ended: over its {outcome.killed_by} of {allowed}", hint="--timeout and --memory raise it"
        )
        err().print(fault_line(fault), soft_wrap=True)
    elif outcome.truncated:
        err().print(fault_line(LimitExceeded(f"the output was cut at {limits.output // 2**10} KiB")), soft_wrap=True)


def exit_code_of(outcome: Outcome) -> int:
    """The program's own, as a shell gives it; that of a limit where one ended it."""
    if outcome.killed_by:
        return LimitExceeded.exit_code
    return outcome.exit_code if outcome.exit_code is not None else 128 + (outcome.signal or 0)


def _plain(outcome: Outcome, left: list[str]) -> dict[str, Any]:
    return {
        "exit_code": outcome.exit_code, "signal": outcome.signal, "killed_by": outcome.killed_by,
        "stdout": outcome.stdout.decode(errors="replace"), "stderr": outcome.stderr.decode(errors="replace"),
        "truncated": outcome.truncated, "seconds": round(outcome.seconds, 3), "files": left,
        "left_out": list(outcome.left_out), "layers": list(outcome.layers),
    }  # fmt: skip
