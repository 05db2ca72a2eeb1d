"""From ratings and texts to the best items for one user."""

from dataclasses import dataclass

import numpy as np

from .ease import Ease, Matrix
from .table import Item, Ratings

CELLS = 50_000_000  # users x items of the model, 400 MB; beyond it the least rated items are scored like new ones
SHORTLIST = 200  # items whose order their texts may still change
NEW = 500  # items without ratings that are looked at
NEIGHBOURS = 10  # rated items that stand for a new one, among the USUAL most rated
USUAL = 1_000
NEW_SHARE = 5  # at most one in so many of a list is new, as long as there are others
# Chosen in a trial on MovieLens small: nDCG@10 of the last films that users liked 0.0926 without them, 0.0930 with
# both; with three liked films known 0.343 and 0.356. The whole ranker, which may propose unrated films too, gives
# 0.0929 (616 users); with neighbours of a new film among those that the user has rated it would give 0.0878.
POPULARITY, CONTENT = 0.02, 0.02


@dataclass(frozen=True)
class Pick:
    """An item proposed, by its place in the catalogue."""

    item: int
    score: float
    new: bool  # nobody has rated it: scored by what its text is like


class Ranker:
    """All that does not depend on the user. Building it takes a second for 10 million cells: call it in a thread."""

    def __init__(self, items: dict[str, Item], ratings: Ratings) -> None:
        self.items = list(items.values())
        self.place = {key: at for at, key in enumerate(items)}
        self.users = ratings.users
        self._weight = ratings.weight
        counts = np.zeros(len(self.items))
        for rated in ratings.users.values():
            for key in rated.keys() & self.place.keys():
                counts[self.place[key]] += 1
        self.counts = counts
        most = max(1, min(int((counts > 0).sum()), CELLS // len(ratings.users)))
        self._by_count = np.argsort(-counts, kind="stable")
        self._warm = np.sort(self._by_count[:most])
        self._column = {int(item): at for at, item in enumerate(self._warm)}
        self.matrix = np.array([self._taste(rated)[self._warm] for rated in ratings.users.values()])
        self._ease = Ease(self.matrix)

    def _taste(self, rated: dict[str, float]) -> Matrix:
        taste = np.zeros(len(self.items))
        for key, rating in rated.items():
            if key in self.place:
                taste[self.place[key]] = self._weight(rating)
        return taste

    def taste(self, user: str, likes: list[str]) -> Matrix:
        """Weights of what is known of a user, shape (items,): ratings, and 1 for each id in ``likes``."""
        taste = self._taste(self.users.get(user, {}))
        taste[[self.place[key] for key in likes]] = 1.0
        return taste

    def known(self, user: str, likes: list[str]) -> set[int]:
        """Items that must not be proposed: rated or named by the user."""
        return {self.place[key] for key in (*self.users.get(user, {}), *likes) if key in self.place}

    def base(self, taste: Matrix) -> Matrix:
        """Scores from ratings and popularity, shape (items,); 0 for items that the model does not hold."""
        popularity = np.log1p(self.counts) / np.log1p(max(self.counts.max(), 1))
        scores = POPULARITY * popularity
        scores[self._warm] += self._ease.scores(taste[self._warm])
        return np.asarray(scores)

    def wanted(self, base: Matrix, known: set[int], most: int) -> list[int]:
        """Items whose texts are worth comparing: the user's own, the best so far, new ones, then the most rated."""
        best = np.argsort(-base, kind="stable")[:SHORTLIST]
        new = [at for at in range(len(self.items)) if at not in self._column][:NEW]
        order = (int(at) for part in (sorted(known), best, new, self._by_count) for at in part)
        return list(dict.fromkeys(order))[:most]

    def rank(self, taste: Matrix, known: set[int], texts: dict[int, Matrix], k: int) -> list[Pick]:
        """The ``k`` best items; ``texts`` holds unit vectors of the `wanted` ones."""
        scores = self.base(taste)
        places = np.array(list(texts))
        vectors = np.array(list(texts.values()))
        mine = vectors.T @ taste[places]
        length = float(np.linalg.norm(mine))
        new = np.array([at not in self._column for at in places])
        # Only among the most rated: were the best for this user among them, every new item would look good.
        # Nor among those the user has rated: these carry the taste itself, and no item proposed can keep up with that.
        usual = ~new & np.isin(places, self._by_count[:USUAL]) & ~np.isin(places, list(known))
        for row in np.flatnonzero(new if usual.any() else []):
            # A new item promises what the items most like it promise, less the less alike they are.
            likeness = vectors[usual] @ vectors[row]
            near = np.argsort(-likeness, kind="stable")[:NEIGHBOURS]
            scores[places[row]] = float((likeness[near] * scores[places[usual][near]]).sum()) / NEIGHBOURS
        if length:
            scores[places] += CONTENT * (vectors @ mine) / length
        order = (int(at) for at in np.argsort(-scores, kind="stable") if int(at) not in known)
        scored = [at for at in order if at in self._column or at in texts]
        late = set([at for at in scored if at not in self._column][max(1, k // NEW_SHARE) :])
        # Sorting is stable: new items above their share stand behind all others, and both keep their order.
        best = sorted(scored, key=late.__contains__)[:k]
        return [Pick(at, float(scores[at]), at not in self._column) for at in best]

    def pulls(self, item: int, taste: Matrix) -> list[int]:
        """What the user liked and speaks for the item, strongest first."""
        if item not in self._column:
            return []
        pull = self._ease.pull(self._column[item]) * np.maximum(taste[self._warm], 0)
        return [int(self._warm[at]) for at in np.argsort(-pull, kind="stable") if pull[at] > 0]

    def together(self, one: int, other: int) -> tuple[int, int]:
        """Of how many users who liked ``one``, how many liked ``other`` too."""
        liked = self.matrix[:, self._column[one]] > 0
        return int(liked.sum()), int((liked & (self.matrix[:, self._column[other]] > 0)).sum())
