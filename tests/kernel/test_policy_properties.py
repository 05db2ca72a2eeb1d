"""What the decision promises, played against a simulated machine (benchmarks/simulated.py) with random loads.

Every promise stands with its bound in the docstring of `llmos.kernel.policy`.
"""

import math
import sys
from itertools import combinations, count
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from llmos.kernel.claims import AGE, LEAST, RETURN
from llmos.kernel.policy import FEW, FLOOR, JOIN, PATIENCE, SHARE, SLIVER, Budget, Costs, Place, decide, weight

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from simulated import Core, Job, Share

COSTS = st.builds(Costs, st.floats(1, 10), st.floats(0.5, 5), st.floats(0.3, 2))


class Played(Core):
    """A core that holds every step against the budget, and notes how long each kind of step took."""

    longest = 0.0

    def __init__(self, budget: Budget, costs: Costs, swap: float = 0.0) -> None:
        super().__init__(self._checked, budget, costs, swap)

    def _checked(self, jobs, budget, costs, last):
        turn = decide(jobs, budget, costs, last)
        assert bool(turn.parts) == bool(jobs), "work-conserving"
        victims = {victim for _, victim in turn.place if victim is not None}
        assert all(self.jobs[key].place is Place.STREAM for key in victims), "a victim holds a stream"
        holding = {j.key for j in jobs if j.place is Place.STREAM} - victims | {key for key, _ in turn.place}
        assert len(holding) <= budget.streams, "streams are not overcommitted"
        computing = {key: self.jobs[key] for key, _ in turn.parts}
        assert set(computing) <= holding
        assert len({j.adapter for j in computing.values()}) <= 1, "one adapter"
        assert len({j.left > 0 for j in computing.values()}) <= 1, "one kind"
        assert sum(tokens for _, tokens in turn.parts) <= budget.batch, "budget"
        for key, tokens in turn.parts:
            left = computing[key].left
            assert tokens == left or not left or min(tokens, left - tokens) >= budget.grain, "grain"
        return turn

    def play(self, comers, until: float = math.inf, over=lambda job: None, stepped=lambda: None) -> None:
        """``comers`` are (time, job); ``over`` may give a job that comes at once; ``stepped`` is called after each."""
        coming = sorted(comers, key=lambda c: c[0])
        while (coming or self.jobs) and self.now < until:
            if not self.jobs:
                self.now = max(self.now, coming[0][0])
            while coming and coming[0][0] <= self.now:
                time, job = coming.pop(0)
                self.add(job, self.now)
                job.came = job.seen = time  # it came while a step was under way
            end = self.start(self.now, min(coming[0][0] if coming else math.inf, until))
            self.longest = max(self.longest, self.each)
            assert end > self.now
            for job in self.finish():
                if (new := over(job)) is not None:
                    self.add(new, self.now)
            stepped()


@st.composite
def loads(draw, classes=(0, 1, 2), adapters=("",), most=300):
    """Jobs that come within some seconds, of a few trees, some with a beginning in common."""
    shares = [Share(i, weight(draw(st.integers(-3, 3)))) for i in range(draw(st.integers(1, 4)))]
    jobs = []
    for key in range(draw(st.integers(1, 14))):
        prompt, answer = draw(st.integers(1, most)), draw(st.integers(1, 80))
        job = Job(key, draw(st.sampled_from(shares)), draw(st.sampled_from(classes)), prompt, answer)
        job.adapter = draw(st.sampled_from(adapters))
        if prompt > 40 and draw(st.booleans()):
            job.prefix, job.shared = 1, 40
        jobs.append((draw(st.floats(0, 4000)), job))
    return jobs


@st.composite
def budgets(draw):
    held = draw(st.integers(1, 6))
    return Budget(
        held, draw(st.sampled_from([1, 2])), draw(st.sampled_from([32, 512])), quantum=draw(st.sampled_from([20, 200])),
        reserve=draw(st.integers(0, held - 1)),
    )  # fmt: skip


@settings(deadline=None)
@given(loads(adapters=("", "a", "b")), budgets(), COSTS)
def test_everybody_is_served_to_the_end_within_the_budget(load, budget, costs):
    core = Played(budget, costs, swap=1.0)
    done = []
    core.play(load, over=lambda job: done.append(job.key))
    assert sorted(done) == list(range(len(load)))


@settings(deadline=None)
@given(loads(), budgets(), COSTS)
def test_nobody_who_keeps_a_stream_waits_long_for_the_next_token(load, budget, costs):
    core = Played(budget, costs)
    full = costs.decode(budget.streams)
    most = max(PATIENCE * full, FLOOR, JOIN) + (2 * SLIVER + budget.grain) * costs.prefill_each + full
    since = {}  # of those that decode: what they drew last, and since when they wait for more on their stream

    def stepped():
        for job in core.jobs.values():
            if job.place is not Place.STREAM or not job.started:
                since.pop(job.key, None)
                continue
            drew, time = since.get(job.key, (job.shown, core.now))
            if drew != job.shown:
                assert core.begun + core.each - time <= most + 1e-6
                time = job.shown
            since[job.key] = (job.shown, time)

    core.play(load, stepped=stepped)


@settings(deadline=None)
@given(st.integers(FEW, 16), st.integers(500, 4000), COSTS)
def test_a_long_prefill_costs_those_who_decode_two_steps_at_most(decoders, prompt, costs):
    core = Played(Budget(17, 2, 512), costs)
    core.play([(0.0, Job(key, Share(key), 1, 20, 400)) for key in range(decoders)], until=60 * costs.decode(decoders))
    for job in core.jobs.values():
        job.gap = 0.0
    core.play([(core.now, Job(99, Share(99), 1, prompt, 1))], until=core.now + 5000)
    gaps = [job.gap for job in core.jobs.values() if job.key < decoders]
    sliver = (SLIVER + 2) * costs.prefill_each  # made in any case
    assert max(gaps, default=0.0) <= costs.decode(decoders + 1) + max(PATIENCE * costs.decode(decoders + 1), sliver)


@settings(deadline=None)
@given(loads(classes=(1, 2)), budgets(), COSTS, st.floats(0, 5000), st.integers(1, 60))
def test_an_interactive_newcomer_waits_for_two_steps_and_itself(load, budget, costs, time, prompt):
    core = Played(budget, costs, swap=1.0)
    mine = Job(99, Share(99), 0, prompt, 1)
    first = []
    core.play([*load, (time, mine)], over=lambda job: first.append(job.first) if job is mine else None)
    cuts = math.ceil(prompt / (min(budget.batch, JOIN / costs.prefill_each) - budget.grain))
    own = max(prompt, SLIVER) * costs.prefill_each
    decode = costs.decode(budget.streams) + 2.0 * budget.streams
    bound = core.longest + cuts * (decode + SLIVER * costs.prefill_each) + own + 2.0 * budget.streams
    assert first[0] <= bound + 1e-6


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.lists(st.sampled_from([-3, 0, 2]), min_size=2, max_size=4), st.data())
def test_trees_of_a_class_that_always_wait_get_the_same_by_weight(streams, nices, data):
    quantum = 100
    core = Played(Budget(streams, 1, 512, quantum), Costs())
    keys, trees = count(), [Share(i, weight(n)) for i, n in enumerate(nices)]
    sizes = [(data.draw(st.integers(1, 60)), data.draw(st.integers(1, 40))) for _ in trees]
    largest = max(sum(size) / tree.weight for size, tree in zip(sizes, trees, strict=True))

    def job(tree):
        return Job(next(keys), tree, 1, *sizes[tree.key])

    def stepped():
        for a, b in combinations(trees, 2):
            assert abs(a.service - b.service) <= quantum + streams * largest

    # One tree asks for far more at once than the others.
    load = [(0.0, job(tree)) for tree in trees for _ in range(streams + 1 + 20 * (tree.key == 0))]
    core.play(load, until=20_000, over=lambda over: job(over.share), stepped=stepped)
    assert min(tree.service for tree in trees) > quantum


@settings(deadline=None, max_examples=8)
@given(st.integers(1, 4), st.integers(0, 1), st.integers(1, 200))
def test_a_class_never_starves_below_a_load_of_higher_ones(streams, higher, prompt):
    """The lower one is passed over for at most three times `AGE`, and a step of each that does not make room."""
    core = Played(Budget(streams, 1, 512, quantum=60), Costs())
    keys = count(1)

    def job():
        return Job(next(keys), Share(next(keys)), higher, 30, 30)

    low = Job(0, Share(0), 2, prompt, 3)

    def stepped():
        if 0 in core.jobs:
            assert low.passed <= 3 * AGE + 60 * core.longest

    load = [(0.0, low), *((0.0, job()) for _ in range(3 * streams))]
    rounds = 3 + math.ceil(prompt / 16)
    core.play(
        load, until=rounds * (3 * AGE + 60 * 200), over=lambda over: job() if over is not low else None, stepped=stepped
    )
    assert 0 not in core.jobs


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 5), COSTS, st.data())
def test_adapters_wait_for_a_share_and_a_step_of_each_other(adapters, costs, data):
    core = Played(Budget(2 * adapters, 1, 64, quantum=10_000), costs)
    served = dict.fromkeys(range(adapters), 0.0)

    def stepped():
        for time in served.values():
            assert core.now - time <= SHARE + (adapters + 1) * core.longest
        served[int(core.last.adapter)] = core.now

    load = [
        (0.0, Job(key, Share(key), 1, data.draw(st.sampled_from([5, 900])), 10_000, adapter=str(key % adapters)))
        for key in range(2 * adapters)
    ]
    core.play(load, until=6000, stepped=stepped)
    # Within an adapter both kinds get on: nobody who decodes is kept waiting by the prefill of others.
    assert all(job.seen > core.now - 3000 for job in core.jobs.values() if job.started)


@settings(deadline=None, max_examples=30)
@given(st.integers(8, 16), st.integers(1, 2), COSTS)
def test_a_gap_that_an_interactive_newcomer_makes_is_shared(streams, newcomers, costs):
    core = Played(Budget(streams, 1, 512), costs)
    load = [(0.0, Job(key, Share(key), 1, 10, 10_000)) for key in range(streams)]
    core.play(load, until=400 * costs.decode(streams))
    for job in core.jobs.values():
        job.gap = 0.0
    users = [(core.now, Job(100 + i, Share(100 + i), 0, 20, 500)) for i in range(newcomers)]
    core.play(users, until=core.now + 100 * costs.decode(streams))
    # Until it may put out another one, until that has had its least, and until the step is over.
    bound = RETURN + (LEAST + 2) * newcomers * core.longest + 2 * core.longest
    assert 0.0 < max(core.now - j.shown if j.broken else j.gap for j in core.jobs.values() if j.key < 100) <= bound
