"""A user id of its own for every cage that root starts.

A process of root's own id reads /etc/shadow through any bind mount, and no RLIMIT_NPROC binds it. So each
cage gets an id that owns nothing and is in use by no other cage; an ordinary user's cage keeps the user's id.
"""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import NoSandbox

# Ranges that neither distributions nor systemd give out (systemd, docs/UIDS-GIDS.md); the second lies
# within the 65,536 ids of a container. Half-open.
_RANGES = (range(0x7000_0000, 0x7001_0000), range(60_578, 61_184))
_TRIES = 64


def free_range() -> range | None:
    """The ids root may give to cages; None where this user namespace maps none of them."""
    mapped = [_mapped(Path(f"/proc/self/{kind}_map").read_text()) for kind in ("uid", "gid")]
    for ids in _RANGES:
        if all(any(ids[0] in m and ids[-1] in m for m in extents) for extents in mapped):
            return ids
    return None


def _mapped(text: str) -> list[range]:
    """Ids that exist in this namespace, from lines of ``first-inside first-outside count``."""
    rows = (line.split() for line in text.splitlines())
    return [range(int(first), int(first) + int(count)) for first, _, count in rows]


@contextmanager
def own_uid() -> Iterator[int | None]:
    """Hold an unused id for the length of the block; None when this process is not root.

    The claim is an abstract socket named after the id: exclusive on the machine, gone with its holder.
    Raises `NoSandbox` when no id can be had.
    """
    if os.geteuid() != 0:
        yield None
        return
    ids = free_range() or range(0)
    for _ in range(_TRIES if ids else 0):
        uid = secrets.choice(ids)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
            try:
                claim.bind(f"\0llmos-cage-{uid}")
            except OSError:
                continue
            yield uid
            return
    raise NoSandbox("no user id is free for the sandbox", hint="run llmos as an ordinary user")
