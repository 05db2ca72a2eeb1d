from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.kernel.policy import PATIENCE, Budget, View, cut, decide

BUDGET = Budget(streams=2, chunk=128, batch=512, quantum=100)


def view(key: int, **fields) -> View:
    plain = View(key, priority=1, service=0, arrival=key, resident=False, at=0, left=0, ran=0)
    return replace(plain, **fields)


def test_nothing_to_do():
    assert decide([], BUDGET, 0).parts == ()


def test_all_that_decode_go_into_one_step():
    turn = decide([view(1, resident=True), view(2, resident=True)], BUDGET, 0)
    assert (turn.parts, turn.prefill) == (((1, 1), (2, 1)), False)


def test_cuts_stand_at_multiples_of_the_chunk_wherever_a_prompt_goes_on():
    assert [cut(at, 1000, 128) for at in (0, 1, 127, 128, 300)] == [128, 127, 1, 128, 84]
    assert cut(256, 5, 128) == 5


def test_short_ends_of_several_prompts_share_a_step_but_no_cut_is_made_smaller():
    turn = decide([view(1, left=100), view(2, left=300), view(3, left=20)], Budget(3, 128, 512), 0)
    assert turn.parts == ((1, 100), (3, 20))


def test_decoding_waits_for_at_most_its_patience_of_prefill_steps():
    for priority, patience in PATIENCE.items():
        views = [view(1, priority=priority, resident=True), view(2, priority=priority, left=5000)]
        kinds = [decide(views, BUDGET, since).prefill for since in range(patience + 1)]
        assert kinds == [True] * patience + [False]


def test_interactive_work_takes_the_stream_of_a_batch_process():
    views = [view(1, priority=2, resident=True), view(2, priority=2, resident=True), view(3, priority=0, left=10)]
    assert decide(views, BUDGET, 0).hold[0] == 3


def test_a_stream_is_kept_for_a_quantum_then_the_least_served_tree_goes_first():
    waiting = view(3, left=10)
    fresh = [view(1, resident=True, ran=99, service=400), view(2, resident=True, ran=5)]
    assert set(decide([*fresh, waiting], BUDGET, 0).hold) == {1, 2}
    spent = [replace(fresh[0], ran=100), fresh[1]]
    assert set(decide([*spent, waiting], BUDGET, 0).hold) == {2, 3}


VIEWS = st.lists(
    st.builds(
        View, key=st.integers(0, 10**6), priority=st.integers(0, 2), service=st.integers(0, 10**5),
        arrival=st.integers(0, 1000), resident=st.booleans(), at=st.integers(0, 4000),
        left=st.integers(0, 4000), ran=st.integers(0, 2000),
    ),
    max_size=40, unique_by=lambda v: v.key,
)  # fmt: skip


@settings(max_examples=300)
@given(VIEWS, st.integers(1, 16), st.integers(0, 9))
def test_the_budget_holds_and_no_step_is_wasted(views, streams, since):
    budget = Budget(streams, 128, 512)
    turn = decide(views, budget, since)
    assert len(turn.hold) == min(streams, len(views)) == len(set(turn.hold))
    assert {k for k, _ in turn.parts} <= set(turn.hold)
    assert bool(turn.parts) == bool(views)  # work-conserving
    by_key = {v.key: v for v in views}
    assert sum(n for _, n in turn.parts) <= (128 if turn.prefill else 512)
    for key, tokens in turn.parts:
        left = by_key[key].left
        assert tokens == cut(by_key[key].at, left, 128) if turn.prefill else (left == 0 and tokens == 1)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 60)), min_size=1, max_size=12), st.integers(1, 4))
def test_nobody_starves_among_equals(jobs, streams):
    """Played to the end by the decision alone: everything finishes, within a bound on the number of steps."""
    budget = Budget(streams, 128, 512, quantum=64)
    views = {i: view(i, left=prompt) for i, (prompt, _) in enumerate(jobs)}
    todo = {i: answer for i, (_, answer) in enumerate(jobs)}
    since, steps = 0, 0
    while views:
        turn = decide(list(views.values()), budget, since)
        since = since + 1 if turn.prefill else 0
        steps += 1
        for key in list(views):
            held = key in turn.hold
            views[key] = replace(views[key], resident=held, ran=views[key].ran if held else 0)
        for key, n in turn.parts:
            old = views[key]
            views[key] = replace(
                old, at=old.at + n, left=max(0, old.left - n), ran=old.ran + n, service=old.service + n
            )
            if not turn.prefill:
                todo[key] -= 1
                if todo[key] == 0:
                    del views[key]
    assert steps <= sum(-(-p // 128) + a for p, a in jobs)
