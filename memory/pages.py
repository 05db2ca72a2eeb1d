"""Pages: spans of context with a stable handle, and the store that holds them all, those in a window too."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from .checks import verify
from .database import Database
from .faults import DamagedRow

OPENING = 80  # characters of a page that stay in sight when it is out
Write = Callable[[sqlite3.Connection], Any]


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

    handle: str  # "p7", a part of a longer text "p7.2": stable within the process, never used again
    role: str  # system, user, assistant or tool
    kind: Kind
    text: str  # "" while it is out
    tokens: int  # what it adds to a prompt by itself: its text and the template's markup around it
    place: int  # order in the window
    label: str = "trusted"
    resident: bool = True
    opening: str = ""  # its first words; they stay when the text leaves
    importance: float = 0.5  # 0 to 1
    part_of: str = ""  # "p7" for its parts p7.1, p7.2, …
    covers: tuple[str, ...] = ()  # a summary's: the pages that it sums up
    touched: int = 0  # when it was added, fetched or recalled, on the clock of `place`
    recalled: bool = False  # it had left and came back, so it no longer stands where it was said

    @property
    def message(self) -> tuple[str, str]:
        """Role and content as the model sees them. What stands out of its order is data, and says where it is from."""
        if not self.recalled:
            return self.role, self.text
        return "tool", f"{self.handle}, from earlier, {self.role}:\n{self.text}"

    def follows(self, other: "Page") -> bool:
        """Whether it goes on where the other one, a part of the same text, ends."""
        return bool(self.part_of) and other.part_of == self.part_of and self.number == other.number + 1

    @property
    def number(self) -> int:
        """Which part of its text it is, from 1; 0 for a whole one."""
        return int(self.handle.rpartition(".")[2]) if self.part_of else 0


def shown(pages: Iterable[Page]) -> list[tuple[str, str]]:
    """The messages of resident pages in their order; neighbouring parts of one text are one message."""
    found: list[tuple[str, str]] = []
    before: Page | None = None
    for page in pages:
        if before is not None and page.follows(before) and page.recalled is before.recalled:
            found[-1] = (found[-1][0], found[-1][1] + page.text)
        else:
            found.append(page.message)
        before = page
    return found


def opening(text: str) -> str:
    """The first words of a text, on one line."""
    return " ".join(text[:OPENING].split())


@dataclass(frozen=True)
class Header:
    """What a context is apart from its pages, as the table ``contexts`` has it."""

    policy: str
    low: float
    compact: int
    clock: int
    texts: int
    out: int
    faults: int
    evictions: int
    stubs: Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """What became of a context since the last time, in values that nothing changes any more."""

    header: Header
    pages: tuple[Page, ...]  # new or changed; those that are out are in the store already
    gone: tuple[str, ...]  # dropped
    covered: tuple[tuple[str, str], ...]  # (summary, page)
    bared: tuple[tuple[str, str], ...]  # (page, summary that was dropped)
    resident: tuple[str, ...] | None = None  # if given, all others are out


class PageStore:
    """The tables ``contexts`` and ``pages`` as one process sees them. Any thread."""

    def __init__(self, database: Database, pid: int) -> None:
        self._database = database
        self.pid = pid

    def write(self, change: Change) -> Write:
        """The writing of a change; may be run twice."""
        pid = self.pid
        whole = [_values(pid, page) for page in change.pages if page.resident]
        moved = [(p.resident, p.recalled, p.place, p.touched, pid, p.handle) for p in change.pages if not p.resident]
        gone = [(pid, handle) for handle in change.gone]
        covered = [(summary, pid, handle) for summary, handle in change.covered]
        bared = [(pid, handle, summary) for handle, summary in change.bared]
        state = json.dumps(asdict(change.header), ensure_ascii=False)
        resident = None if change.resident is None else json.dumps(change.resident)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(_HEAD, (pid, state))
            connection.executemany(_PUT, whole)
            connection.executemany(_MOVE, moved)
            connection.executemany("DELETE FROM pages WHERE pid = ? AND handle = ?", gone)
            connection.executemany("UPDATE pages SET summary = ? WHERE pid = ? AND handle = ?", covered)
            connection.executemany(_BARE, bared)
            if resident is not None:
                connection.execute(_OTHERS_OUT, (pid, resident))

        return write

    def put(self, pages: Iterable[Page]) -> None:
        """Store those of the pages that are not there yet; on disk when this returns."""
        wanted = {page.handle: page for page in pages}
        missing = wanted.keys() - self.present(wanted) if wanted else ()
        if missing:
            with self._database.transaction() as connection:
                connection.executemany(_PUT, [_values(self.pid, wanted[handle]) for handle in missing])

    def find(self, handle: str) -> list[Page]:
        """The page of a handle, or all parts of a text, in order, with their texts; none where there is no such."""
        rows = self._database.rows(f"{_ALL} WHERE pid = ? AND handle = ?", (self.pid, handle))
        if not rows:  # "/" comes after "."
            sql = f"{_ALL} WHERE pid = ? AND handle > ? AND handle < ?"
            rows = self._database.rows(sql, (self.pid, f"{handle}.", f"{handle}/"))
        return sorted((_page(row) for row in rows), key=lambda page: page.number)

    def present(self, handles: Iterable[str]) -> set[str]:
        """Those of the handles that stand in the store."""
        sql = "SELECT handle FROM pages WHERE pid = ? AND handle IN (SELECT value FROM json_each(?))"
        return {handle for (handle,) in self._database.rows(sql, (self.pid, json.dumps(list(handles))))}

    def out(self, resident: Sequence[str], most: int) -> list[Page]:
        """The ``most`` pages that were last in the window and left it, in their order there; without texts."""
        rows = self._database.rows(
            f"{_ALL} WHERE pid = ? AND handle NOT IN (SELECT value FROM json_each(?)) ORDER BY place DESC LIMIT ?",
            (self.pid, json.dumps(list(resident)), most),
        )
        pages = [_page(row) for row in reversed(rows)]
        for page in pages:
            page.text, page.resident = "", False
        return pages

    def uncovered(self, most: int) -> list[Page]:
        """The ``most`` oldest pages that are out and that no summary stands for, summaries aside."""
        sql = f"{_ALL} WHERE pid = ? AND resident = 0 AND summary = '' AND kind != 'summary' ORDER BY place LIMIT ?"
        return [_page(row) for row in self._database.rows(sql, (self.pid, most))]

    def load(self) -> tuple[Header, list[Page]] | None:
        """The header and the resident pages as of the last change; None where nothing was written.

        Pages of a call whose outcome was not recorded are removed: the call will be made again.
        """
        row = self._database.one("SELECT state, digest FROM contexts WHERE pid = ?", (self.pid,))
        if row is None:
            self.clear()
            return None
        verify("contexts", self.pid, row[1], self.pid, row[0])
        header = Header(**json.loads(row[0]))
        self._database.run("DELETE FROM pages WHERE pid = ? AND place > ?", (self.pid, header.clock))
        rows = self._database.rows(f"{_ALL} WHERE pid = ? AND resident = 1 ORDER BY place", (self.pid,))
        return header, [_page(row) for row in rows]

    def clear(self) -> None:
        """Forget the context with all its pages and what was made of them."""
        with self._database.transaction() as connection:
            for table in ("contexts", "pages"):
                connection.execute(f"DELETE FROM {table} WHERE pid = ?", (self.pid,))


_HEAD = "INSERT INTO contexts VALUES (?, ?) ON CONFLICT (pid) DO UPDATE SET state = excluded.state"
_COLUMNS = "handle, role, kind, label, tokens, place, touched, importance, resident, recalled, part_of, covers, text"
_SOUND = (
    "digest IS digest(id, pid, handle, role, kind, label, tokens, place, touched, importance, resident, recalled,"
    " part_of, covers, summary, text)"
)
_ALL = f"SELECT {_COLUMNS}, pid, {_SOUND} FROM pages"
_PUT = (
    f"INSERT INTO pages (pid, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (pid, handle) DO UPDATE SET resident = excluded.resident, recalled = excluded.recalled,"
    " place = excluded.place, touched = excluded.touched, tokens = excluded.tokens"
)
_BARE = "UPDATE pages SET summary = '' WHERE pid = ? AND handle = ? AND summary = ?"
_MOVE = "UPDATE pages SET resident = ?, recalled = ?, place = ?, touched = ? WHERE pid = ? AND handle = ?"
_OTHERS_OUT = (
    "UPDATE pages SET resident = 0 WHERE pid = ? AND resident = 1"
    " AND handle NOT IN (SELECT value FROM json_each(?))"
)  # fmt: skip


def _values(pid: int, page: Page) -> tuple[Any, ...]:
    return (
        pid, page.handle, page.role, page.kind.value, page.label, page.tokens, page.place, page.touched,
        page.importance, page.resident, page.recalled, page.part_of, json.dumps(page.covers), page.text,
    )  # fmt: skip


def _page(row: tuple[Any, ...]) -> Page:
    *columns, pid, sound = row
    handle, role, kind, label, tokens, place, touched, importance, resident, recalled, part_of, covers, text = columns
    if not sound:
        raise DamagedRow("pages", f"{pid}/{handle}")
    return Page(
        handle, role, Kind(kind), text, tokens, place, label, bool(resident), opening(text), importance, part_of,
        tuple(json.loads(covers)), touched, bool(recalled),
    )  # fmt: skip
