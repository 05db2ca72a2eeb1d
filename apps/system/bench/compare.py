"""Several servers under one load: a fresh server for each run, taking turns, so that a machine's moods touch all alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from .client import Target
from .numbers import Figures, medians, ratios
from .peers import Peer, Room, serving

Job = Callable[[Target], Awaitable[Figures]]
"""What is measured on a server that has just been started."""

OnRun = Callable[[str, int], None]
"""Told which peer runs, and how many runs are done."""


async def alternate(
    peers: Sequence[tuple[Peer, Room]], job: Job, runs: int, on_run: OnRun = lambda name, done: None
) -> dict[str, list[Figures]]:
    """The figures of every run by peer, each with its room: A B A B … with ``runs`` of each."""
    found: dict[str, list[Figures]] = {peer.name: [] for peer, _ in peers}
    for turn in range(runs):
        for place, (peer, room) in enumerate(peers):
            on_run(peer.name, turn * len(peers) + place)
            async with serving(peer, room) as target:
                found[peer.name].append(await job(target))
    return found


def side_by_side(found: Mapping[str, Sequence[Figures]], against: str) -> dict[str, dict[str, float | None]]:
    """Medians by peer, and under ``PEER / against`` the ratios to the one that the others are compared with."""
    told = {name: medians(runs) for name, runs in found.items()}
    others = [name for name in found if name != against]
    if against in found:
        told |= {f"{name} / {against}": ratios(found[name], found[against]) for name in others}
    return told
