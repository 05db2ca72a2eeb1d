"""On which core a process computes: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import NotFound


@dataclass(frozen=True)
class View:
    """One core, as far as the decision needs it."""

    name: str
    model: str
    kind: str
    admits: bool  # takes work now
    streams: int  # answers at a time
    busy: int  # pieces of work under way and waiting
    processes: int = 0  # that live there
    cached: int = 0  # tokens of the prompt that lie there


def place(wanted: str, views: Sequence[View]) -> str:
    """The name of the core for a new process that asks for ``wanted``: a core, a model, or "" for the first's model.

    Who names a core gets it; of several with the model, the `best` of those that are of the first one's kind. Raises
    `NotFound` with those there are.
    """
    return best(_group(wanted, views))


def best(views: Sequence[View]) -> str:
    """The name of the core that serves a process best, all having the same model.

    Those come first that take work now; then those with a free place; then the one that has most of the prompt; then
    the least busy by its streams, and by the processes that live there; then the first.
    """
    return min(views, key=_rank).name


def _group(wanted: str, views: Sequence[View]) -> list[View]:
    named = [view for view in views if view.name == wanted != view.model]  # else it is the model that was named
    if named:
        return named
    model = wanted or views[0].model
    same = [view for view in views if view.model == model]
    if not same:
        there = ", ".join(dict.fromkeys(view.name for view in views))
        raise NotFound(
            f"the model {wanted!r} is not loaded", hint=f"there is {there}; llmos --model takes several", model=wanted
        )
    return [view for view in same if view.kind == same[0].kind]


def _rank(view: View) -> tuple[bool, bool, int, float, float]:
    return (
        not view.admits,
        view.busy >= view.streams,
        -view.cached,
        view.busy / view.streams,
        view.processes / view.streams,
    )
