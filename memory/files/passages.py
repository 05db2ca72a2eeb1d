"""What the search for meaning knows of files: their text as passages in `Recall`, kept up with the tree.

The passages stand under an app name that no app can have, in a collection for each folder below the owner's root, which
is what one app sees. They are keyed by node, not by path: a rename embeds nothing anew. The search itself brings them
up to date, within what is searched: who never searches pays nothing, and what a crash left undone, the next one does.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..faults import Damaged, Missing, NotText
from ..recall import Passage, Recall
from .lines import text_of
from .nodes import Node
from .store import FileStore, OnProgress

APP = "system.files"
MOST_TEXT = 4 << 20  # bytes at the beginning of a file that are read
WORDS = 160  # of a passage; more where a paragraph goes on, but never twice as many
_BATCH = 250  # passages or files written at once
_WORD = re.compile(r"\S+")

Blocks = Callable[["Placed"], Iterator[bytes]]
"""The content of a file's newest version."""


@dataclass(frozen=True)
class Placed:
    """A file that is there; ``top`` is the node of the folder below the root that it is in, 0 for the root itself."""

    path: str
    node: Node
    top: int


@dataclass(frozen=True)
class _Known:
    version: int  # 0: not settled, something was under way
    top: int
    passages: int  # no more than these are stored


class Index:
    """The passages of one owner's files. Whoever calls it holds ``store.indexing``."""

    def __init__(self, store: FileStore, recall: Recall, owner: str) -> None:
        self._database = store.database
        self._recall = recall
        self._owner = owner

    def refresh(self, files: Sequence[Placed], top: int | None, blocks: Blocks, on_progress: OnProgress | None) -> None:
        """Bring the passages up to date with these files: all below ``top``, or all of the owner's."""
        there = {file.node.id for file in files}
        known = self._known(there, top)
        for number in known.keys() - there:
            self._forget(number, known[number])
        stale = [f for f in files if not _current(f, known.get(f.node.id))]
        batch: list[tuple[Placed, list[Passage]]] = []
        for done, file in enumerate(stale, 1):
            was = known.get(file.node.id)
            if was is not None and was.top != file.top:  # another app sees it now
                self._forget(file.node.id, known.pop(file.node.id))
            try:
                batch.append((file, passages(file.node.id, text(file, blocks))))
            except (Damaged, Missing):  # is looked at again by the next search
                continue
            if len(batch) + sum(len(found) for _, found in batch) >= _BATCH:
                self._remember(batch, known)
                batch = []
            if on_progress is not None:
                on_progress(done / len(stale))
        self._remember(batch, known)

    def prune(self) -> None:
        """Forget the passages of files that are there no longer; without it, the next search does."""
        gone = self._database.rows(
            "SELECT i.node, i.version, i.top, i.passages FROM files_indexed AS i LEFT JOIN nodes AS n ON n.id = i.node"
            " WHERE i.owner = ? AND coalesce(n.gone, 1) = 1", (self._owner,),
        )  # fmt: skip
        for number, *known in gone:
            self._forget(number, _Known(*known))

    def _known(self, there: set[int], top: int | None) -> dict[int, _Known]:
        rows = self._database.rows(
            "SELECT node, version, top, passages FROM files_indexed WHERE owner = ?", (self._owner,)
        )
        return {number: _Known(*rest) for number, *rest in rows if top in (None, rest[1]) or number in there}

    def _remember(self, batch: Sequence[tuple[Placed, list[Passage]]], known: dict[int, _Known]) -> None:
        """Store the passages of files in place of those they had; the table never knows of fewer than there are."""
        old = {file.node.id: known.get(file.node.id, _Known(0, file.top, 0)).passages for file, _ in batch}
        self._settle([(f, 0, max(old[f.node.id], len(found))) for f, found in batch])
        for top in {file.top for file, _ in batch}:
            part = [passage for file, found in batch if file.top == top for passage in found]
            if part:
                self._recall.remember(part, owner=self._owner, app=APP, collection=str(top))
        for file, found in batch:
            if len(found) < old[file.node.id]:
                self._drop(file.node.id, file.top, range(len(found), old[file.node.id]))
        self._settle([(f, f.node.current, len(found)) for f, found in batch])

    def _settle(self, rows: Sequence[tuple[Placed, int, int]]) -> None:
        values = [(f.node.id, version, self._owner, f.top, count) for f, version, count in rows]
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO files_indexed VALUES (?, ?, ?, ?, ?)", values)

    def _forget(self, node: int, was: _Known) -> None:
        self._drop(node, was.top, range(was.passages))
        self._database.run("DELETE FROM files_indexed WHERE node = ?", (node,))

    def _drop(self, node: int, top: int, numbers: Iterable[int]) -> None:
        self._recall.forget([f"{top}/{key(node, n)}" for n in numbers], owner=self._owner, app=APP)


def _current(file: Placed, known: _Known | None) -> bool:
    return known is not None and (known.version, known.top) == (file.node.current, file.top)


def key(node: int, number: int) -> str:
    """Names a passage within its collection."""
    return f"{node}:{number}"


def text(file: Placed, blocks: Blocks) -> str:
    """The beginning of a file; "" where it is no text."""
    data = bytearray()
    for block in blocks(file):
        data += block
        if len(data) > MOST_TEXT:
            return data[:MOST_TEXT].decode(errors="ignore") if b"\0" not in data else ""
    try:
        return text_of(file.path, bytes(data))
    except NotText:
        return ""


def passages(node: int, text: str) -> list[Passage]:
    """A text in passages of some `WORDS` words that end with a paragraph where they can, each with its first line."""
    found: list[Passage] = []
    lines: list[str] = []
    begin, count, heading = 1, 0, ""

    def close(after: int) -> None:
        nonlocal lines, begin, count
        if count:
            meta = {"node": node, "line": begin}
            found.append(Passage("\n".join(lines).rstrip(), key(node, len(found)), title=heading, meta=meta))
        lines, begin, count = [], after, 0

    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#") and line.lstrip("#").startswith(" "):
            close(number)
            heading = line.lstrip("# ").strip()
        for part in _parts(line):
            words = len(_WORD.findall(part))
            if count and (count + words > 2 * WORDS):
                close(number)
            lines.append(part)
            count += words
        if count >= WORDS and not line.strip():
            close(number + 1)
    close(0)
    return found


def _parts(line: str) -> list[str]:
    """A line, or the parts of a very long one."""
    words = list(_WORD.finditer(line))
    if len(words) <= WORDS:
        return [line[start : start + 10 * WORDS] for start in range(0, len(line), 10 * WORDS)] or [""]
    cuts = [0, *(words[n].start() for n in range(WORDS, len(words), WORDS)), len(line)]
    return [line[a:b] for a, b in pairwise(cuts)]
