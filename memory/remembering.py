"""Changes of collections in two parts: what takes long is done first, and what is seen happens at once, in one write.

Many passages are put down step by step in a collection that nobody sees, and then moved where they belong. What is
replaced or forgotten is moved out of sight in the same way, and swept away later, step by step. So the lock of the
store is held for moments only, and after a crash all of a change is there or nothing.
"""

import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .database import Database
from .embedder import Vectors
from .embedders import Embedders, Known
from .keywords import Indexed
from .passages import EVERYTHING, Passage, Row
from .spaces import Space, delete, find_space, insert, make_hidden, move, next_turn, write_vectors
from .turns import in_steps
from .upkeep import Progress
from .vectors import Mark

STEP = 50  # passages written, or deleted, in one transaction: some 10 ms, in which all others wait


@dataclass(frozen=True)
class New:
    """A passage on its way in."""

    row: Row
    indexed: Indexed
    vectors: dict[int, Vectors]  # by the number of the embedder


@dataclass
class UnderWay:
    """What the changes under way hold on to."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: set[str] = field(default_factory=set)  # names of collections in which passages wait
    whole: set[int] = field(default_factory=set)  # collections that will be forgotten; no two changes count one passage
    single: set[int] = field(default_factory=set)  # passages that will be


class Remembering:
    """Passages on their way into a collection. `write` may run in any transaction; then `close`, or `close` alone."""

    def __init__(
        self,
        db: Database,
        embedders: Embedders,
        under_way: UnderWay,
        space: Space,
        passages: Sequence[Passage],
        now: float,
    ) -> None:
        """Embeds and puts down what is new; takes as long as that takes."""
        rows = [passage.row() for passage in passages]
        self.handles = [f"{space.name}/{row[0]}" for row in rows]
        self._db, self._embedders, self._under_way, self._space, self._now = db, embedders, under_way, space, now
        self._wanted = {row[0]: row for row in rows}  # of one key the last
        there = space.find(self._wanted)
        self._same = {key: number for key, (number, row) in there.items() if row == self._wanted[key]}
        new = [row for key, row in self._wanted.items() if key not in self._same]
        self._new = {one.row[0]: one for one in self._made(new)}
        self._name = ""  # of the collection where they wait
        self._waiting: dict[str, int] = {}
        if len(new) > STEP:
            self._put_down()

    def write(self, connection: sqlite3.Connection) -> None:
        """Let the collection hold all of them; what others have changed since is replaced too."""
        there = self._space.numbers(self._wanted)
        wanting = [key for key in self._wanted if key not in there or self._same.get(key) != there[key]]
        if not wanting:
            return
        missing = [self._wanted[key] for key in wanting if key not in self._new]  # forgotten since, or replaced
        new = self._new | {one.row[0]: one for one in self._made(missing)}
        put_away(connection, [there[key] for key in wanting if key in there])
        turn = next_turn(connection, self._space.id)
        numbers = {key: self._waiting[key] for key in wanting if key in self._waiting}
        move(connection, numbers.values(), self._space.id, turn)
        for key in wanting:
            if key not in numbers:
                numbers[key] = insert(connection, self._space.id, turn, new[key].row, new[key].indexed, self._now)
        for known in self._embedders.all():
            self._write_vectors(connection, known, {numbers[key]: new[key] for key in wanting})

    def close(self) -> None:
        """It was written, or will not be: what still waits may be swept away."""
        self._under_way.waiting.discard(self._name)

    def _made(self, rows: Sequence[Row]) -> list[New]:
        known = self._embedders.all() if rows else []
        texts, numbers = [(row[2], row[1]) for row in rows], [one.id for one in known]
        columns = [one.vectors(texts) for one in known]
        return [
            New(row, Indexed.of(title=row[2], text=row[1]), dict(zip(numbers, vectors, strict=True)))
            for row, *vectors in zip(rows, *columns, strict=True)
        ]

    def _put_down(self) -> None:
        self._name = f"/{secrets.token_hex(8)}"
        self._under_way.waiting.add(self._name)
        with self._db.transaction() as connection:
            collection = make_hidden(connection, self._name)
        for part in in_steps(list(self._new.items()), STEP):
            with self._db.transaction() as connection:
                some = {key: insert(connection, collection, 0, n.row, n.indexed, self._now) for key, n in part}
                for known in self._embedders.all():
                    self._write_vectors(connection, known, {some[key]: new for key, new in part})
            self._waiting |= some

    def _write_vectors(self, connection: sqlite3.Connection, known: Known, new: dict[int, New]) -> None:
        """Those of one embedder, but for what waited and has its own; one that was put to use since embeds now."""
        waited = set(self._waiting.values())
        have = {n for n in new if n in waited and known.id in new[n].vectors}
        made = {n: one.vectors[known.id] for n, one in new.items() if n not in have and known.id in one.vectors}
        late = [n for n in new if n not in have and n not in made]
        made |= dict(zip(late, known.vectors([(new[n].row[2], new[n].row[1]) for n in late]), strict=True))
        write_vectors(connection, known.id, list(made), list(made.values()))


class Forgetting:
    """Passages on their way out. `write` may run in any transaction; then `close`, or `close` alone."""

    def __init__(
        self, db: Database, under_way: UnderWay, handles: Iterable[str], whole: Space | None, owner: str, app: str
    ) -> None:
        """``whole`` is a collection that goes as it is now. ``count`` tells how many passages go."""
        self._under_way, self._turn = under_way, 0
        self._whole: Space | None = None
        self._single: set[int] = set()
        asked: dict[str, list[str]] = {}
        for name, _, key in (handle.partition("/") for handle in handles):
            asked.setdefault(name, []).append(key)
        with under_way.lock:
            for name, keys in asked.items():
                space = find_space(db, owner, app, name)
                if space and space.id not in under_way.whole:
                    self._single |= set(space.numbers(keys).values()) - under_way.single
            self.count = len(self._single)
            if whole and whole.id not in under_way.whole:
                self._whole = whole
                count, self._turn = whole.state()
                self.count += count - len(whole.matching(EVERYTHING, under_way.single | self._single))
                under_way.whole.add(whole.id)
            under_way.single |= self._single

    def write(self, connection: sqlite3.Connection) -> None:
        """Take them out of sight."""
        put_away(connection, self._single)
        if self._whole is None:
            return
        space = self._whole
        later = [row[0] for row in connection.execute(
            "SELECT id FROM passages WHERE collection = ? AND turn > ?", (space.id, self._turn))]  # fmt: skip
        owner, app, name = connection.execute(
            "SELECT owner, app, name FROM collections WHERE id = ?", (space.id,)
        ).fetchone()
        connection.execute(
            "UPDATE collections SET owner = '', app = '', name = ? WHERE id = ?", (f"/{secrets.token_hex(8)}", space.id)
        )
        if later:  # remembered meanwhile: that stays
            sql = "INSERT INTO collections (owner, app, name, turn) VALUES (?, ?, ?, 1)"
            move(connection, later, int(connection.execute(sql, (owner, app, name)).lastrowid or 0), 1)

    def close(self) -> None:
        """It was written, or will not be."""
        with self._under_way.lock:
            self._under_way.single -= self._single
            if self._whole:
                self._under_way.whole.discard(self._whole.id)


def put_away(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Move passages where nobody sees them, to be swept away."""
    if numbers := list(numbers):
        move(connection, numbers, make_hidden(connection, f"/{secrets.token_hex(8)}"), 0)


def sweep(db: Database, under_way: UnderWay, space: Space) -> Iterator[Progress]:
    """Delete a collection that nobody sees, step by step, unless somebody is about to move what is in it."""
    if space.name in under_way.waiting:
        return
    total = space.state()[0]
    while numbers := [mark.key for mark in space.after(Mark(), STEP)]:
        with db.transaction() as connection:
            delete(connection, numbers)
        yield Progress("sweeping away what was forgotten", total - space.state()[0], total)
    db.run("DELETE FROM collections WHERE id = ?", (space.id,))
