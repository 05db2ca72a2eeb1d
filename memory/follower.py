"""An index at the side of the truth: opened, compared, filled and mended behind the back of those who search."""

import logging
import random
from collections.abc import Callable, Iterator

from .upkeep import Progress
from .vectors import IndexBroken, Truth, VectorIndex, agrees, follow

log = logging.getLogger(__name__)

SAMPLE = 64  # vectors that are compared with the truth on opening, beside the
NEWEST = 16  # newest that the index says it has
FAILURES = 2  # after which it is left alone until the next start


class Follower:
    """Owns an index. `steps` belongs to one thread; `index` may be asked by any."""

    def __init__(self, factory: Callable[[], VectorIndex]) -> None:
        self._factory = factory
        self._index: VectorIndex | None = None
        self._ready: set[str] = set()  # spaces that were compared and may be searched
        self._failures = 0
        self._broken = False

    def index(self, truth: Truth) -> VectorIndex | None:
        """The index, where it may be asked about this space."""
        return self._index if truth.name in self._ready and not self._broken else None

    def failed(self, error: Exception) -> None:
        """It failed whoever searched: it is made anew by the next steps."""
        log.warning("searching without the index of vectors: %s", error)
        self._broken = True

    def steps(self, truth: Truth) -> Iterator[Progress]:
        """Bring a space in step, from whatever state."""
        what, failures = "indexing vectors", self._failures
        while self._failures < FAILURES and self._failures <= failures + 1:
            try:
                if self._broken:
                    self._mend()
                self._index = self._index or self._factory()
                if truth.name not in self._ready:
                    yield Progress("checking the index of vectors", 0, truth.count)
                    self._compare(self._index, truth)
                for seen in follow(self._index, truth):
                    yield Progress(what, seen, max(seen, truth.count))
                return
            except (IndexBroken, ImportError) as error:
                self._failures += 1
                self.failed(error)

    def drop(self, space: str) -> None:
        """Forget a space that is no more."""
        if self._index and not self._broken:
            try:
                self._index.drop(space)
            except IndexBroken as error:
                self.failed(error)
        self._ready.discard(space)

    def clear(self) -> None:
        """Forget everything; the next steps begin anew."""
        self._broken, self._failures = True, 0
        self._ready.clear()

    def close(self) -> None:
        """Give back what the index holds."""
        if self._index:
            self._index.close()

    def _mend(self) -> None:
        self._ready.clear()
        self._index = self._index or self._factory()
        self._index.clear()
        self._broken = False

    def _compare(self, index: VectorIndex, truth: Truth) -> None:
        """Fill a space anew unless what it holds is the truth."""
        held = index.held(truth.name)
        if held:
            marks = [one for one in truth.after(type(held.mark)()) if one <= held.mark]
            some = random.Random(len(marks)).sample(marks, min(SAMPLE, len(marks))) + marks[-NEWEST:]
            lost = len(marks) > held.count
            if lost or not agrees(index, truth, sorted({one.key for one in some})):
                log.warning("the index of vectors does not hold what is stored: it is filled anew")
                index.drop(truth.name)
        self._ready.add(truth.name)
