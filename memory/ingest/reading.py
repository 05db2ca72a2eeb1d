"""The parent of the child that reads: hands it files, a few ahead, and tells what became of each."""

import json
import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .blocks import Piece, Refused

TICK = 0.1
"""Seconds that may pass without a word; then there is a `Tick`."""
_AHEAD = 2**15  # bytes of requests under way: what a pipe takes at once, so that neither side waits for the other
_BLOCK = 2**16


@dataclass(frozen=True)
class Job:
    """A file to be read. ``digest`` is that of its content when it was last read, "" for a new one."""

    path: str
    name: str  # how users and passages know it
    size: int
    digest: str = ""


@dataclass(frozen=True)
class Facts:
    """A file that was read to its end; ``same``: its digest is that of the job."""

    job: Job
    digest: str
    size: int
    mtime_ns: int
    same: bool
    kind: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """Pieces of a file, in order; ``at``: bytes of it that have been read."""

    job: Job
    pieces: list[Piece]
    at: int


@dataclass(frozen=True)
class Failed:
    """A file that was refused, perhaps after some of its parts."""

    job: Job
    refused: Refused


class Tick:
    """Nothing happened for `TICK` seconds."""


def read(jobs: Iterable[Job], most: int) -> Iterator[Part | Facts | Failed | Tick]:
    """Read files of at most ``most`` bytes, in order; closing the generator ends the child."""
    queue = _Queue(jobs, most)
    while queue.fill() or queue.under_way:
        with _Child() as child:
            queue.send_all(child)
            while queue.under_way:
                answer = child.answer()
                if answer is None:
                    yield Tick()
                elif not answer:
                    break
                else:
                    told = _told(queue.first, answer)
                    if not isinstance(told, Part):
                        queue.done()
                        queue.fill(child)
                    yield told
            code = child.ended() if queue.under_way else 0
        if code:
            yield Failed(queue.done(), _death(code))


class _Queue:
    """Files that wait and, in order, those that are under way: they are handed to the next child where one ends."""

    def __init__(self, jobs: Iterable[Job], most: int) -> None:
        self._waiting = iter(jobs)
        self._most = most
        self._size = 0  # bytes of the requests under way
        self.under_way: deque[tuple[Job, bytes]] = deque()

    @property
    def first(self) -> Job:
        """The file that is being read."""
        return self.under_way[0][0]

    def fill(self, child: "_Child | None" = None) -> bool:
        """Take up as many as may be under way, and hand them to the child; False when there are no more."""
        while self._size < _AHEAD:
            job = next(self._waiting, None)
            if job is None:
                return False
            asked = {"path": job.path, "name": job.name, "digest": job.digest, "most": self._most}
            line = json.dumps(asked).encode() + b"\n"
            self.under_way.append((job, line))
            self._size += len(line)
            if child is not None:
                child.send(line)
        return True

    def send_all(self, child: "_Child") -> None:
        """Hand a new child all that is under way."""
        for _, line in self.under_way:
            child.send(line)

    def done(self) -> Job:
        """The first is no longer under way."""
        job, line = self.under_way.popleft()
        self._size -= len(line)
        return job


def _told(job: Job, answer: dict[str, Any]) -> Part | Facts | Failed:
    match answer:
        case {"pieces": list(pieces), "at": int(at)}:
            return Part(job, [Piece(text, title, meta) for text, title, meta in pieces], at)
        case {"same": dict(facts)}:
            return Facts(job, **facts, same=True)
        case {"done": dict(facts)}:
            return Facts(job, **facts, same=False)
    return Failed(job, Refused(*answer["refused"]))


def _death(code: int) -> Refused:
    if code == -signal.SIGPROF:
        return Refused("slow", "takes too long to be read", "it may be damaged: save it anew, or split it")
    said = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Refused("damaged", f"made its reader end ({said})", "it may be damaged: save it anew")


class _Child:
    """One run of `worker`."""

    def __enter__(self) -> "_Child":
        # -P: the folder we are in must not be searched for modules. A session of its own: Ctrl-C is for us, who end it.
        line = [sys.executable, "-P", "-m", "llmos.memory.ingest.worker", str(os.getpid())]
        self._program = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            bufsize=0,
        )  # fmt: skip
        assert self._program.stdin
        assert self._program.stdout
        self._in, self._out = self._program.stdin.fileno(), self._program.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._held = bytearray()
        return self

    def send(self, line: bytes) -> None:
        """Hand it a request. One that is gone does not take it, which `answer` will tell."""
        try:
            os.write(self._in, line)
        except BrokenPipeError:
            return

    def answer(self) -> dict[str, Any] | None:
        """The next line; None if there is none within `TICK`, {} when there will be no more."""
        end = self._held.find(b"\n")
        while end < 0:
            if not self._poll.poll(TICK * 1000):
                return None
            block = os.read(self._out, _BLOCK)
            if not block:
                return {}
            end = block.find(b"\n")
            end = end + len(self._held) if end >= 0 else -1
            self._held += block
        line = self._held[:end]
        del self._held[: end + 1]
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ended(self) -> int:
        """How it ended: its exit code, or minus the number of a signal."""
        return self._program.wait()

    def __exit__(self, *_: object) -> None:
        self._program.kill()
        self._program.wait()
        for pipe in (self._program.stdin, self._program.stdout):
            assert pipe
            pipe.close()
