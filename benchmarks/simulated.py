"""A core that computes nothing: it carries out decisions of `llmos.kernel.policy` and counts the time they would take.

`Job` is what the policy sees as a `View` (it has the same names), so nothing is copied for a decision. Time is in
milliseconds. A step takes what `Costs` say; a state that comes or goes takes ``swap``. While all that is there
decodes, steps are taken together up to the next event: their decisions are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmos.kernel.policy import SLIVER, Budget, Costs, Last, Place, Turn

Choose = Callable[[Sequence[Any], Budget, Costs, Last], Turn]


@dataclass(eq=False, slots=True)
class Share:
    """A process tree on one core."""

    key: int
    weight: float = 1.0
    service: float = 0.0  # tokens by weight, counted from when it last became active (start-time fair queueing)
    active: int = 0  # jobs
    waiting: int = 0  # of these, without a stream
    since: float = 0.0  # since when somebody of it waits
    got: float = 0.0  # tokens by weight since the figures were last taken


@dataclass(eq=False, slots=True)
class Job:
    """One turn of a process after another; between turns its state is kept."""

    key: int
    share: Share
    priority: int
    prompt: int  # tokens that this turn adds to what it holds already
    answer: int  # tokens that it is going to draw
    prefix: int | None = None  # a beginning shared with others, of which ``shared`` tokens
    shared: int = 0
    adapter: str = ""
    # What follows is the core's.
    core: Core | None = None
    arrival: int = 0
    place: Place = Place.NEW
    left: int = 0
    todo: int = 0  # tokens of the answer that are not drawn yet
    ran: int = 0
    started: bool = False
    seen: float = 0.0  # when something of it was last computed, or when it came
    shown: float = 0.0  # when it last drew a token
    came: float = 0.0
    first: float | None = None  # milliseconds to its first token
    gap: float = 0.0  # longest between two tokens of the answer
    awaits: int | None = None
    width: int = 1
    most: int | None = None

    @property
    def tree(self) -> int:
        """As `View.tree`."""
        return self.share.key

    @property
    def service(self) -> float:
        """As `View.service`."""
        return self.share.service

    @property
    def broken(self) -> bool:
        """As `View.broken`."""
        return self.started and self.place is not Place.STREAM

    @property
    def passed(self) -> float:
        """As `View.passed`."""
        assert self.core is not None
        return self.core.now - self.seen


@dataclass(eq=False)
class Core:
    """One engine and its queue."""

    choose: Choose
    budget: Budget
    costs: Costs
    swap: float = 2.0
    now: float = 0.0
    jobs: dict[int, Job] = field(default_factory=dict)
    last: Last = field(default_factory=Last)
    steps: int = 0
    swaps: int = 0
    arrivals: int = 0
    level: dict[int, float] = field(default_factory=dict)  # service of a tree of a class that becomes active now
    prefixes: dict[int, Job | None] = field(default_factory=dict)  # who computes it; None: it lies there
    turn: Turn | None = None
    begun: float = 0.0
    each: float = 0.0  # of the steps under way, which are ``repeat``
    repeat: int = 1

    # -- what comes --

    def add(self, job: Job, now: float) -> None:
        """A turn begins; ``prompt``, ``answer`` and ``place`` are set."""
        share = job.share
        self._level(job)
        share.active += 1
        self._waits(share, now)
        job.core, job.arrival, job.came, job.seen = self, self.arrivals, now, now
        self.arrivals += 1
        job.left, job.todo, job.ran, job.first, job.gap, job.started = job.prompt, job.answer, 0, None, 0.0, False
        self.jobs[job.key] = job
        if job.prefix is not None and job.place is Place.NEW:
            self._share_prefix(job)
        if self.turn is not None and self.repeat > 1:  # it is looked at when the step under way ends
            self.repeat = min(self.repeat, math.floor((now - self.begun) / self.each) + 1)

    def _level(self, job: Job) -> None:
        """As `Scheduler._level`."""
        mine = [j for j in self.jobs.values() if j.priority == job.priority]
        waiting = [j.service for j in mine if j.place is not Place.STREAM]
        now = min(waiting) if waiting else max((j.service for j in mine), default=0.0)
        level = self.level[job.priority] = max(self.level.get(job.priority, 0.0), now)
        job.share.service = max(job.share.service, level)

    def _waits(self, share: Share, now: float) -> None:
        if not share.waiting:
            share.since = now
        share.waiting += 1

    def _share_prefix(self, job: Job) -> None:
        assert job.prefix is not None
        computer = self.prefixes.setdefault(job.prefix, job)
        if computer is None:
            job.left -= job.shared
        elif computer is not job and (computer.place is Place.STREAM or computer.priority <= job.priority):
            job.awaits = computer.key

    # -- steps --

    def start(self, now: float, until: float = math.inf) -> float | None:
        """Decide, and say when the step (or the steps, up to ``until``) will be over; None with nothing to do."""
        self.now = self.begun = now
        if not self.jobs:
            return None
        turn = self.turn = self.choose(list(self.jobs.values()), self.budget, self.costs, self.last)
        moved = 0
        for key, victim in turn.place:
            if victim is not None:
                self._put_out(self.jobs[victim])
                moved += 1
            moved += self.jobs[key].place is Place.SAVED
            self._put_in(self.jobs[key])
        self.swaps += moved
        tokens = sum(count for _, count in turn.parts)
        self.each = max(tokens, SLIVER) * self.costs.prefill_each if turn.prefill else self.costs.decode(tokens)
        self.each += moved * self.swap
        self.repeat = 1
        if not turn.prefill and len(turn.parts) == len(self.jobs) and not moved:
            most = min(self.jobs[key].todo for key, _ in turn.parts)
            if until - now > self.each:
                self.repeat = max(1, min(most, math.floor(min(until - now, 1e9) / self.each) + 1))
        return self.over

    @property
    def over(self) -> float:
        """When what is under way is over."""
        return self.begun + self.each * self.repeat

    def _put_out(self, job: Job) -> None:
        job.place = Place.SAVED
        self._waits(job.share, self.now)

    def _put_in(self, job: Job) -> None:
        job.place, job.ran = Place.STREAM, 0
        job.share.waiting -= 1

    def finish(self) -> list[Job]:
        """What is under way is over: the jobs that are through."""
        turn, repeat = self.turn, self.repeat
        assert turn is not None
        self.turn, self.now = None, self.over
        self.steps += repeat
        for key, count in turn.parts:
            job = self.jobs[key]
            if turn.prefill:
                job.left -= count
                if self.prefixes.get(job.prefix or 0) is job and job.prompt - job.left >= job.shared:
                    self._lies(job.prefix)
            job.ran += count * repeat
            job.share.service += count * repeat / job.share.weight
            job.share.got += count * repeat / job.share.weight
            job.seen = self.now
            if not turn.prefill or not job.left:
                self._drew(job, 1 if turn.prefill else count * repeat)
        self.last = Last(self.last.prefilled + self.each if turn.prefill else 0.0, turn.adapter)
        return [self._over(job) for key, _ in turn.parts if not (job := self.jobs[key]).left and job.todo <= 0]

    def _drew(self, job: Job, tokens: int) -> None:
        if job.first is None:
            job.first, job.started, job.ran = self.now - job.came, True, 0
        else:
            job.gap = max(job.gap, self.each, self.begun + self.each - job.shown)
        job.shown = self.now
        job.todo -= tokens

    def _lies(self, prefix: int | None) -> None:
        """A shared prefix is computed: who waits for it, or for a stream, need not compute it any more."""
        assert prefix is not None
        computer = self.prefixes[prefix]
        self.prefixes[prefix] = None
        for job in self.jobs.values():
            if job.prefix == prefix and job.place is Place.NEW and job is not computer:
                job.awaits = None
                job.left = job.prompt - job.shared

    def _over(self, job: Job) -> Job:
        """It leaves its stream; its state stays."""
        del self.jobs[job.key]
        job.place = Place.SAVED
        job.share.active -= 1
        if all(j.priority != job.priority for j in self.jobs.values()):
            self.level[job.priority] = max(self.level.get(job.priority, 0.0), job.service)
        return job


def backlogged(shares: Iterable[Share], since: float) -> Iterator[Share]:
    """The trees of which somebody has been waiting for a stream all the time."""
    return (s for s in shares if s.waiting and s.since <= since)


def jain(values: Sequence[float]) -> float:
    """Jain's index of fairness: 1 where all get the same, 1/n where one gets all (Jain, Chiu and Hawe 1984)."""
    squares = len(values) * sum(v * v for v in values)
    return sum(values) ** 2 / squares if squares else 1.0
