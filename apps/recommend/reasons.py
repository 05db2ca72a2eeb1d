"""True sentences about why an item is proposed; the model only chooses among them."""

import numpy as np

from .ease import Matrix
from .rank import Pick, Ranker

ENOUGH = 3  # people behind a statement about people


def reasons(ranker: Ranker, pick: Pick, taste: Matrix) -> list[str]:
    """Sentences drawn from the data, at least one: what speaks of this user, or else of the item alone."""
    return [*_company(ranker, pick, taste), *_likeness(ranker, pick, taste)] or [_standing(ranker, pick)]


def _company(ranker: Ranker, pick: Pick, taste: Matrix) -> list[str]:
    found = []
    for liked in ranker.pulls(pick.item, taste)[:2]:
        of, both = ranker.together(liked, pick.item)
        if both >= ENOUGH and 3 * both >= of:
            title = ranker.items[liked].title
            found.append(f"You liked {title}, and {both} of the {of} people who liked it liked this too.")
    return found


def _likeness(ranker: Ranker, pick: Pick, taste: Matrix) -> list[str]:
    mine = ranker.items[pick.item].tags
    liked = [int(at) for at in np.argsort(-taste, kind="stable") if taste[at] > 0]
    shared = [(len(common), at, common) for at in liked if (common := [t for t in mine if t in ranker.items[at].tags])]
    # A stable sort keeps what the user liked best first among equals.
    shared.sort(key=lambda entry: -entry[0])
    return [
        f"It shares {_and(common[:3])} with {ranker.items[at].title}, which you liked." for _, at, common in shared[:2]
    ]


def _standing(ranker: Ranker, pick: Pick) -> str:
    count = int(ranker.counts[pick.item])
    if pick.new or not count:
        return "It is new: nobody has rated it yet."
    return f"{count} {'person has' if count == 1 else 'people have'} rated it."


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
