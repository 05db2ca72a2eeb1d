"""What can go wrong in memory; the kernel translates these for users.

MemoryFault
├── Missing       no such file, page or passage
│   └── MissingFile
├── Full          the disk or a quota is full, or may not be written
├── Damaged       what is stored cannot be read as what it should be
│   ├── DamagedFile
│   └── DamagedRow
├── BadPath       a name that leaves the tree or cannot be a name
├── TooLarge      more tokens than there is room for
└── Held          somebody else writes it
"""

from pathlib import Path


class MemoryFault(Exception):
    """Base: ``message`` is one line, ``hint`` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Missing(MemoryFault):
    """There is no such thing."""


class MissingFile(Missing):
    """A file that belongs to llmos is not there."""

    def __init__(self, path: Path, message: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {message}", hint=hint)
        self.path = path


class Full(MemoryFault):
    """No room on the disk or within a quota, or no permission to write."""


class Damaged(MemoryFault):
    """Stored data cannot be read as what it should be."""


class DamagedFile(Damaged):
    """A file of data is not what it should be."""

    def __init__(self, path: Path, message: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {message}", hint=hint)
        self.path = path


class DamagedRow(Damaged):
    """A row of ``table`` is not as it was written."""

    def __init__(self, table: str, key: object) -> None:
        super().__init__(
            f"{table} {key} is damaged: its checksum is not that of its content",
            hint="llmos doctor shows all that is damaged; restore a copy",
        )
        self.table = table
        self.key = key


class NotText(Damaged):
    """A file is read as text and is none."""


class BadPath(MemoryFault):
    """A path that leaves its tree, or a name that cannot be one."""


class TooLarge(MemoryFault):
    """``tokens`` are needed where there is room for ``room``."""

    def __init__(self, tokens: int, room: int, what: str = "the text") -> None:
        super().__init__(f"{what} takes {tokens} tokens where {room} fit", hint=f"shorten it by {tokens - room} tokens")
        self.tokens = tokens
        self.room = room


class Held(MemoryFault):
    """Somebody else is writing."""
