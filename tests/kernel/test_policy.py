"""The decision about the next step: what must hold for any views, and a few by hand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos.kernel.policy import AGE, FLOOR, JOIN, PATIENCE, RETURN, SHARE, Budget, Costs, Last, Place, View, cut, decide

BUDGET = Budget(streams=4, grain=2, batch=512, quantum=100)
COSTS = Costs(decode_base=5, decode_each=3, prefill_each=1)


def view(key: int, **more) -> View:
    return View(key, **{"priority": 1, "service": 0.0, "arrival": key, "place": Place.NEW, "left": 40, **more})


def decoding(key: int, **more) -> View:
    return view(key, place=Place.STREAM, left=0, started=True, **more)


@st.composite
def machines(draw):
    """Views as a scheduler could show them: no more holders than streams."""
    budget = Budget(
        streams=draw(st.integers(1, 6)), grain=draw(st.sampled_from([1, 2])), batch=draw(st.sampled_from([32, 512])),
        quantum=100,
    )  # fmt: skip
    budget = replace(budget, reserve=draw(st.integers(0, budget.streams - 1)))
    count = draw(st.integers(1, 12))
    holders = draw(st.sets(st.integers(0, count - 1), max_size=min(count, budget.streams)))
    views = []
    for key in range(count):
        place = Place.STREAM if key in holders else draw(st.sampled_from([Place.SAVED, Place.NEW]))
        left = draw(st.integers(1, 3000)) if place is Place.NEW else draw(st.sampled_from([0, 0, 1, 2, 30, 700]))
        views.append(
            View(
                key, draw(st.integers(0, 2)), draw(st.floats(0, 5000)), key, place, left,
                ran=draw(st.integers(0, 300)), passed=draw(st.sampled_from([0.0, 50.0, 500.0, 20_000.0])),
                started=left == 0, width=draw(st.sampled_from([1, 1, 4])),
                adapter=draw(st.sampled_from(["", "", "a", "b"])),
                awaits=draw(st.one_of(st.none(), st.integers(0, key))) if place is Place.NEW and key else None,
            )
        )  # fmt: skip
    views = [replace(v, awaits=None if v.awaits == v.key else v.awaits) for v in views]
    last = Last(draw(st.sampled_from([0.0, 10.0, 500.0])), draw(st.sampled_from(["", "a", "c"])))
    return views, budget, last


@given(machines())
def test_of_any_step(machine):
    views, budget, last = machine
    turn = decide(views, budget, COSTS, last)
    by_key = {v.key: v for v in views}
    assert sum(tokens for _, tokens in turn.parts) <= budget.batch
    placed, victims = {n for n, _ in turn.place}, [v for _, v in turn.place if v is not None]
    assert len(set(victims)) == len(victims)
    holders = {v.key for v in views if v.place is Place.STREAM}
    after = (holders - set(victims)) | placed
    assert len(after) <= budget.streams
    computing = [by_key[key] for key, _ in turn.parts]
    assert {v.key for v in computing} <= after
    assert {v.adapter for v in computing} <= {turn.adapter}
    assert {v.left > 0 for v in computing} <= {turn.prefill}
    here = set(by_key)
    assert not any(v.awaits in here for v in computing)
    for key, tokens in turn.parts:
        left = by_key[key].left
        assert tokens == left or tokens >= budget.grain if left else 1 <= tokens <= by_key[key].width
        assert not left or left - tokens == 0 or left - tokens >= budget.grain
    if any(v.awaits not in here for v in views):
        assert turn.parts  # work-conserving


@given(st.integers(1, 600), st.integers(0, 600), st.sampled_from([1, 2, 32]))
def test_a_cut_takes_and_leaves_at_least_the_grain(left, room, grain):
    taken = cut(left, room, grain)
    assert taken <= room
    assert taken in (0, left) or (taken >= grain and left - taken >= grain)
    assert taken or room < max(grain, min(left, 2 * grain))


def test_a_long_prefill_leaves_room_for_those_who_decode():
    for count, most in ((3, FLOOR), (12, PATIENCE * COSTS.decode(12))):
        budget = replace(BUDGET, streams=16)
        views = [*(decoding(i) for i in range(count)), view(99, left=4000, place=Place.STREAM)]
        first = decide(views, budget, COSTS)
        assert (first.prefill, first.parts) == (True, ((99, int(most)),))
        then = decide(views, budget, COSTS, Last(prefilled=most))
        assert (then.prefill, [k for k, _ in then.parts]) == (False, list(range(count)))


def test_short_rests_that_bring_in_as_many_as_decode_go_first():
    views = [decoding(1), *(view(i, left=30, place=Place.STREAM) for i in (2, 3, 4))]
    turn = decide(views, BUDGET, COSTS)
    assert turn.prefill
    assert sum(n for _, n in turn.parts) == 90 <= JOIN
    assert not decide(views, BUDGET, COSTS, Last(prefilled=JOIN)).prefill


def test_an_interactive_newcomer_takes_a_stream_of_a_lower_class_and_computes_alone():
    views = [decoding(1), decoding(2, priority=2), decoding(3), view(4, place=Place.STREAM, left=900)]
    turn = decide([*views, view(9, priority=0, left=45)], BUDGET, COSTS)
    assert turn.place == ((9, 2),)  # the batch one makes room
    assert turn.parts == ((9, 45),)


def test_an_answer_that_is_read_along_is_not_broken_off_for_an_equal_before_its_quantum():
    views = [decoding(i, service=900.0, ran=50) for i in (1, 2, 3, 4)]
    assert decide([*views, view(9)], BUDGET, COSTS).place == ()
    longer = [*views[:3], decoding(4, service=900.0, ran=150)]
    assert decide([*longer, view(9)], BUDGET, COSTS).place == ((9, 4),)


def test_who_was_put_out_in_the_middle_of_an_answer_is_soon_back():
    views = [decoding(i, ran=5 * i) for i in (1, 2, 3, 4)]
    out = view(9, place=Place.SAVED, left=0, started=True, passed=RETURN - 1)
    assert decide([*views, out], BUDGET, COSTS).place == ()
    assert decide([*views, replace(out, passed=RETURN)], BUDGET, COSTS).place == ((9, 4),)


def test_resumed_before_newcomers_and_the_least_served_tree_first():
    one = Budget(streams=1, grain=2, batch=512, quantum=100)
    assert decide([view(1), view(2, place=Place.SAVED)], one, COSTS).parts == ((2, 40),)
    assert decide([view(1, service=150.0), view(2, service=20.0)], one, COSTS).parts == ((2, 40),)
    assert decide([view(1, priority=2), view(2)], one, COSTS).parts == ((2, 40),)
    assert decide([view(1, priority=2, passed=2 * AGE), view(2)], one, COSTS).parts == ((1, 40),)


def test_streams_in_reserve_are_for_interactive_work():
    budget = replace(BUDGET, reserve=1)
    held = [decoding(i) for i in (1, 2, 3)]
    assert decide([*held, view(9)], budget, COSTS).place == ()
    assert decide([*held, view(9, priority=0)], budget, COSTS).place == ((9, None),)


@pytest.mark.parametrize(("waited", "adapter"), [(SHARE - 1, "a"), (SHARE, "b")])
def test_adapters_take_turns(waited, adapter):
    views = [decoding(1, adapter="a"), decoding(2, adapter="b", passed=waited)]
    assert decide(views, BUDGET, COSTS, Last(adapter="a")).adapter == adapter


def test_a_sibling_waits_for_the_prefix_that_another_computes():
    views = [view(1, left=600), view(2, left=610, awaits=1)]
    assert [k for k, _ in decide(views, BUDGET, COSTS).parts] == [1]
    assert [k for k, _ in decide(views[1:], BUDGET, COSTS).parts] == [2]
