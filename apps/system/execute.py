"""`llmos exec`: one program in the sandbox, its output and its exit code."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...kernel.errors import BadInput, LimitExceeded
from ...kernel.sandbox import Cage, Outcome, Sandbox, named_files
from ...kernel.translate import translated
from .display import clean, err, print_json
from .output import fault_line
from .run import piped_in

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def size(text: str) -> int:
    """Bytes from ``256M``; raises `BadInput`."""
    number, unit = text.strip().upper().removesuffix("IB").removesuffix("B"), ""
    if number[-1:] in _UNITS:
        number, unit = number[:-1], number[-1:]
    if not number.isdigit() or not int(number):
        raise BadInput(f"--memory: {text!r} is no size", hint="for example 256M or 1G")
    return int(number) * _UNITS[unit]


async def run_caged(
    command: Sequence[str], extra: Sequence[Path], seconds: float, memory: str, keep: Path | None, *, as_json: bool
) -> int:
    """Run it and pass on what it says; returns its exit code, or 75 when a limit ended it."""
    for path in extra:
        if not path.is_file():
            raise BadInput(f"--file: no file {str(path)!r}", hint="check the spelling and where you are")
    words, files = named_files(command, extra)
    limits = Cage(seconds=seconds, memory=size(memory))
    outcome = await Sandbox().run(
        words, files=files, stdin=piped_in().encode(), limits=limits, collect=None if keep or as_json else ()
    )
    left = _keep(outcome, keep) if keep else sorted(outcome.files)
    if as_json:
        print_json(_plain(outcome, left))
    else:
        _pass_on(outcome.stdout, sys.stdout)
        _pass_on(outcome.stderr, sys.stderr)
        _explain(outcome, limits)
    return _exit_code(outcome)


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


def _explain(outcome: Outcome, limits: Cage) -> None:
    if outcome.killed_by:
        most = {"time": f"{limits.seconds:g} s", "memory": f"{limits.memory // 2**20} MiB"}
        allowed = most.get(outcome.killed_by, f"{limits.output // 2**10} KiB")
        fault = LimitExceeded(
            f"the program was ended: over its {outcome.killed_by} of {allowed}", hint="--timeout and --memory raise it"
        )
        err().print(fault_line(fault), soft_wrap=True)
    elif outcome.truncated:
        err().print(fault_line(LimitExceeded(f"the output was cut at {limits.output // 2**10} KiB")), soft_wrap=True)


def _exit_code(outcome: Outcome) -> int:
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
