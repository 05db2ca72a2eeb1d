"""Execute: a program in the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.cage import Cage
from . import calls as c

if TYPE_CHECKING:
    from .gate import Call


async def execute(call: Call, request: c.Execute) -> c.Executed:
    """Run it; text files that it leaves come back, others are passed over."""
    outcome = await call.machine.parts.sandbox.run(
        request.argv,
        files={name: text.encode() for name, text in request.files.items()},
        stdin=request.stdin.encode(),
        limits=Cage(seconds=request.seconds, memory=request.memory),
    )
    return c.Executed(
        exit_code=outcome.exit_code, stdout=outcome.stdout.decode(errors="replace"),
        stderr=outcome.stderr.decode(errors="replace"), truncated=outcome.truncated,
        killed_by=outcome.killed_by, seconds=outcome.seconds, files=_texts(outcome.files),
    )  # fmt: skip


def _texts(files: dict[str, bytes]) -> dict[str, str]:
    found = {}
    for name, data in files.items():
        try:
            found[name] = data.decode()
        except UnicodeDecodeError:
            continue
    return found
