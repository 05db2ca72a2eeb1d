"""Work behind the back of those who search: a thread that lives while there is some, step by step, to be looked at."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .faults import MemoryFault
from .turns import TURN

log = logging.getLogger(__name__)

_LOOK = 0.05  # seconds between two looks of whoever waits


@dataclass(frozen=True)
class Progress:
    """What is being done, and how much of it."""

    what: str
    done: int
    total: int


Job = Callable[[], Iterator[Progress]]
"""Work in steps, a fraction of a second each; called again whenever there may be some, and ends at once if not."""
Told = Callable[[Progress], None]


class Upkeep:
    """Carries out jobs, one after the other, in a thread of its own; safe to call from any thread."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()  # owns all below
        self._thread: threading.Thread | None = None
        self._again = False
        self._closed = False
        self._progress: Progress | None = None
        self._fault: Exception | None = None

    def nudge(self) -> None:
        """There may be something to do."""
        with self._lock:
            self._again = True
            if self._thread is None and not self._closed:
                self._fault = None
                self._thread = threading.Thread(target=self._work, name="llmos-upkeep", daemon=True)
                self._thread.start()

    def progress(self) -> Progress | None:
        """Of what is being done; None while there is nothing to do."""
        return self._progress

    def wait(self, told: Told | None = None) -> None:
        """Until there is nothing left to do; raises what ended the work before that, a `MemoryFault` say."""
        while (thread := self._thread) is not None:
            thread.join(_LOOK)
            if told and (now := self._progress):
                told(now)
        if self._fault:
            raise self._fault

    def close(self) -> None:
        """End after the step under way."""
        with self._lock:
            self._closed, thread = True, self._thread
        if thread:
            thread.join()

    def _work(self) -> None:
        while self._next_round():
            try:
                for job in self._jobs:
                    for self._progress in job():
                        if self._closed:
                            break
                        time.sleep(TURN)
            except MemoryFault as fault:  # a full disk, say: the next nudge begins it again
                log.warning("%s: %s", self._progress.what if self._progress else "upkeep", fault)
                self._fault = fault
            except Exception as bug:
                self._fault = bug
                self._next_round()
                raise

    def _next_round(self) -> bool:
        with self._lock:
            if self._again and not self._closed and not self._fault:
                self._again = False
                return True
            self._thread = self._progress = None
            return False
