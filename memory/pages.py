"""Pages: spans of context with a stable handle, and the store that holds what left the window."""

from dataclasses import dataclass
from enum import Enum

from .database import Database


class Kind(Enum):
    """What a page is; the first two never leave the window."""

    SYSTEM = "system"
    PINNED = "pinned"
    DIALOGUE = "dialogue"
    TOOL = "tool"
    RECALLED = "recalled"
    SUMMARY = "summary"

    @property
    def pinned(self) -> bool:
        """Whether pages of this kind stay for good."""
        return self in (Kind.SYSTEM, Kind.PINNED)


@dataclass
class Page:
    """One page. Owned by its `Context`."""

    handle: str  # "p7": stable within the process, never used again
    role: str  # system, user, assistant or tool
    kind: Kind
    text: str
    tokens: int  # what it adds to a prompt: its text and the template's markup around it
    place: int  # order in the window
    label: str = "trusted"
    resident: bool = True
    opening: str = ""  # its first words; they stay when the text leaves


class PageStore:
    """The table ``pages`` as one process sees it."""

    def __init__(self, database: Database, pid: int) -> None:
        self._database = database
        self._pid = pid
        self._used = False  # a process that never evicts never touches the disk

    def put(self, pages: list[Page]) -> None:
        """Store pages; they are on disk when this returns."""
        self._used = True
        rows = [(self._pid, p.handle, p.role, p.kind.value, p.label, p.text, p.tokens, p.place) for p in pages]
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def text(self, handle: str) -> str:
        """The text of a stored page."""
        row = self._database.one("SELECT text FROM pages WHERE pid = ? AND handle = ?", (self._pid, handle))
        assert row is not None, f"page {handle} was evicted but is not in the store"
        return str(row[0])

    def remove(self, handle: str) -> None:
        """Forget a page."""
        if self._used:
            self._database.run("DELETE FROM pages WHERE pid = ? AND handle = ?", (self._pid, handle))

    def clear(self) -> None:
        """Forget all pages of the process."""
        if self._used:
            self._database.run("DELETE FROM pages WHERE pid = ?", (self._pid,))
