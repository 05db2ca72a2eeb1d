"""What changed of a context since it was last written."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from .pages import Change, Header, Page


@dataclass
class Ledger:
    """Owned by its `Context`. ``gone`` outlasts a commit, as nobody says here when that has come about."""

    gone: set[str] = field(default_factory=set)  # dropped, and perhaps still in the store
    _dirty: set[str] = field(default_factory=set)  # resident
    _left: dict[str, Page] = field(default_factory=dict)
    _dropped: list[str] = field(default_factory=list)
    _covered: list[tuple[str, str]] = field(default_factory=list)  # (summary, page)
    _bared: list[tuple[str, str]] = field(default_factory=list)  # (page, summary that is gone)
    _header: bool = False
    _all: bool = False

    def touched(self, handles: Iterable[str]) -> None:
        """These are resident, and new or changed."""
        for handle in handles:
            self._dirty.add(handle)
            self._left.pop(handle, None)

    def left(self, page: Page) -> None:
        """It is in the store, and out."""
        self._left[page.handle] = page
        self._dirty.discard(page.handle)

    def dropped(self, pages: Collection[Page], stored: set[str]) -> None:
        """They are gone for good; of those that went before, ``stored`` are still in the store."""
        handles = {page.handle for page in pages}
        self.gone = stored | handles
        self._dropped += handles
        self._dirty -= handles
        for page in pages:
            self._left.pop(page.handle, None)
            self._bared += [(handle, page.handle) for handle in page.covers]

    def covered(self, summary: str, handles: Iterable[str]) -> None:
        """The page ``summary`` sums these up."""
        self._covered += [(summary, handle) for handle in handles]

    def header(self, changed: bool = True) -> None:
        """Something besides the pages changed, if it did."""
        self._header |= changed

    def everything(self) -> None:
        """What was taken last was not written."""
        self._all = True

    def read(self, header: Header, resident: Mapping[str, Page]) -> Change | None:
        """All of it; None where nothing changed."""
        if not (self._header or self._dirty or self._left or self._dropped or self._all):
            return None
        pages = resident.values() if self._all else [resident[handle] for handle in self._dirty]
        return Change(
            header, (*pages, *self._left.values()), tuple(self.gone if self._all else self._dropped),
            tuple(self._covered), tuple(self._bared), tuple(resident) if self._all else None,
        )  # fmt: skip
