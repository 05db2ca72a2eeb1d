"""A random history of all that memory keeps, through the real code, and all that is to be seen of it afterwards."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from llmos.memory.database import Database
from llmos.memory.faults import Missing
from llmos.memory.files import FileStore, FileTree
from llmos.memory.journal import Asked, Journal, appending, entries
from llmos.memory.mail import put as put_mail
from llmos.memory.mail import waiting
from llmos.memory.pages import Kind, Page, PageStore
from llmos.memory.passages import Passage
from llmos.memory.recall import Recall
from llmos.memory.records import Records

OWNER = {"owner": "ann", "app": "support"}
QUERIES = ("parcel late", "refund", "word7 word8", "w3", "nothing of it")


class Letters:
    """An embedder that counts letters."""

    name, dim = "letters", 26

    def embed(self, texts):
        counts = np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], dtype=np.float32)
        counts = counts.reshape(-1, 26)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), np.float32(1))


def tree(database: Database) -> FileTree:
    """The files of the one owner."""
    return FileTree(FileStore(database, 10**7, clock=lambda: 12.0), "ann", "support")


class Machine:
    """The parts of memory on one store."""

    def __init__(self, database: Database, seed: int = 0) -> None:
        self.database = database
        self.journal = Journal(database)
        self.records = Records(database)
        self.files = tree(database)
        self.recall = Recall(database, Letters(), clock=lambda: 12.0)
        self._dice = random.Random(seed)
        self.kinds = (
            self._start,
            self._ask,
            self._answer,
            self._finish,
            self._remember,
            self._forget,
            self._turn,
            self._write,
            self._append,
            self._delete,
        )
        self._asked: list[tuple[int, Asked]] = []  # calls without an outcome

    def close(self) -> None:
        self.recall.close()
        self.journal.close()
        self.database.close()

    def act(self) -> None:
        """Do something at random; acknowledged when it returns."""
        self._dice.choice(self.kinds)()

    def seen(self) -> dict[str, Any]:
        """All that a user can see of the store meanwhile, see `seen`."""
        return _view(self.database, self.recall)

    def _post(self, write: Callable[..., Any]) -> Any:
        return self.journal.post(write).result(timeout=30)

    def _text(self, longest: int = 40) -> str:
        words = ("parcel", "late", "refund", "ü", "小包", *(f"word{n}" for n in range(20)))
        return " ".join(self._dice.choices(words, k=self._dice.randrange(1, longest)))

    def _start(self) -> None:
        pid = self.records.next_pid()
        self._post(
            self.records.entering(
                pid, parent=None, owner="ann", app="support", args={"q": self._text()}, priority="batch", started=1.5
            )
        )

    def _ask(self) -> None:
        pid = self._dice.randrange(1, 5)
        self._asked.append((pid, self._post(appending(pid, "send", {"text": self._text(200)}))))

    def _answer(self) -> None:
        if self._asked:
            pid, asked = self._asked.pop()
            text = self._text(200)
            effect = [lambda connection: put_mail(connection, pid, asked.n, text)]
            self._post(self.journal.ending(pid, asked.id, True, {"text": text}, effect))

    def _finish(self) -> None:
        alive = self.records.alive()
        if alive:
            self._post(self.records.finishing(self._dice.choice(alive).pid, exit_code=0, result=self._text()))

    def _remember(self) -> None:
        many = [
            Passage(self._text(60), key=f"k{self._dice.randrange(30)}", title=self._text(4))
            for _ in range(self._dice.randrange(1, 4))
        ]
        self.recall.remember(many, **OWNER)

    def _forget(self) -> None:
        self.recall.forget([f"default/k{self._dice.randrange(30)}"], **OWNER)

    def _turn(self) -> None:
        pid, place = self._dice.randrange(1, 5), self._dice.randrange(1, 40)
        PageStore(self.database, pid).put([Page(f"p{place}", "user", Kind.DIALOGUE, self._text(80), 9, place)])

    def _path(self) -> str:
        return f"folder{self._dice.randrange(2)}/file{self._dice.randrange(4)}.txt"

    def _write(self) -> None:
        self.files.write(self._path(), self._text(400).encode())

    def _append(self) -> None:
        self.files.append(self._path(), self._text(400).encode())

    def _delete(self) -> None:
        with suppress(Missing):
            self.files.delete(self._path())


def seen(database: Database) -> dict[str, Any]:
    """All that a user can see of a store that was opened anew, without what the clock says."""
    recall = Recall(database, Letters(), clock=lambda: 12.0)
    try:
        return _view(database, recall)
    finally:
        recall.close()


def _view(database: Database, recall: Recall) -> dict[str, Any]:
    found = {
        query: [(hit.handle, hit.text, round(hit.score, 5), hit.created) for hit in recall.search(query, k=50, **OWNER)]
        for query in QUERIES
    }
    got = [recall.get(f"default/k{n}", **OWNER) for n in range(30)]
    count = recall.count(**OWNER)
    journal = [
        {k: v for k, v in asdict(entry).items() if k not in ("asked", "ended")}
        for pid in range(1, 5)
        for entry in entries(database, pid)
    ]
    listing = [
        {k: v for k, v in asdict(record).items() if k != "finished"} | {"ended": record.finished is not None}
        for record in Records(database).listing(everything=True)
    ]
    mail = [waiting(database, pid) for pid in range(1, 5)]
    pages = [[page for n in range(1, 40) for page in PageStore(database, pid).find(f"p{n}")] for pid in range(1, 5)]
    return {
        "found": found,
        "got": got,
        "count": count,
        "journal": journal,
        "records": listing,
        "mail": mail,
        "pages": pages,
    }


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Files as they were found; the path of the store."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder / "llmos.db"
