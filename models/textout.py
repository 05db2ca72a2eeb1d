"""From token bytes to text that may be shown: whole characters only, and nothing of a stop string."""

import codecs
from collections.abc import Sequence


class TextOut:
    """Collects the bytes of an answer and releases the text that can no longer change.

    Bytes of an unfinished character are held back until it is whole (a broken one becomes U+FFFD), and so is
    any ending that could still grow into one of the ``stops``. ``stopped`` is the stop string that was met.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = tuple(s for s in stops if s)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped: str | None = None

    def feed(self, data: bytes) -> str:
        """Take the bytes of one token; return what may be shown now."""
        return self._release(self._held + self._decoder.decode(data), final=False)

    def finish(self) -> str:
        """The answer is over: return the rest."""
        if self.stopped is not None:
            return ""
        return self._release(self._held + self._decoder.decode(b"", final=True), final=True)

    def _release(self, text: str, *, final: bool) -> str:
        if self.stopped is not None:
            return ""
        met = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if met:
            at, self.stopped = min(met)
            self._held = ""
            return text[:at]
        keep = 0 if final else self._could_grow(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _could_grow(self, text: str) -> int:
        """Length of the longest ending of ``text`` that begins a stop string."""
        most = max((len(s) for s in self._stops), default=1) - 1
        for length in range(min(most, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
