"""The door: who is let in, who is told to come again and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos.kernel.admission import Ahead, Asked, Door, admit, foresee
from llmos.kernel.errors import BadInput, Overloaded, from_dict
from llmos.kernel.policy import Costs

COSTS = Costs(decode_base=4, decode_each=3.5, prefill_each=1.2)
DOOR = Door(streams=4, most=8)
AHEAD = st.builds(Ahead, st.integers(0, 500), st.integers(0, 10**6), st.integers(0, 10**6))
ASKED = st.builds(Asked, st.integers(0, 2), st.integers(1, 4000), st.integers(1, 2000))


def of_class(priority: int, works: int) -> dict[int, Ahead]:
    return {priority: Ahead(works, prefill=100 * works, answers=50 * works)}


def test_an_empty_machine_takes_anything_that_can_be_done():
    assert admit(Asked(1, 4000, 2000), {}, DOOR, COSTS) is None
    assert admit(Asked(1, 4000, 2000), {}, Door(1, most=0, patience=0.0), COSTS) is None


def test_the_queue_is_limited_and_says_when_a_place_is_free():
    assert admit(Asked(1, 100, 50), of_class(1, 11), DOOR, COSTS) is None
    refusal = admit(Asked(1, 100, 50), of_class(1, 12), DOOR, COSTS)
    # One of twelve has to go: 1/12 of 1,200 tokens of prefill and 600 of answers, at 18 ms for four.
    assert (refusal.reason, refusal.retry_after) == ("queue", 1)
    fault = refusal.fault()
    assert isinstance(fault, Overloaded)
    assert (fault.code, fault.details["retry_after"]) == ("overloaded", 1)
    assert from_dict(fault.to_dict()).details == fault.details
    # 1,004 works: 993 too many, of a worth of 100,400 x 1.2 + 50,200 x 4.5 ms
    assert admit(Asked(1, 100, 50), of_class(1, 1004), DOOR, COSTS).retry_after == 343


@pytest.mark.parametrize(("priority", "refused"), [(0, False), (1, True), (2, True)])
def test_lower_classes_do_not_stand_in_the_way(priority, refused):
    assert (admit(Asked(priority, 100, 50), of_class(1, 500), DOOR, COSTS) is not None) == refused


def test_a_deadline_that_cannot_be_met_now_can_be_met_later():
    refusal = admit(Asked(1, 100, 50, deadline=2.0), of_class(1, 10), DOOR, COSTS)
    late = foresee(Asked(1, 100, 50), of_class(1, 10), 4, COSTS).done - 2.0
    assert (refusal.reason, refusal.retry_after) == ("deadline", int(late) + 1)
    assert admit(Asked(1, 100, 50, deadline=2.0), {}, DOOR, COSTS) is None


def test_a_deadline_that_no_machine_meets_is_bad_input_and_not_overload():
    refusal = admit(Asked(1, 1000, 100, deadline=1.0), of_class(1, 2), DOOR, COSTS)
    assert refusal.retry_after is None
    assert isinstance(refusal.fault(), BadInput)


def test_patience_counts_only_where_somebody_waits():
    door = Door(streams=4, patience=0.05)
    assert admit(Asked(1, 4000, 50), of_class(1, 3), door, COSTS) is None
    assert admit(Asked(1, 4000, 50), of_class(1, 4), door, COSTS).reason == "patience"


@given(ASKED, st.lists(AHEAD, min_size=3, max_size=3), st.integers(1, 64))
def test_more_ahead_never_means_sooner_and_an_end_comes_after_the_first_token(asked, ahead, streams):
    now = dict(enumerate(ahead))
    more = {c: Ahead(a.works, a.prefill + 100, a.answers + 100) for c, a in now.items()}
    first, later = foresee(asked, now, streams, COSTS), foresee(asked, more, streams, COSTS)
    assert 0 <= first.first < first.done
    assert later.first >= first.first
    assert later.done >= first.done


@given(ASKED, st.lists(AHEAD, min_size=3, max_size=3), st.integers(0, 600))
def test_never_more_than_the_limit_waits(asked, ahead, most):
    works = sum(a.works for priority, a in enumerate(ahead) if priority <= asked.priority)
    refusal = admit(asked, dict(enumerate(ahead)), Door(streams=16, most=most), COSTS)
    assert (refusal is not None) == (works >= 16 + most)
    assert refusal is None or refusal.retry_after >= 1
