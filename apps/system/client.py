"""Talking to the llmos that holds a home, from another terminal."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...kernel.errors import Unavailable, from_dict
from .home import Home

SOCKET = "control"
PATIENCE = 10.0
"""Seconds until a llmos that does not answer counts as hung."""


class NotRunning(Unavailable):
    """No llmos runs on this home."""

    code = "not_running"


@contextmanager
def short_path(folder: Path) -> Iterator[str]:
    """A path to a folder that always fits into a socket's address (107 bytes), valid inside the block."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def ask(home: Home, call: str, **fields: Any) -> Any:
    """One call of `control`; raises `NotRunning`, `Unavailable`, or the error that was answered."""
    return request(home, {"call": call, **fields})


def request(
    home: Home,
    asked: dict[str, Any],
    on_step: Callable[[dict[str, Any]], None] | None = None,
    patience: float = PATIENCE,
) -> Any:
    """As `ask`, and ``on_step`` gets what comes before the answer; ``patience``: seconds from line to line."""
    with connected(home) as line:
        line.settimeout(patience)
        try:
            line.sendall(json.dumps(asked).encode() + b"\n")
            with line.makefile("rb") as answers:
                answer = json.loads(answers.readline() or b"{}")
                while "step" in answer:
                    if on_step is not None:
                        on_step(answer["step"])
                    answer = json.loads(answers.readline() or b"{}")
        except (TimeoutError, ConnectionError) as problem:
            raise Unavailable(f"the llmos on {home.root} does not answer: {problem}", hint="end it") from None
    if "error" in answer:
        raise from_dict(answer["error"])
    if "ok" not in answer:
        raise Unavailable(f"the llmos on {home.root} hung up", hint="try again")
    return answer["ok"]


def connected(home: Home) -> socket.socket:
    """A socket to the llmos that holds a home; raises `NotRunning`, or `Unavailable`."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(PATIENCE)
    try:
        with short_path(home.run) as folder:
            line.connect(f"{folder}/{SOCKET}")
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        line.close()
        raise NotRunning(f"no llmos runs on {home.root}", hint="start one with llmos") from None
    except PermissionError:
        line.close()
        raise Unavailable(f"{home.run} is another user's", hint="name a home of your own with --home") from None
    except OSError as problem:  # hung, with more waiting for it than it takes
        line.close()
        raise Unavailable(f"the llmos on {home.root} does not answer: {problem}", hint="end it") from None
    return line
