"""What is piped in. It is read only for whoever works on it: a loop around llmos may be reading the same pipe."""

import os
import select
import stat
import sys

from ...kernel.errors import BadInput, LimitExceeded

MOST = 64 * 2**20
"""Bytes of text that are taken in for an app."""


def is_piped() -> bool:
    """Whether standard input is a pipe or a file; a terminal or a device has nothing to give."""
    try:
        kind = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):  # closed, or replaced by something without a file
        return False
    return stat.S_ISFIFO(kind) or stat.S_ISREG(kind)


def comes_within(seconds: float) -> bool:
    """Whether something, or the end, is there to be read before so much time has passed."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def read_bytes(most: int) -> bytes:
    """All that is piped in, to its end; raises `LimitExceeded` for more than ``most`` bytes."""
    found = sys.stdin.buffer.read(most + 1)
    if len(found) > most:
        raise LimitExceeded(f"more than {most / 2**20:.0f} MiB are piped in", hint="pipe in less", limit="input")
    return found


def read_text() -> str:
    """All that is piped in, as text with lines that end in ``\\n``."""
    try:
        text = read_bytes(MOST).decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("standard input is not UTF-8 text", hint="convert it, for example with iconv") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
