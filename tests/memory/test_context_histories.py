"""10,000 random histories: never over the window, nothing lost, and what is written is what there is."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from llmos.memory.context import Context
from llmos.memory.database import Database
from llmos.memory.faults import TooLarge
from llmos.memory.pages import Kind, PageStore
from llmos.memory.policies import POLICIES

HISTORIES = 10_000
WORDS = ["ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "oak", "pine", "rowan.", "willow,", "yew!\n\n"]


def measure(messages) -> int:
    """A template in miniature: 3 tokens of markup a message, 2 for the answer to come, a token a letter."""
    return 2 + sum(3 + len(text) for _, text in messages)


class History:
    """One random life of a context, and beside it what it has to hold."""

    def __init__(self, database: Database, number: int) -> None:
        self.draw = random.Random(number)
        self.window = self.draw.choice([self.draw.randint(8, 150), self.draw.randint(150, 900)])
        self.store = PageStore(database, 1)
        self.database = database
        self.context = Context(self.window, measure, self.store)
        self.tune()
        self.failed = False
        self.texts: dict[str, str] = {}  # by page
        self.pinned: set[str] = set()

    def text(self) -> str:
        letters = self.draw.choice([self.draw.randint(0, 40), self.draw.randint(0, self.window)])
        text = " ".join(self.draw.choices(WORDS, k=1 + letters // 5))
        return text[:letters]

    def handle(self) -> str:
        page = self.draw.choice(sorted(self.texts))
        return page.partition(".")[0] if self.draw.random() < 0.3 else page

    def parts(self, handle: str) -> list[str]:
        return [page for page in self.texts if page == handle or page.partition(".")[0] == handle]

    def step(self) -> None:
        actions = ["add"] * 6 + ["summary", "pin"] + (["fetch"] * 2 + ["drop", "recall", "recall"]) * bool(self.texts)
        action = self.draw.choice([*actions, "show", "show", "write", "fail", "restart", "tune"])
        getattr(self, action)()
        assert self.context.view(0).used <= self.window
        if self.draw.random() < 0.3:
            self.look()

    def look(self) -> None:
        view = self.context.view(10_000)
        assert {page.handle for page in view.pages} == set(self.texts)
        assert {page.handle for page in view.pages if not page.resident and page.text} == set()
        assert view.out == sum(not page.resident for page in view.pages)
        assert self.pinned <= {page.handle for page in view.pages if page.resident}

    def add(self, kind: Kind = Kind.DIALOGUE, covers: tuple[str, ...] = ()) -> None:
        text, role = self.text(), self.draw.choice(["user", "assistant", "tool"])
        before = self.context.view(5)
        try:
            pages = self.context.add(role, text, kind=kind, importance=self.draw.random(), covers=covers)
        except TooLarge:
            assert self.context.view(5) == before
            return
        assert len({page.handle for page in pages} & set(self.texts)) == 0
        held = {p.handle: p.text if p.resident else self.context.peek([p.handle])[0].text for p in pages}
        assert "".join(held.values()) == text
        self.texts |= held
        if kind.pinned:
            self.pinned |= {page.handle for page in pages}

    def summary(self) -> None:
        handles = sorted(self.texts)
        self.add(Kind.SUMMARY, tuple(self.draw.sample(handles, min(3, len(handles)))))

    def pin(self) -> None:
        self.add(self.draw.choice([Kind.PINNED, Kind.SYSTEM]))

    def fetch(self) -> None:
        handle, before = self.handle(), self.context.view(5)
        try:
            pages = self.context.fetch(handle)
        except TooLarge:
            assert self.context.view(5) == before
            return
        assert sorted(page.handle for page in pages) == sorted(self.parts(handle))
        assert all(page.resident and page.text == self.texts[page.handle] for page in pages)

    def drop(self) -> None:
        handle = self.handle()
        gone = self.parts(handle)
        assert self.context.drop(handle) == len(gone)
        for page in gone:
            del self.texts[page]
            self.pinned.discard(page)

    def recall(self) -> None:
        handles = self.draw.sample(sorted(self.texts), min(len(self.texts), self.draw.randint(1, 6)))
        back = self.context.peek(handles)
        assert all(page.text == self.texts[page.handle] for page in back)
        self.show(back)

    def show(self, back=()) -> None:
        reserve, extra = self.draw.randint(0, self.window), [("user", "q" * self.draw.randint(0, 5))]
        faults = self.context.faults
        try:
            plan = self.context.plan(reserve, extra, back)
        except TooLarge:
            pinned = [(p.role, p.text) for p in self.context.view().pages if p.kind.pinned]
            assert measure([*pinned, *extra]) + reserve > self.window
            return
        assert measure(plan.messages) + reserve <= self.window
        if self.draw.random() < 0.3 and self.texts:  # another call of the same process comes between
            self.draw.choice([self.drop, self.add])()
        self.context.apply(plan)
        assert self.context.faults - faults <= len(plan.back)

    def write(self) -> None:
        if (write := self.context.changes()) is not None:
            with self.database.transaction() as connection:
                write(connection)

    def fail(self) -> None:
        """A commit that did not come about."""
        if self.context.changes() is not None:
            self.context.dirty_all()
            self.failed = True

    def restart(self) -> None:
        """What was written comes back, to the letter."""
        self.write()
        back = Context.restore(self.window, measure, self.store)
        was, now = self.context.view(10_000), back.view(10_000)
        if self.failed:  # then it may be forgotten where a page that is out had stood
            was, now = (replace(v, pages=tuple(p for p in v.pages if p.resident)) for v in (was, now))
        assert now == was
        self.context = back

    def tune(self) -> None:
        self.context.tune(policy=self.draw.choice(sorted(POLICIES)), low=self.draw.choice([0.0, 0.3, 0.5, 0.9, 1.0]))

    def live(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
        self.look()
        for handle in sorted(self.texts):
            page = self.context.peek([handle]) or [p for p in self.context.view().pages if p.handle == handle]
            assert page[0].text == self.texts[handle], "a text was lost"
        self.context.store.clear()
        for table in ("pages", "contexts", "page_terms", "page_vectors"):
            assert self.database.one(f"SELECT count(*) FROM {table}") == (0,)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    found = Database(Path(tmp_path_factory.mktemp("histories")) / "llmos.db")
    found.rows("PRAGMA synchronous = OFF")  # what is proved here is not that it is on disk
    yield found
    found.close()


@pytest.mark.parametrize("portion", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 10))])
def test_random_histories(shelf, portion):
    for number in range(portion * HISTORIES // 10, (portion + 1) * HISTORIES // 10):
        history = History(shelf, number)
        try:
            history.live(history.draw.randint(1, 24))
        except BaseException:
            print(f"history {number}")
            shelf.run("DELETE FROM pages")
            shelf.run("DELETE FROM contexts")
            raise
