"""What a run of the suite is told, and how its rows run programs of their own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....kernel.errors import Unavailable
from .compare import Job, alternate
from .numbers import Figures
from .peers import LlamaServer, Llmos, Peer, Room, Running

SCRIPTS = Path(__file__).parents[3] / "benchmarks"
"""Measurements that are programs: each has its memory and its threads to itself."""
_SAID = 500  # characters of what a program said that an error shows


@dataclass
class Setting:
    """What to measure, against whom, and how thoroughly."""

    model: Path
    ways: Sequence[str] = ("exact", "fast")
    runs: int = 3
    quick: bool = False  # less of everything: to see that all works, not for figures to quote
    llama_server: Path | None = None
    batched_bench: Path | None = None
    running: Sequence[Running] = ()
    program: Sequence[str] = Llmos().program
    on_step: Callable[[str], None] = lambda what: None  # told what is being measured
    raw: dict[str, Any] = field(default_factory=dict)  # what the runs of a row gave, one by one

    def ours(self) -> list[Llmos]:
        """This llmos, in each way."""
        return [Llmos(way, self.program) for way in self.ways]

    def others(self) -> list[Peer]:
        """The servers to compare with; the first is the one that goals speak of."""
        named: list[Peer] = [LlamaServer(self.llama_server)] if self.llama_server else []
        return [*named, *self.running]

    async def compare(self, row: str, peers: Sequence[tuple[Peer, Room]], job: Job) -> dict[str, list[Figures]]:
        """Runs of all peers in turn, by peer; kept for the report."""

        def on_run(name: str, done: int) -> None:
            self.on_step(f"{row}: {name}, run {done // len(peers) + 1} of {self.runs}")

        found = await alternate(peers, job, self.runs, on_run)
        self.raw[row] = found
        return found

    async def script(self, row: str, name: str, *words: str, prints: bool = False) -> Any:
        """What a program of `SCRIPTS` tells as JSON; raises `Unavailable` where it is not there or fails.

        It writes it into the file that --json names, or ``prints`` it when --json is said.
        """
        path = SCRIPTS / f"{name}.py"
        if not path.exists():
            raise Unavailable(f"benchmarks/{name}.py is not there", hint="run llmos bench from a clone")
        self.on_step(f"{row}: {' '.join([name, *words])}")
        with tempfile.TemporaryDirectory(prefix="llmos-bench-") as folder:
            file = Path(folder, "found.json")
            said = await _run([str(path), *words, "--json", *(() if prints else (str(file),))])
            found = json.loads(said if prints else file.read_bytes())
        self.raw.setdefault(row, []).append(found)
        return found


async def _run(words: Sequence[str]) -> bytes:
    """What a program of Python's prints, when it ends well; it is killed with us."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        said, wrong = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = wrong.decode(errors="replace").strip()[-_SAID:]
        raise Unavailable(f"{Path(words[0]).name} ended with {process.returncode}: {last}")
    return said
