"""What readers give and take: a file, blocks of its text, pieces of a passage's length, and the refusal of a file."""

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, BinaryIO

IGNORED = frozenset({"binary", "empty", "unsupported", "special", "link"})
"""Refusals that are no failure when the file was met in a folder; named by its path, it is one."""


class Refused(Exception):
    """A file that cannot be taken: ``code`` is stable, the message one line about the file, the hint what to do."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def of_the_system(problem: OSError) -> Refused:
    """What the system says against a file, in words for a user."""
    match problem.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return Refused("missing", "is not there", "check the spelling and where you are")
        case errno.ELOOP:
            return Refused("link", "is a link, or a ring of them", "name what it points to")
        case errno.ENAMETOOLONG:
            return Refused("name", "has too long a name", "give it a shorter one")
        case errno.EACCES | errno.EPERM:
            return Refused("unreadable", "may not be read", "check its permissions")
    return Refused("unreadable", f"cannot be read: {problem.strerror}", "try again")


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a list, a record: what belongs together."""

    text: str
    heading: tuple[str, ...] = ()  # from the outermost
    where: Mapping[str, int] = field(default_factory=dict)  # {"line": 12}, {"page": 3}, {"record": 7}: all count from 1
    record: bool = False  # complete in itself: needs no overlap with what stands beside it


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one passage; ``meta`` holds its position and the headings above it."""

    text: str
    title: str
    meta: dict[str, Any]


@dataclass
class Document:
    """A file that is being read. ``notes`` are one line each, about what was not as it should be."""

    file: BinaryIO
    name: str
    size: int
    encoding: str  # "" for one that is no text
    notes: list[str] = field(default_factory=list)

    @property
    def stem(self) -> str:
        """The name of the file as a title, when it has no other."""
        return PurePath(self.name).stem


Reader = Callable[[Document], Iterator[Block]]
