"""Which settings are measured, in which order, and which is taken. Pure: it knows no clock, no file and no engine.

1. The file as it was brought gives the reference of perplexity.
2. Formats: each against the present setting, in the first of the ways; perplexity beside speed.
3. Ways: the fastest formats within the loss, in every way; those that promise something are put to the proof. Where
   in the two fastest formats no way is to be had, further formats follow.
4. Threads, then sizes of batches: one after the other, from the best so far; a change must gain `GAIN`.

Every comparison is of seconds a turn (`Speed.turn`) in rounds that take turns, so noise meets both alike; what
counts is the median of the ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from ..faults import EngineFault, Full, ModelFault, NoSuchModel, Unsupported
from ..perplexity import loss, perplexity
from .setting import Aim, Proof, Row, Setting, Speed

GAIN = 0.98  # a change of threads or sizes is taken where the turn takes at most this share of the time
BATCHES = (128, 256, 512, 1024)

Rounds = Sequence[Speed]


class Measurer(Protocol):
    """What carries the measurements out. Everything may raise a `ModelFault` for a setting that does not work."""

    def compare(self, first: Setting, second: Setting, rounds: int) -> tuple[Rounds, Rounds]:
        """So many rounds of both, in turns; fewer where the second is clearly slower."""

    def surprises(self, setting: Setting) -> Sequence[float]:
        """Of the measuring text, token by token; see `perplexity.surprises`."""

    def prove(self, setting: Setting) -> Proof:
        """Whether the setting's way holds what it promises."""

    def drop(self, form: str) -> None:
        """The format is not needed any more."""


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    present: Setting  # what is in use, and what all is compared with
    source: str  # the format of the file as it was brought
    formats: tuple[str, ...]  # to choose from
    ways: tuple[str, ...]  # to choose from, the first for comparing formats
    shown: tuple[str, ...] = ()  # ways that are measured in the best format, and never taken
    proved: frozenset[str] = frozenset({"exact", "exact-q8"})  # ways that promise something
    grains: dict[str, int] = field(default_factory=lambda: {"exact": 2, "exact-q8": 1, "fast": 1})
    most: float = 0.02  # loss of perplexity, as a share
    aim: Aim = "agents"
    cores: int = 1
    rounds: int = 3
    finalists: int = 2
    sizes: tuple[int, ...] = BATCHES
    least_batch: int = 128  # a step must hold a token of every stream


@dataclass(frozen=True)
class Found:
    """What came out."""

    chosen: Setting
    relative: float
    reference: float
    rows: list[Row]


OnStep = Callable[[str, float], None]


def search(plan: Plan, measurer: Measurer, tell: OnStep = lambda what, share: None) -> Found:
    """Carry the plan out. Raises `Unsupported` where nothing is within the loss or no way holds, and `Full`."""
    return _Search(plan, measurer, tell).run()


class _Search:
    def __init__(self, plan: Plan, measurer: Measurer, tell: OnStep) -> None:
        self._plan, self._measurer, self._tell = plan, measurer, tell
        self._rows: list[Row] = []
        self._reference: Sequence[float] = ()
        ways = len(plan.ways) + len(plan.shown)
        # What each format, each way of a finalist and each trial takes alike, roughly.
        self._steps = 2 * len(plan.formats) + plan.finalists * ways * 2 + len(plan.sizes) + len(_threads(plan)) + 2
        self._done = 0

    def run(self) -> Found:
        plan = self._plan
        self._step(f"perplexity of {plan.source}, as it was brought")
        as_brought = plan.present.but(format=plan.source)
        self._reference = self._measurer.surprises(as_brought)
        rows = [self._format(form) for form in plan.formats]
        best = self._best_way(sorted((row for row in rows if self._fits(row)), key=_relative))
        chosen = self._sizes(self._threads(best.setting))
        relative = 1.0
        if chosen != plan.present:
            self._step("the chosen setting against the present one")
            _, _, relative = self._against(plan.present, chosen, plan.rounds + 2)
        return Found(chosen, relative, perplexity(self._reference), self._rows)

    # -- formats and ways --

    def _format(self, form: str) -> Row:
        row = self._measure(self._plan.present.but(format=form, way=self._plan.ways[0]))
        if not self._fits(row):
            self._drop(form)
        return row

    def _drop(self, form: str) -> None:
        if form != self._plan.present.format:
            self._measurer.drop(form)

    def _measure(self, setting: Setting, *, prove: bool = False) -> Row:
        """A row for the table; its ``failed`` tells of a setting that does not work."""
        name = f"{setting.format}, {setting.way}"
        row = Row(setting=setting)
        try:
            self._step(f"speed of {name}")
            _, speed, relative = self._against(self._plan.present, setting, self._plan.rounds)
            self._step(f"perplexity of {name}")
            own = self._measurer.surprises(setting)
            lost = loss(own, self._reference)
            proof = self._measurer.prove(setting) if prove and setting.way in self._plan.proved else None
            row = Row(
                setting=setting, speed=speed, relative=relative, perplexity=perplexity(own), loss=lost.share,
                loss_error=lost.error, proof=proof,
            )  # fmt: skip
        except (Full, NoSuchModel):
            raise
        except ModelFault as fault:
            row = Row(setting=setting, failed=fault.message)
        self._rows.append(row)
        return row

    def _fits(self, row: Row) -> bool:
        return not row.failed and row.loss is not None and row.loss <= self._plan.most

    def _best_way(self, formats: list[Row]) -> Row:
        """The fastest format in a way that holds; ``formats`` fit, the fastest first."""
        if not formats:
            broken = next((f"{row.setting.format}: {row.failed}" for row in self._rows if row.failed), "")
            if broken:
                raise EngineFault(broken, hint="no other format loses as little as was allowed")
            raise Unsupported(
                f"no format loses at most {self._plan.most:.1%} of perplexity", hint="allow more with --loss, or others"
            )
        for row in formats[self._plan.finalists :]:
            self._drop(row.setting.format)  # it is made again should it be needed after all
        sound: list[Row] = []
        for number, row in enumerate(formats):
            if number >= self._plan.finalists and sound:
                break
            shown = self._plan.shown if number == 0 else ()
            rows = [self._prove(row), *(self._measure(row.setting.but(way=w), prove=True) for w in self._plan.ways[1:])]
            sound += [r for r in rows if self._fits(r) and _holds(r)]
            for way in shown:
                self._measure(row.setting.but(way=way))
        if not sound:
            raise Unsupported(
                f"none of the ways {', '.join(self._plan.ways)} holds what it promises on this processor",
                hint="llmos model tune --ways fast, or name other --formats",
            )
        return min(sound, key=_relative)

    def _prove(self, row: Row) -> Row:
        """The row with its proof, in its place in the table."""
        if row.setting.way not in self._plan.proved:
            return row
        self._step(f"proof of {row.setting.format}, {row.setting.way}")
        changes: dict[str, object]
        try:
            changes = {"proof": self._measurer.prove(row.setting)}
        except ModelFault as fault:
            changes = {"failed": fault.message}
        proved = row.model_copy(update=changes)
        self._rows[self._rows.index(row)] = proved
        return proved

    # -- threads and sizes --

    def _threads(self, best: Setting) -> Setting:
        """Threads for steps of many tokens by the aim; those for steps of one by what one process alone takes."""
        for count in _threads(self._plan):
            best = self._better(best, best.but(threads_batch=count), f"{count} threads for batches", self._plan.aim)
        for count in _threads(self._plan):
            best = self._better(best, best.but(threads=count), f"{count} threads for one token", "latency")
        return best

    def _sizes(self, best: Setting) -> Setting:
        for size in self._plan.sizes:
            if size >= self._plan.least_batch:
                best = self._better(best, best.but(batch=size, ubatch=size), f"steps of {size}", self._plan.aim)
        if self._plan.grains[best.way] > 1:
            return best  # llama.cpp would cut a step where it must not be cut
        for size in self._plan.sizes:
            if size < best.batch:
                best = self._better(best, best.but(ubatch=size), f"{size} tokens at once", self._plan.aim)
        return best

    def _better(self, best: Setting, other: Setting, what: str, aim: Aim) -> Setting:
        """The other setting where it clearly gains."""
        if other == best:
            return best
        self._step(what)
        try:
            first, second = self._measurer.compare(best, other, self._plan.rounds)
        except ModelFault:
            return best
        return other if _ratio(first, second, aim) < GAIN else best

    def _against(self, present: Setting, setting: Setting, rounds: int) -> tuple[Rounds, Speed, float]:
        """Rounds of the present setting, medians of the other, and how long its turn takes as a share."""
        first, second = self._measurer.compare(present, setting, rounds)
        return first, _medians(second), _ratio(first, second, self._plan.aim)

    def _step(self, what: str) -> None:
        self._tell(what, min(self._done / self._steps, 0.99))
        self._done += 1


def _threads(plan: Plan) -> list[int]:
    """Counts to try: all cores, and fewer of them by steps; on many cores a few, evenly spread."""
    wanted: Iterable[int] = range(1, plan.cores + 1)
    if plan.cores > 4:
        wanted = {round(plan.cores * part / 4) for part in range(1, 5)}
    return sorted(set(wanted), reverse=True)


def _ratio(first: Rounds, second: Rounds, aim: Aim) -> float:
    return median(b.turn(aim) / a.turn(aim) for a, b in zip(first, second, strict=True))


def _medians(rounds: Rounds) -> Speed:
    decode = {size: median(r.decode[size] for r in rounds) for size in rounds[0].decode}
    return Speed(prefill=median(r.prefill for r in rounds), decode=decode)


def _relative(row: Row) -> float:
    assert row.relative is not None
    return row.relative


def _holds(row: Row) -> bool:
    return row.proof is None or row.proof.holds
