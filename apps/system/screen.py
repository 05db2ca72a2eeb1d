"""What the job in the foreground says, as it comes; on a terminal broken between words.

Until words come, a line on a terminal tells how far the work is; it goes when they do.
"""

import re
import shutil
import sys
import time

from prompt_toolkit.utils import get_cwidth

from .display import clean

QUIET = 1.0  # seconds without a word until the line comes back
_PIECES = re.compile(r"\n|[^\S\n]+|\S+")


class Screen:
    """Standard output, whatever that is at the moment: while a prompt stands, it is a place above it."""

    def __init__(self) -> None:
        self._column = 0
        self._space = ""
        self._word = ""  # may go on with what comes next
        self._told = False  # a line of ours stands there
        self._last = 0.0  # when the last word came, by the monotonic clock

    def write(self, text: str) -> None:
        """Words of a job."""
        if not sys.stdout.isatty():
            sys.stdout.write(text)
        else:
            self._untell()
            sys.stdout.write(self._broken(clean(text)))
        self._last = time.monotonic()
        sys.stdout.flush()

    def tell(self, text: str) -> None:
        """The line that says how far it is; not amid words, and not while they come."""
        busy = self._column or self._word or time.monotonic() - self._last < QUIET
        if sys.stdout.isatty() and not busy:
            width = shutil.get_terminal_size().columns - 1
            line = " ".join(clean(text).split())[:width]
            sys.stdout.write(f"\r\x1b[2m{line}\x1b[0m\x1b[K")
            sys.stdout.flush()
            self._told = True

    def close(self) -> None:
        """Write what was held back, and take our line away."""
        if sys.stdout.isatty():
            self._untell()
            sys.stdout.write(self._whole_word() + self._space)
            sys.stdout.flush()
        self._space, self._column = "", 0  # what comes next stands on a line of its own

    def _untell(self) -> None:
        if self._told:
            sys.stdout.write("\r\x1b[K")
            self._told = False

    def _broken(self, text: str) -> str:
        done = []
        for piece in _PIECES.findall(text):
            if piece == "\n":
                done.append(self._whole_word() + "\n")
                self._column, self._space = 0, ""
            elif piece.isspace():
                done.append(self._whole_word())
                self._space += piece
            else:
                self._word += piece
                if self._cannot_wait():
                    done.append(self._whole_word())
        return "".join(done)

    def _cannot_wait(self) -> bool:
        """A script without spaces may break anywhere, and what is longer than half a line has to."""
        return get_cwidth(self._word) > len(self._word) or len(self._word) > shutil.get_terminal_size().columns // 2

    def _whole_word(self) -> str:
        """The word that was held back, on this line or the next."""
        if not self._word:
            return ""
        width = shutil.get_terminal_size().columns
        before, word = self._space, self._word
        self._space = self._word = ""
        size = len((" " * self._column + before).expandtabs(8)) - self._column + get_cwidth(word)
        if self._column and self._column + size > width:
            self._column = get_cwidth(word)
            return f"\n{word}"
        self._column += size
        if self._column > width:
            self._column %= max(width, 1)
        return before + word
