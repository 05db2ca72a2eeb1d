import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.memory.context import POLICIES, Context
from llmos.memory.database import Database
from llmos.memory.faults import Full, Missing, TooLarge
from llmos.memory.pages import Kind, PageStore


def measure(messages) -> int:
    """A template in miniature: 3 tokens of markup a message, 2 for the answer to come, a token a letter."""
    return 2 + sum(3 + len(text) for _, text in messages)


@pytest.fixture
def database(tmp_path):
    found = Database(tmp_path / "llmos.db")
    yield found
    found.close()


@pytest.fixture
def store(database):
    return PageStore(database, 1)


def texts(messages):
    return [text for _, text in messages]


def test_what_leaves_keeps_its_handle_and_comes_back_whole(store):
    context = Context(30, measure, store)
    first = context.add("user", "a" * 10)
    context.add("user", "b" * 10)
    assert texts(context.window_for(0)) == ["a" * 10, "b" * 10]
    context.add("user", "c" * 5)
    assert texts(context.window_for(0)) == ["b" * 10, "c" * 5]
    assert context.evictions == 1
    assert context.fetch(first.handle).text == "a" * 10
    assert context.faults == 1
    assert context.fetch(first.handle).resident
    assert context.faults == 1  # it was there: no fault


def test_the_answers_room_and_what_is_asked_now_count(store):
    context = Context(30, measure, store)
    context.add("user", "a" * 10)
    assert texts(context.window_for(5, [("user", "x" * 2)])) == ["a" * 10, "xx"]
    assert texts(context.window_for(14, [("user", "x" * 2)])) == ["xx"]


def test_pinned_pages_stand_in_front_and_stay(store):
    context = Context(40, measure, store)
    context.add("user", "old" * 3)
    context.add("user", "pinned", kind=Kind.PINNED)
    context.add("system", "rules", kind=Kind.SYSTEM)
    assert texts(context.window_for(0)) == ["rules", "pinned", "old" * 3]
    assert texts(context.window_for(15)) == ["rules", "pinned"]


def test_what_must_stay_and_does_not_fit_is_an_error_and_nothing_leaves(store):
    context = Context(30, measure, store)
    context.add("system", "s" * 20, kind=Kind.SYSTEM)
    context.add("user", "a")
    with pytest.raises(TooLarge) as caught:
        context.window_for(10)
    assert (caught.value.tokens, caught.value.room) == (25, 20)
    assert all(page.resident for page in context.view().pages)


def test_a_page_larger_than_the_window_is_refused(store):
    with pytest.raises(TooLarge):
        Context(30, measure, store).add("user", "x" * 30)


def test_a_store_that_cannot_write_loses_nothing(store, monkeypatch):
    context = Context(30, measure, store)
    for letter in "abc":
        context.add("user", letter * 6)
    monkeypatch.setattr(store, "put", lambda pages: (_ for _ in ()).throw(Full("disk full")))
    with pytest.raises(Full):
        context.window_for(5)
    assert [p.text for p in context.view().pages] == ["a" * 6, "b" * 6, "c" * 6]
    assert all(p.resident for p in context.view().pages)


def test_a_store_that_cannot_be_written_keeps_the_page_when_it_is_fetched(store, monkeypatch):
    context = Context(30, measure, store)
    first = context.add("user", "a" * 10)
    context.window_for(0, [("user", "x" * 13)])
    with monkeypatch.context() as broken:
        broken.setattr(store, "remove", lambda handle: (_ for _ in ()).throw(Full("disk full")))
        with pytest.raises(Full):
            context.fetch(first.handle)
    assert (context.faults, context.view().pages[0].resident) == (0, False)
    assert context.fetch(first.handle).text == "a" * 10


def test_a_page_that_came_back_counts_as_new(store):
    context = Context(40, measure, store)
    for letter in "abc":
        context.add("user", letter * 8)
    assert texts(context.window_for(0)) == ["a" * 8, "b" * 8, "c" * 8]
    context.window_for(20)
    assert context.evictions == 2
    context.fetch("p1")
    assert texts(context.window_for(10)) == ["c" * 8, "a" * 8]


def test_the_largest_pages_leave_first_by_that_policy(store):
    context = Context(60, measure, store, policy=POLICIES["largest"])
    for text in ("a" * 5, "b" * 10, "c" * 15, "d" * 10):
        context.add("user", text)
    assert texts(context.window_for(10)) == ["a" * 5, "b" * 10, "d" * 10]
    assert texts(context.window_for(30)) == ["a" * 5, "d" * 10]


def test_a_page_counts_what_it_adds_to_a_prompt(store):
    context = Context(100, measure, store)
    pages = [context.add("user", "x" * size) for size in (0, 4, 20)]
    assert [page.tokens for page in pages] == [3, 7, 23]
    assert context.view().used == 2 + 3 + 7 + 23


def test_a_look_shows_the_first_words_of_pages_that_are_out(store):
    context = Context(120, measure, store)
    context.add("user", "where is\n my parcel? " + "x" * 80)
    context.window_for(60)
    (page,) = context.view().pages
    assert (page.resident, page.text) == (False, "")
    assert page.opening.startswith("where is my parcel? xx")


def test_pages_that_the_policy_holds_back_stay(store):
    context = Context(60, measure, store, policy=lambda pages: [p for p in pages if p.role != "tool"])
    context.add("tool", "t" * 10)
    context.add("user", "u" * 10)
    assert texts(context.window_for(40)) == ["t" * 10]
    with pytest.raises(TooLarge):
        context.window_for(50)


def test_a_long_history_is_measured_a_few_times_only(store):
    calls = []
    context = Context(900, lambda messages: calls.append(1) or measure(messages), store)
    for _ in range(200):
        context.add("user", "x" * 7)
    calls.clear()
    assert len(context.window_for(400)) == 49
    assert len(calls) <= 11
    calls.clear()
    assert len(context.window_for(400)) == 49
    assert len(calls) == 1


def test_an_unknown_handle_is_missing(store):
    with pytest.raises(Missing):
        Context(30, measure, store).fetch("p9")


def test_closing_leaves_no_page_in_the_store(store, database):
    context = Context(20, measure, store)
    for letter in "abcdef":
        context.add("user", letter * 8)
        context.window_for(0)
    assert database.one("SELECT count(*) FROM pages") == (5,)
    context.close()
    assert database.one("SELECT count(*) FROM pages") == (0,)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "pin", "fetch", "drop", "show"]), st.integers(0, 40), st.integers(0, 30)
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS, st.integers(8, 120), st.sampled_from(sorted(POLICIES)))
def test_never_over_the_budget_nothing_lost_pinned_always_there(actions, window, policy):
    class Shelf:
        """A store in memory, as strict as the real one."""

        def __init__(self):
            self.kept = {}

        def put(self, pages):
            self.kept |= {p.handle: p.text for p in pages}

        def text(self, handle):
            return self.kept[handle]

        def remove(self, handle):
            self.kept.pop(handle)

        def clear(self):
            self.kept.clear()

    shelf = Shelf()
    context, written = Context(window, measure, shelf, policy=POLICIES[policy]), {}
    for action, number, size in actions:
        if action in ("add", "pin"):
            kind = Kind.PINNED if action == "pin" else Kind.DIALOGUE
            text = chr(97 + len(written) % 26) * size
            try:
                written[context.add("user", text, kind=kind).handle] = text
            except TooLarge:
                assert measure([("user", text)]) >= window
        elif written and action == "fetch":
            handle = sorted(written)[number % len(written)]
            assert context.fetch(handle).text == written[handle]
        elif written and action == "drop":
            handle = sorted(written)[number % len(written)]
            context.drop(handle)
            del written[handle]
        else:
            extra = [("user", "q" * (size % 5))]
            pinned = [p.text for p in context.view().pages if p.kind.pinned]
            try:
                messages = context.window_for(number, extra)
            except TooLarge:
                assert measure([("user", t) for t in pinned] + extra) + number > window
                continue
            assert measure(messages) + number <= window
            assert texts(messages)[: len(pinned)] == pinned
        assert set(shelf.kept) == {p.handle for p in context.view().pages if not p.resident}
    assert {p.handle for p in context.view().pages} == set(written)
    for handle, text in written.items():
        assert context.fetch(handle).text == text
