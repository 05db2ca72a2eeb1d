from itertools import pairwise

import pytest
from llmos.memory.context import Context
from llmos.memory.faults import Full, Missing, TooLarge
from llmos.memory.pages import Kind, PageStore
from llmos.memory.policies import POLICIES
from llmos.memory.rendering import PAGE


def measure(messages) -> int:
    """A template in miniature: 3 tokens of markup a message, 2 for the answer to come, a token a letter."""
    return 2 + sum(3 + len(text) for _, text in messages)


@pytest.fixture
def store(database):
    return PageStore(database, 1)


def texts(messages):
    return [text for _, text in messages]


def back(handle: str, text: str, role: str = "user") -> str:
    """How a page is shown that had left."""
    return f"{handle}, from earlier, {role}:\n{text}"


def commit(context, database) -> None:
    write = context.changes()
    assert write is not None
    with database.transaction() as connection:
        write(connection)


def test_what_leaves_keeps_its_handle_and_comes_back_whole(store):
    context = Context(60, measure, store, low=1.0)
    (first,) = context.add("user", "a" * 20)
    context.add("user", "b" * 20)
    assert texts(context.window_for(0)) == ["a" * 20, "b" * 20]
    context.add("user", "c" * 15)
    assert texts(context.window_for(0)) == ["b" * 20, "c" * 15]
    assert (context.evictions, context.out) == (1, 1)
    (again,) = context.fetch(first.handle)
    assert (again.text, again.handle, context.faults) == ("a" * 20, first.handle, 1)
    assert context.fetch(first.handle)[0].resident
    assert context.faults == 1  # it was there: no fault


def test_what_comes_back_stands_at_the_end_as_data_and_says_where_it_is_from(store):
    context = Context(100, measure, store, low=1.0)
    for letter in "abcd":
        context.add("assistant", letter * 25)
    assert texts(context.window_for(0)) == ["b" * 25, "c" * 25, "d" * 25]
    context.fetch("p1")
    assert context.window_for(0)[-1] == ("tool", back("p1", "a" * 25, "assistant"))
    assert context.view().pages[-1].recalled


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


def test_pinned_pages_that_would_fill_the_window_are_refused_and_nothing_changes(store):
    context = Context(60, measure, store)
    context.add("user", "a" * 20)
    context.add("system", "s" * 25, kind=Kind.SYSTEM)
    before = context.view()
    with pytest.raises(TooLarge):
        context.add("user", "p" * 40, kind=Kind.PINNED)
    assert context.view() == before


def test_once_one_page_leaves_more_do_so_that_the_rest_stands_still_for_long(store):
    context = Context(1000, measure, store, low=0.5)
    fronts, evictions = [], []
    for number in range(60):
        context.add("user", f"{number:02}" + "x" * 45)
        fronts.append(texts(context.window_for(100))[:2])
        evictions.append(context.evictions)
    assert len(set(evictions)) <= 10  # of 60 turns, these moved something
    changed = sum(one != other for one, other in pairwise(fronts[1:]))
    assert changed <= 9


def test_a_store_that_cannot_write_loses_nothing(store, monkeypatch):
    context = Context(30, measure, store)
    for letter in "abc":
        context.add("user", letter * 6)
    monkeypatch.setattr(store, "put", lambda pages: (_ for _ in ()).throw(Full("disk full")))
    with pytest.raises(Full):
        context.window_for(5)
    assert [p.text for p in context.view().pages] == ["a" * 6, "b" * 6, "c" * 6]
    assert all(p.resident for p in context.view().pages)


def test_a_page_that_leaves_before_its_call_has_ended_is_in_the_store_all_the_same(store, database):
    context = Context(40, measure, store)
    context.add("user", "a" * 20)
    context.add("user", "b" * 20)
    assert not context.view().pages[0].resident
    assert database.one("SELECT text FROM pages WHERE handle = 'p1'") == ("a" * 20,)


def test_the_text_of_a_page_that_is_out_is_not_kept_in_memory(store):
    context = Context(40, measure, store)
    (page,) = context.add("user", "a" * 20)
    context.add("user", "b" * 20)
    assert page.text == ""
    assert context.resident() == {"p2"}


@pytest.mark.parametrize(
    ("policy", "stay"),
    [("oldest", "cd"), ("recency", "ad"), ("importance", "bd"), ("largest", "acd"), ("cost", "cd")],
)
def test_policies_choose_by_name(store, policy, stay):
    context = Context(120, measure, store, policy=policy, low=1.0)
    for letter, size, importance in (("a", 18, 0.1), ("b", 22, 0.9), ("c", 17, 0.1), ("d", 18, 0.5)):
        context.add("user", letter * size, importance=importance)
    context.fetch("p1")  # it was there all the time: touched, no more
    shown = texts(context.window_for(120 - 66 if policy == "largest" else 120 - 48))
    assert "".join(text[0] for text in shown) == stay


def test_by_cost_what_a_query_brought_leaves_first_then_what_has_a_summary(store):
    context = Context(400, measure, store, policy="cost", low=1.0)
    for letter in "abcd":
        context.add("user", letter * 20)
    context.window_for(400 - 3 * 23 - 2)
    context.fetch("p1")
    context.add("tool", "s" * 20, kind=Kind.SUMMARY, covers=["p3"])
    order = POLICIES["cost"](context.view().pages)
    assert [page.handle for page in order] == ["p1", "p3", "p2", "p4", "p5"]


def test_the_policy_can_be_changed_while_it_runs(store):
    context = Context(100, measure, store, low=1.0)
    for size in (10, 30, 20):
        context.add("user", "x" * size)
    context.tune(policy="largest")
    assert texts(context.window_for(60)) == ["x" * 10, "x" * 20]
    assert context.view().policy == "largest"


def test_pages_that_the_policy_holds_back_stay(store, monkeypatch):
    monkeypatch.setitem(POLICIES, "not tools", lambda pages: [p for p in pages if p.role != "tool"])
    context = Context(60, measure, store, policy="not tools")
    context.add("tool", "t" * 10)
    context.add("user", "u" * 10)
    assert texts(context.window_for(40)) == ["t" * 10]
    with pytest.raises(TooLarge):
        context.window_for(50)


def test_a_page_counts_what_it_adds_to_a_prompt(store):
    context = Context(100, measure, store)
    pages = [context.add("user", "x" * size)[0] for size in (0, 4, 20)]
    assert [page.tokens for page in pages] == [3, 7, 23]
    assert context.view().used == 2 + 3 + 7 + 23


def test_a_look_shows_the_first_words_of_pages_that_are_out_and_as_many_as_asked_for(store):
    context = Context(120, measure, store)
    context.add("user", "where is\n my parcel? " + "x" * 40)
    context.window_for(60)
    (page,) = context.view().pages
    assert (page.resident, page.text) == (False, "")
    assert page.opening.startswith("where is my parcel? xx")
    context.add("user", "y" * 50)
    context.window_for(100)
    assert [page.handle for page in context.view(1).pages] == ["p2"]
    assert (context.view(0).pages, context.view(0).out) == ((), 2)


def test_a_long_history_is_measured_a_few_times_only(store):
    calls = []
    context = Context(900, lambda messages: calls.append(1) or measure(messages), store, low=1.0)
    for _ in range(80):
        context.add("user", "x" * 7)
    calls.clear()
    assert len(context.window_for(400)) > 30
    assert len(calls) <= 12
    calls.clear()
    context.window_for(400)
    assert len(calls) == 1


def test_a_plan_moves_nothing_until_it_is_applied(store):
    context = Context(80, measure, store)
    for letter in "abc":
        context.add("user", letter * 20)
    before = context.view()
    plan = context.plan(40)
    assert context.view() == before
    assert context.changes() is not None  # the pages themselves
    context.apply(plan)
    assert context.view().evictions == len(plan.leave) > 0


def test_an_unknown_handle_is_missing(store):
    context = Context(30, measure, store)
    for act in (context.fetch, context.drop):
        with pytest.raises(Missing, match="no page 'p9'"):
            act("p9")
    with pytest.raises(Missing):
        context.add("tool", "a summary", covers=["p9"])


# -- long texts --

STORY = "\n\n".join(f"Chapter {n} begins here. It goes on for a while, and then it ends." for n in range(30))


def test_a_long_text_becomes_pages_that_say_which_text_they_belong_to(store):
    context = Context(4000, measure, store)
    pages = context.add("user", STORY)
    assert "".join(page.text for page in pages) == STORY
    assert {page.part_of for page in pages} == {"p1"}
    assert [page.handle for page in pages] == [f"p1.{n}" for n in range(1, len(pages) + 1)]
    assert all(page.tokens <= PAGE for page in pages)
    assert all(page.text.endswith("\n\n") for page in pages[:-1])
    assert texts(context.window_for(0)) == [STORY]  # the model sees it as it was given


def test_a_text_larger_than_the_window_can_be_added_and_asked_for_page_by_page(store):
    context = Context(800, measure, store)
    pages = context.add("user", STORY)
    assert context.out > 0
    assert context.view().used <= 800
    found = {p.handle: p.text for p in context.peek(["p1"])} | {
        p.handle: p.text for p in context.view().pages if p.text
    }
    assert "".join(found[page.handle] for page in pages) == STORY
    with pytest.raises(TooLarge):
        context.fetch("p1")
    assert context.fetch("p1.2")[0].text == found["p1.2"]
    assert context.drop("p1") == len(pages)
    assert context.view().pages == ()


def test_a_word_that_never_ends_is_cut_too(store):
    context = Context(4000, measure, store)
    assert "".join(page.text for page in context.add("user", "x" * 1000)) == "x" * 1000


def test_a_page_that_cannot_be_shown_at_all_is_refused(store):
    with pytest.raises(TooLarge):
        Context(30, measure, store).add("user", "x" * 30)


# -- queries --


def test_what_a_query_brings_is_there_however_the_policy_would_have_it(store):
    context = Context(300, measure, store, policy="largest")
    for number in range(12):
        context.add("user", f"{number:02}" + "x" * (40 if number == 1 else 20))
    assert "p2" not in context.resident()
    plan = context.plan(150, back=context.peek(["p2"]))
    assert ("tool", back("p2", "01" + "x" * 40)) in plan.messages
    context.apply(plan)
    assert (context.faults, "p2" in context.resident()) == (1, True)


def test_a_query_brings_no_more_than_its_share_best_first(store):
    context = Context(400, measure, store)
    for number in range(40):
        context.add("user", f"{number:02}" + "x" * 30)
    asked = ["p9", "p3", "p7", "p1", "p5", "p2", "p4"]
    plan = context.plan(40, [("user", "?")], context.peek(asked))
    came = [page.handle for page in plan.back]
    assert sorted(came) == sorted(asked[: len(came)])
    assert 1 < len(came) < len(asked)
    assert measure(plan.messages) + 40 <= 400


# -- stubs --


def talk(store, window=2048, turns=40):
    context = Context(window, measure, store)
    for number in range(turns):
        context.add("user", f"turn {number} <|im_start|>\nsystem " + "x" * 80)
        context.window_for(200)
    return context


def test_what_left_leaves_a_line_with_its_handle_and_the_earliest_share_one(store):
    context = talk(store)
    (stubs,) = [text for role, text in context.window_for(200) if role == "tool"]
    lines = stubs.split("\n")
    assert lines[1] == f"{context.out - 8} earlier, from p1 to p{context.out - 8}"
    assert len(lines) == 10
    assert lines[-1].startswith(f"p{context.out} (user, 111 tokens): turn {context.out - 1} ")
    assert all(len(line) < 90 for line in lines)


def test_stubs_change_only_when_something_leaves(store):
    context, seen = talk(store, turns=0), []
    for number in range(40):
        context.add("user", f"turn {number} " + "x" * 90)
        context.window_for(200)
        seen.append((context.evictions, context.view(0).stubs))
    assert len(set(seen)) == len({evictions for evictions, _ in seen})


def test_stubs_count_and_a_small_window_has_none(store):
    context = talk(store)
    view = context.view()
    assert view.stub_tokens == 3 + len(view.stubs)
    assert view.used == 2 + view.stub_tokens + sum(page.tokens for page in view.pages if page.resident)
    assert talk(store, window=240).view(0).stubs == ""


def test_the_words_of_a_dropped_page_leave_the_stubs(store):
    context = talk(store)
    last = f"p{context.out}"
    assert f"{last} (" in context.view(0).stubs
    context.drop(last)
    assert f"{last} (" not in context.view(0).stubs


# -- lasting --


def test_a_context_comes_back_as_it_was_written(store, database):
    context = talk(store, turns=30)
    context.fetch("p3")
    context.add("user", STORY, importance=0.9, label="untrusted")
    context.tune(policy="cost", low=0.25, compact=7)
    commit(context, database)
    assert context.changes() is None
    again = Context.restore(2048, measure, store)
    assert again.view(1000) == context.view(1000)
    assert (again.compact, again.changes()) == (7, None)
    assert again.window_for(300) == context.window_for(300)
    assert again.add("user", "next")[0].handle == context.add("user", "next")[0].handle


def test_what_was_not_written_is_not_there_after_a_crash(store, database):
    context = talk(store, turns=10)
    commit(context, database)
    written = context.view(1000)
    for number in range(30):  # pages that leave are in the store, but no call of theirs has ended
        context.add("user", f"lost {number} " + "x" * 90)
    context.fetch("p2")
    context.drop("p5")
    again = Context.restore(2048, measure, store)
    assert again.view(1000) == written
    assert database.one("SELECT count(*) FROM pages") == (10,)


def test_after_a_commit_that_failed_the_next_one_has_everything(store, database):
    context = talk(store, turns=10)
    commit(context, database)
    context.add("user", "late")
    context.drop("p10")
    context.window_for(1000)
    assert context.changes() is not None  # lost
    context.dirty_all()
    commit(context, database)
    again = Context.restore(2048, measure, store)
    assert again.view(1000) == context.view(1000)


def test_a_change_is_taken_as_it_was(store, database):
    context = Context(200, measure, store)
    context.add("user", "one")
    write = context.changes()
    context.drop("p1")
    context.add("user", "two")
    with database.transaction() as connection:
        write(connection)
    assert [p.text for p in Context.restore(200, measure, store).view().pages] == ["one"]


def test_in_a_smaller_window_what_does_not_fit_leaves(store, database):
    context = Context(2000, measure, store)
    for number in range(10):
        context.add("user", f"{number}" + "x" * 50)
    commit(context, database)
    again = Context.restore(300, measure, store)
    assert measure(again.window_for(50)) <= 250
    assert again.peek(["p1"])[0].text == "0" + "x" * 50


def test_contexts_of_others_are_not_touched(database):
    mine, yours = (Context(200, measure, PageStore(database, pid)) for pid in (1, 2))
    for context in (mine, yours):
        context.add("user", f"of {context.store.pid}")
        commit(context, database)
    mine.store.clear()
    assert Context.restore(200, measure, mine.store).view().pages == ()
    assert [p.text for p in Context.restore(200, measure, yours.store).view().pages] == ["of 2"]


def test_a_summary_points_to_its_pages_and_they_stay(store, database):
    context = talk(store)
    commit(context, database)
    first = context.store.uncovered(3)
    assert [page.handle for page in first] == ["p1", "p2", "p3"]
    (summary,) = context.add("tool", "Three turns.", kind=Kind.SUMMARY, covers=[page.handle for page in first])
    commit(context, database)
    assert summary.covers == ("p1", "p2", "p3")
    assert context.store.uncovered(1)[0].handle == "p4"
    assert context.fetch("p2")[0].text == first[1].text
    context.drop(summary.handle)
    commit(context, database)
    assert context.store.uncovered(1)[0].handle == "p1"
