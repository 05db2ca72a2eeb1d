"""The child that reads files (``python -m llmos.memory.ingest.worker PARENT``): whatever a file does, it does it here.

A request is one line of JSON; requests are answered in order:

    {"path", "name", "digest", "most"}  ->  {"pieces": [[text, title, meta], …], "at": bytes}, any number of times, then
                                            {"same": {…}}, {"done": {…}} or {"refused": [code, message, hint]}

It has bounds on memory and open files and may write none. Computing time is counted anew for each file: when it is
over, SIGPROF ends the child. One that has grown ends by itself after a file, and another takes its place.
"""

import ctypes
import json
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from typing import Any

from .blocks import Document, Piece, Refused, of_the_system
from .kinds import kind_of, reader
from .nature import Nature, examine
from .splitting import split

MEMORY = 3 * 2**29  # bytes of address space
SECONDS = 60  # of computing for a file, and one more for every `PACE` bytes
PACE = 2**20
EXPANSION = 8  # a file may hold so many times its bytes as text,
LEAST_TEXT = 2**24  # and so many characters in any case
_GROWN = 2**19  # KiB of resident memory from which on the child is replaced
_BATCH = 64  # pieces of a line
_HEAD = 8

Answer = dict[str, Any]


def main() -> None:
    """Answer requests until there are no more."""
    if not _bound(int(sys.argv[1])):
        sys.exit(1)
    for line in sys.stdin:
        for answer in _answers(json.loads(line)):
            sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
            sys.stdout.flush()
        signal.setitimer(signal.ITIMER_PROF, 0)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > _GROWN:
            return


def _bound(parent: int) -> bool:
    """Set the bounds; False where the parent has ended before it could take us with it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        least = most if hard < 0 else min(most, hard)
        resource.setrlimit(kind, (least, least))
    return os.getppid() == parent


def _answers(asked: Answer) -> Iterator[Answer]:
    try:
        yield from _read(asked)
    except Refused as refused:
        yield _refusal(refused)
    except OSError as problem:
        yield _refusal(of_the_system(problem))
    except MemoryError:
        yield _refusal(Refused("memory", f"needs more than {MEMORY / 2**30:.1f} GiB to be read", "split it"))
    except Exception as problem:  # noqa: BLE001 - the edge of foreign parsers on foreign files
        said = " ".join(f"{type(problem).__name__}: {problem}".split())[:200]
        yield _refusal(Refused("damaged", f"cannot be read: {said}", "it may be damaged: save it anew"))


def _refusal(refused: Refused) -> Answer:
    return {"refused": [refused.code, refused.message, refused.hint]}


def _read(asked: Answer) -> Iterator[Answer]:
    # Not a link that took the file's place since it was found, and no waiting for whoever opens a pipe's other end.
    handle = os.open(asked["path"], os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        before = os.fstat(handle)
        _check(before, asked["most"])
        signal.setitimer(signal.ITIMER_PROF, SECONDS + before.st_size / PACE)
        nature = examine(file)
        facts = {"digest": nature.digest, "size": before.st_size, "mtime_ns": before.st_mtime_ns}
        if nature.digest == asked["digest"]:
            yield {"same": facts}
            return
        file.seek(0)
        head = file.read(_HEAD)
        file.seek(0)
        document = Document(file, asked["name"], before.st_size, nature.encoding)
        kind = kind_of(document, head)
        _remark(document, nature)
        yield from _pieces(document, kind)
        after = os.fstat(handle)
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise Refused("changed", "changed while it was read", "add it again when it rests")
        yield {"done": {**facts, "kind": kind, "notes": document.notes}}


def _check(found: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Refused("special", "is no regular file", "")
    if found.st_size > most:
        size, limit = f"{found.st_size / 2**20:,.0f} MiB", f"{most / 2**20:,.0f}"
        raise Refused("large", f"has {size}, more than {limit}", "raise the limit with --max-size, or split it")
    if not found.st_size:
        raise Refused("empty", "is empty", "")


def _remark(document: Document, nature: Nature) -> None:
    if nature.broken:
        document.notes.append("some bytes are no UTF-8 and were replaced")
    elif nature.encoding and nature.encoding not in ("utf-8", "utf-8-sig"):
        document.notes.append(f"read as {nature.encoding}")


def _pieces(document: Document, kind: str) -> Iterator[Answer]:
    """Lines of pieces; raises `Refused` for a file that holds no text, or out of all proportion to its size."""
    batch: list[Piece] = []
    most = max(LEAST_TEXT, EXPANSION * document.size)
    total = 0
    for piece in split(reader(kind)(document), document.stem):
        batch.append(piece)
        total += len(piece.text)
        if total > most:
            raise Refused("large", f"unfolds to more than {most:,} characters", "save its text alone")
        if len(batch) == _BATCH:
            yield _line(batch, document)
            batch = []
    if batch:
        yield _line(batch, document)
    if not total:
        raise Refused("empty", "holds no text", "")


def _line(batch: list[Piece], document: Document) -> Answer:
    return {"pieces": [[p.text, p.title, p.meta] for p in batch], "at": document.file.tell()}


if __name__ == "__main__":
    main()
