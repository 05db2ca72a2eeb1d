"""What backup and gc cost: a store of so many finished processes, backed up while others write, then emptied.

python benchmarks/keeping.py [PROCESSES] [ENTRIES]     in a folder of its own, which is removed
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

from llmos.apps.system.backing import write
from llmos.apps.system.home import Home
from llmos.apps.system.restoring import restore
from llmos.memory.database import Database
from llmos.memory.journal import Journal, appending
from llmos.memory.records import Records
from llmos.memory.retention import Keep, outlived, remove, shrink


def fill(database: Database, processes: int, entries: int) -> None:
    """Processes that ended, each with a journal of replies of a kilobyte."""
    records = Records(database)
    for first in range(1, processes + 1, 200):
        with database.transaction() as connection:
            for pid in range(first, min(first + 200, processes + 1)):
                records.entering(pid, parent=None, owner="o", app="a", args={}, priority="normal", started=0.0)(
                    connection
                )
                for _ in range(entries):
                    appending(pid, "print", {"text": "word " * 200}, None)(connection)
                records.changing(pid, finished=float(pid), state="done", exit_code=0)(connection)


def timed(what: str, function, *args, **named):
    """Call it and print how long that took."""
    begun = time.perf_counter()
    result = function(*args, **named)
    print(f"{what:<52} {time.perf_counter() - begun:8.2f} s", flush=True)
    return result


def main() -> None:
    """All figures, one a line."""
    processes, entries = (int(word) for word in (*sys.argv[1:], "5000", "20")[:2])
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder, "home")).create()
        database = Database(home.database)
        fill(database, processes, entries)
        print(f"{processes} processes, {processes * entries} entries, {home.database.stat().st_size / 2**20:.0f} MiB")
        journal, stop, written = Journal(database), threading.Event(), 0

        def load() -> None:
            nonlocal written
            while not stop.is_set():
                journal.post(appending(processes + 1, "print", {"text": "more"}, None)).result()
                written += 1

        writer = threading.Thread(target=load)
        writer.start()
        file = Path(folder, "b.zip")
        timed("backup, verified, while a process writes", write, home, file, lambda what, share: None)
        stop.set()
        writer.join()
        print(f"entries written meanwhile {written}, backup {file.stat().st_size / 2**20:.0f} MiB")
        timed("restore, verified", restore, file, Home(Path(folder, "new")), lambda what, share: None)
        timed("gc that finds nothing, the first", outlived, database, Keep(days=1e6, size=2**50))
        timed("gc that finds nothing, later", outlived, database, Keep(days=1e6, size=2**50))
        trees = outlived(database, Keep(processes=processes // 10))
        timed(f"gc of {len(trees)} processes", lambda: list(remove(database, trees)))
        timed("room given back", lambda: list(shrink(database)))
        print(f"the store takes {home.database.stat().st_size / 2**20:.0f} MiB")
        journal.close()
        database.close()


if __name__ == "__main__":
    main()
