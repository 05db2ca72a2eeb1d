"""The app: read two CSV files, rank, and let the model choose the reason."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from ...syscalls.api import App, BadInput, HandedIn, NotFound, Sentences, Sys
from .ease import Matrix
from .rank import Pick, Ranker
from .reasons import reasons
from .table import read_items, read_ratings

MOST_TEXTS = 2_000  # items whose texts are compared


class Proposal(BaseModel):
    """One item proposed."""

    rank: int
    id: str
    title: str
    score: float
    reason: str


class Result(BaseModel):
    """What `recommend` returns. ``method`` names what the scores rest on."""

    user: str
    method: str
    proposals: list[Proposal]


class Recommend(App):
    """Propose items for a user from everyone's ratings, and say why."""

    summary = "Propose items for a user from ratings, and say why"

    class Args(BaseModel):
        """What to propose from, and for whom."""

        items: HandedIn = Field(description="CSV of items: id, title and any further columns")
        ratings: HandedIn = Field(description="CSV of ratings: user, item, rating")
        user: str = Field("", description="the user to propose for")
        likes: list[str] = Field([], description="ids of items that somebody without ratings likes")
        k: int = Field(10, ge=1, le=100, description="how many items", json_schema_extra={"short": "k"})

    async def main(self, sys: Sys, args: Args) -> Result:
        """Raises `BadInput` for a table that cannot be used, `NotFound` for a user or item not there."""
        items = read_items(args.items.removeprefix("in/"), await sys.read(args.items))
        ratings = read_ratings(args.ratings.removeprefix("in/"), await sys.read(args.ratings))
        _check_user(args, list(ratings.users), items)
        ranker = await asyncio.to_thread(Ranker, items, ratings)
        taste, known = ranker.taste(args.user, args.likes), ranker.known(args.user, args.likes)
        wanted = ranker.wanted(ranker.base(taste), known, MOST_TEXTS)
        vectors = (await sys.embed([ranker.items[at].text for at in wanted])).vectors
        texts: dict[int, Matrix] = {at: np.array(v) for at, v in zip(wanted, vectors, strict=True)}
        picks = await asyncio.to_thread(ranker.rank, taste, known, texts, args.k)
        proposals = []
        for rank, pick in enumerate(picks, 1):
            await sys.progress(rank - 1, len(picks), ranker.items[pick.item].title)
            item, reason = ranker.items[pick.item], await _reason(sys, ranker, pick, taste)
            proposals.append(
                Proposal(rank=rank, id=item.id, title=item.title, score=round(pick.score, 4), reason=reason)
            )
        await sys.progress(1, 1)
        method = "EASE on ratings, with popularity and content" if taste.any() else "popularity"
        return Result(user=args.user, method=method, proposals=proposals)

    def show(self, result: Any) -> str:
        """A numbered list with reasons."""
        if not result.proposals:
            return "Nothing is left to propose: every item is known to this user."
        return "\n".join(f"{p.rank:>2}. {p.title}\n    {p.reason}" for p in result.proposals)


def _check_user(args: Recommend.Args, users: list[str], items: dict[str, Any]) -> None:
    if not args.user and not args.likes:
        raise BadInput("nobody to propose for", hint="give --user, or --likes with ids of items")
    if args.user and args.user not in users and not args.likes:
        raise NotFound(
            f"no ratings by the user {args.user!r}",
            hint=f"there are {len(users)} users, such as {', '.join(users[:3])}; for a new user give --likes ITEM",
            user=args.user,
        )
    if missing := [key for key in args.likes if key not in items]:
        raise NotFound(f"no item with the id {missing[0]!r}", hint=f"ids look like {next(iter(items))!r}")


async def _reason(sys: Sys, ranker: Ranker, pick: Pick, taste: Matrix) -> str:
    options = reasons(ranker, pick, taste)
    if len(options) == 1:
        return options[0]
    liked = [ranker.items[int(at)].title for at in np.argsort(-taste, kind="stable")[:5] if taste[at] > 0]
    frame = files(__package__).joinpath("prompts/reason.txt").read_text("utf-8")
    prompt = frame.format(liked="; ".join(liked), item=ranker.items[pick.item].text[:300])
    chosen = await sys.generate(prompt, spans=Sentences(texts=options, least=1, most=1), max_tokens=120)
    return chosen.text
