#!/usr/bin/env python3
"""Policies compared on a trace of 100,000 processes: discrete events, the kernel's own decision, no model.

    python benchmarks/simulate.py [--processes 100000] [--cores 1] [--load 0.9] [--policies ours,fifo,rr] [--json FILE]

* ours: `llmos.kernel.policy.decide`, and `llmos.kernel.admission.admit` at the door.
* fifo: a stream goes to who came first, until its answer is complete; prefill goes before decoding, in whole batches.
* rr: round robin; streams go in turn, for a quantum each, and so do steps of prefill and of decoding.

All have the same door, batches, shared beginnings and saved states, so what differs is the decision alone. Processes
go to the core with the least to do. What is refused comes back when it was told to, up to five times. ``--load`` is
the part of the cores' time that the trace takes if all decoding is done in full batches; bursts go beyond it.

Waiting is the time from a turn's arrival to its first token. Fairness is Jain's index over the trees of a class of
which somebody waited for a stream during a whole window of 30 seconds, of the tokens that each got by its weight.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arrivals import CLASSES, PREFIXES, Arrival, trace
from llmos.kernel.admission import Ahead, Asked, Door, admit
from llmos.kernel.policy import Budget, Costs, Last, Place, Turn, cut, decide, weight
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from simulated import Choose, Core, Job, Share, backlogged, jain

WINDOW = 30_000.0  # milliseconds
TRIES = 5


def fifo(jobs: Sequence[Any], budget: Budget, costs: Costs, last: Last) -> Turn:
    """First come, first served."""
    holding = [j for j in jobs if j.place is Place.STREAM]
    waiting = [j for j in jobs if j.place is not Place.STREAM and j.awaits is None]
    placed = sorted(waiting, key=lambda j: j.arrival)[: budget.streams - len(holding)]
    parts = _whole(sorted([*holding, *placed], key=lambda j: j.arrival), budget)
    place = tuple((j.key, None) for j in placed)
    return Turn(parts, True, place) if parts else Turn(_all(holding), False, place)


def round_robin(jobs: Sequence[Any], budget: Budget, costs: Costs, last: Last) -> Turn:
    """Everybody in turn."""
    holding = [j for j in jobs if j.place is Place.STREAM]
    waiting = sorted((j for j in jobs if j.place is not Place.STREAM and j.awaits is None), key=lambda j: j.seen)
    spent = sorted((j for j in holding if j.ran >= budget.quantum), key=lambda j: -j.ran)
    leaving = iter(spent)
    place: list[tuple[int, int | None]] = []
    free = budget.streams - len(holding)
    for job in waiting:
        victim = None if free > 0 else next(leaving, None)
        if free <= 0 and victim is None:
            break
        free -= 1
        place.append((job.key, victim and victim.key))
        holding.append(job)
    out = {victim for _, victim in place}
    holding = [j for j in holding if j.key not in out]
    decoding = [j for j in holding if not j.left]
    parts = () if decoding and last.prefilled else _whole(sorted(holding, key=lambda j: j.seen), budget)
    return Turn(parts, True, tuple(place)) if parts else Turn(_all(holding), False, tuple(place))


def _whole(order: Sequence[Any], budget: Budget) -> tuple[tuple[int, int], ...]:
    """A batch full of prefill."""
    room, parts = budget.batch, []
    for job in order:
        if job.left and (tokens := cut(job.left, room, budget.grain)):
            parts.append((job.key, tokens))
            room -= tokens
    return tuple(parts)


def _all(holding: Sequence[Any]) -> tuple[tuple[int, int], ...]:
    return tuple((j.key, 1) for j in holding if not j.left)


POLICIES: dict[str, Choose] = {"ours": decide, "fifo": fifo, "rr": round_robin}


@dataclass
class Found:
    """What a run showed."""

    waits: dict[str, list[float]] = field(default_factory=lambda: {c: [] for c in CLASSES})  # ms, resumed turns too
    resumed: list[float] = field(default_factory=list)
    gaps: dict[str, list[float]] = field(default_factory=lambda: {c: [] for c in CLASSES})  # longest of each answer, ms
    fairness: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: {c: [] for c in CLASSES})
    tokens: int = 0
    refused: int = 0  # times
    lost: int = 0  # processes that gave up
    makespan: float = 0.0  # ms
    steps: int = 0
    swaps: int = 0


@dataclass(eq=False)
class Process:
    """A process of the trace: its turns one after another."""

    arrival: Arrival
    key: int
    job: Job | None = None
    core: int = 0
    turn: int = 0
    tries: int = 0
    came: float = 0.0  # the turn under way, before anybody refused it


class Simulation:
    """One policy on one trace."""

    def __init__(self, arrivals: Sequence[tuple[float, Arrival]], cores: Sequence[Core], door: Door) -> None:
        self.found = Found()
        self._door = door
        self._cores = cores
        self._shares: list[dict[int, Share]] = [{} for _ in cores]
        self._ahead = [{priority: [0, 0, 0] for priority in range(3)} for _ in cores]  # as `Ahead`
        self._processes = [Process(arrival, key) for key, (_, arrival) in enumerate(arrivals)]
        self._coming = [(time, p.key) for p, (time, _) in zip(self._processes, arrivals, strict=True)]
        heapq.heapify(self._coming)
        self._window = WINDOW

    def run(self, progress: Callable[[int], None]) -> Found:
        """Until everybody is through; ``progress`` hears of processes that are."""
        busy: set[int] = set()
        while self._coming or busy:
            soonest = min(busy, key=lambda i: self._cores[i].over, default=None)
            over = math.inf if soonest is None else self._cores[soonest].over
            come = self._coming[0][0] if self._coming else math.inf
            now = min(come, over)
            if now >= self._window:
                self._measure(now)
            if come <= over:
                core = self._arrive(self._processes[heapq.heappop(self._coming)[1]], come, progress)
                if core is None or core in busy:
                    continue
            else:
                assert soonest is not None
                core = soonest
                for job in self._cores[core].finish():
                    self._through(job, over, progress)
            started = self._cores[core].start(now, self._coming[0][0] if self._coming else math.inf)
            (busy.discard if started is None else busy.add)(core)
        self.found.makespan = now
        self.found.steps, self.found.swaps = sum(c.steps for c in self._cores), sum(c.swaps for c in self._cores)
        return self.found

    def _arrive(self, process: Process, now: float, progress: Callable[[int], None]) -> int | None:
        """A turn begins, on the core where it has to wait the least; None where it is refused."""
        arrival = process.arrival
        turn = arrival.turns[process.turn]
        if process.job is None:
            process.core = min(range(len(self._cores)), key=lambda i: (self._load(i), i))
        index = process.core
        if not process.tries:
            process.came = now
        ahead = {priority: Ahead(*counts) for priority, counts in self._ahead[index].items()}
        asked = Asked(arrival.priority, turn.prompt, turn.answer)
        # A process that runs is let go on: what it holds already would be lost otherwise.
        refusal = None if process.job else admit(asked, ahead, self._door, self._cores[index].costs)
        if refusal is not None:
            self.found.refused += 1
            process.tries += 1
            if process.tries > TRIES or refusal.retry_after is None:
                self.found.lost += 1
                progress(1)
            else:
                heapq.heappush(self._coming, (now + 1000 * refusal.retry_after, process.key))
            return None
        self._begin(process, turn.prompt, turn.answer, now)
        return index

    def _begin(self, process: Process, prompt: int, answer: int, now: float) -> None:
        arrival, index = process.arrival, process.core
        shares = self._shares[index]
        share = shares.get(arrival.tree)
        if share is None:
            share = shares[arrival.tree] = Share(arrival.tree, weight(arrival.nice))
        if process.job is None:
            process.job = Job(process.key, share, arrival.priority, prompt, answer)
            if PREFIXES[arrival.prefix]:
                process.job.prefix, process.job.shared = arrival.prefix, PREFIXES[arrival.prefix]
        process.job.prompt, process.job.answer = prompt, answer
        self._count(index, arrival.priority, prompt, answer, 1)
        self._cores[index].add(process.job, now)

    def _count(self, index: int, priority: int, prompt: int, answer: int, sign: int) -> None:
        counts = self._ahead[index][priority]
        for i, value in enumerate((1, prompt, answer)):
            counts[i] += sign * value

    def _load(self, index: int) -> float:
        """Milliseconds of work that is there."""
        costs, streams = self._cores[index].costs, self._door.streams
        counts = self._ahead[index].values()
        answers = sum(c[2] for c in counts) * costs.decode(streams) / streams
        return sum(c[1] for c in counts) * costs.prefill_each + answers

    def _through(self, job: Job, now: float, progress: Callable[[int], None]) -> None:
        """A turn is over."""
        process, found = self._processes[job.key], self.found
        arrival, turn = process.arrival, process.arrival.turns[process.turn]
        assert job.first is not None
        wait = job.first + job.came - process.came
        found.waits[CLASSES[arrival.priority]].append(wait)
        if process.turn:
            found.resumed.append(wait)
        found.gaps[CLASSES[arrival.priority]].append(job.gap)
        found.tokens += turn.answer
        self._count(process.core, arrival.priority, turn.prompt, turn.answer, -1)
        process.turn, process.tries = process.turn + 1, 0
        if process.turn < len(arrival.turns):
            heapq.heappush(self._coming, (now + turn.pause, process.key))
            return
        if not job.share.active:
            self._shares[process.core].pop(arrival.tree, None)
        progress(1)

    def _measure(self, now: float) -> None:
        """A window is over: how fair it was."""
        for index, core in enumerate(self._cores):
            waiting: dict[str, dict[int, Share]] = {c: {} for c in CLASSES}
            for job in core.jobs.values():
                waiting[CLASSES[job.priority]][job.share.key] = job.share
            for name, shares in waiting.items():
                got = [s.got for s in backlogged(shares.values(), self._window - WINDOW)]
                if len(got) > 1 and any(got):
                    self.found.fairness[name].append((len(got), jain(got)))
            for share in self._shares[index].values():
                share.got = 0.0
        self._window = now + WINDOW


def figures(found: Found) -> dict[str, Any]:
    """What the table and the JSON show; seconds."""
    fairness = [entry for entries in found.fairness.values() for entry in entries]
    trees = sum(n for n, _ in fairness)
    return {
        "wait_s": {name: _quantiles(waits) for name, waits in found.waits.items()},
        "resumed_wait_s": _quantiles(found.resumed),
        "gap_s": {name: _quantiles(gaps) for name, gaps in found.gaps.items()},
        "jain": round(sum(n * j for n, j in fairness) / trees, 3) if trees else None,
        "makespan_s": round(found.makespan / 1000, 1),
        "tokens_per_s": round(found.tokens / found.makespan * 1000, 1),
        "turns": sum(map(len, found.gaps.values())), "refused": found.refused, "lost": found.lost,
        "steps": found.steps, "swaps": found.swaps,
    }  # fmt: skip


def _quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "worst": 1.0}
    return {n: round(ordered[min(int(q * len(ordered)), len(ordered) - 1)] / 1000, 3) for n, q in at.items() if ordered}


def stretched(arrivals: Sequence[Arrival], load: float, cores: int, budget: Budget, costs: Costs) -> list[float]:
    """The times of the arrivals in milliseconds, so that their work takes ``load`` of the cores' time."""
    drawn = costs.decode(budget.streams) / budget.streams
    seen: set[int] = set()
    work = 0.0
    for arrival in arrivals:
        work += sum(t.prompt * costs.prefill_each + t.answer * drawn for t in arrival.turns)
        if arrival.prefix in seen:
            work -= PREFIXES[arrival.prefix] * costs.prefill_each
        seen.add(arrival.prefix)
    span = arrivals[-1].time or 1.0
    return [a.time / span * work / (load * cores) for a in arrivals]


def compare(
    names: Sequence[str], arrivals: Sequence[Arrival], times: Sequence[float], cores: int, budget: Budget, costs: Costs,
    door: Door, progress: Callable[[str, int], None] = lambda name, done: None,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """The figures of each policy on the same trace."""
    found = {}
    for name in names:
        machine = [Core(POLICIES[name], budget, costs) for _ in range(cores)]
        begun = time.perf_counter()
        simulation = Simulation(list(zip(times, arrivals, strict=True)), machine, door)
        found[name] = figures(simulation.run(lambda done, name=name: progress(name, done)))
        found[name]["took_s"] = round(time.perf_counter() - begun, 1)
    return found


def table(found: dict[str, dict[str, Any]]) -> Table:
    """One row for each policy."""
    view = Table("policy", *(f"{c} wait" for c in CLASSES), "resumed", "gap", "Jain", "makespan", "refused", "swaps")
    view.caption = "seconds: median / p95 / p99; gap: p99 of the longest in each answer, by class"
    for name, row in found.items():
        waits = [" / ".join(f"{row['wait_s'][c].get(q, 0):.2f}" for q in ("p50", "p95", "p99")) for c in CLASSES]
        resumed = " / ".join(f"{row['resumed_wait_s'].get(q, 0):.2f}" for q in ("p50", "p95", "p99"))
        gap = " / ".join(f"{row['gap_s'][c].get('p99', 0):.2f}" for c in CLASSES)
        rest = [str(row[k]) for k in ("jain", "makespan_s", "refused", "swaps")]
        view.add_row(name, *waits, resumed, gap, *rest)
    return view


def options() -> argparse.ArgumentParser:
    """What can be asked for; costs are those of SmolLM2-135M Q8_0 on two cores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=100_000)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--load", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--policies", default="ours,fifo,rr")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--batch", type=int, default=512, help="most tokens in a step")
    parser.add_argument("--grain", type=int, default=2, help="least tokens of a cut")
    parser.add_argument("--quantum", type=int, default=512, help="tokens")
    parser.add_argument("--queue", type=int, default=64, help="how many may wait for a stream")
    parser.add_argument("--decode-base", type=float, default=4.0, help="ms of a decode step")
    parser.add_argument("--decode-each", type=float, default=3.5, help="ms of each token in it")
    parser.add_argument("--prefill-each", type=float, default=1.2, help="ms of a token of a prompt")
    parser.add_argument("--json", type=Path)
    return parser


def main() -> None:
    given = options().parse_args()
    costs = Costs(given.decode_base, given.decode_each, given.prefill_each)
    budget = Budget(given.streams, given.grain, given.batch, given.quantum)
    door = Door(given.streams, given.queue)
    arrivals = list(trace(given.processes, given.seed))
    times = stretched(arrivals, given.load, given.cores, budget, costs)
    names = given.policies.split(",")
    if unknown := set(names) - set(POLICIES):
        sys.exit(f"no such policy: {', '.join(sorted(unknown))}; there are {', '.join(POLICIES)}")
    with Progress(transient=True, console=Console(stderr=True)) as bar:
        tasks = {name: bar.add_task(name, total=len(arrivals)) for name in names}
        found = compare(
            names, arrivals, times, given.cores, budget, costs, door,
            progress=lambda name, done: bar.advance(tasks[name], done),
        )  # fmt: skip
    Console().print(table(found))
    if given.json:
        given.json.write_text(
            json.dumps({"options": vars(given) | {"json": str(given.json)}, "policies": found}, indent=1)
        )


if __name__ == "__main__":
    main()
