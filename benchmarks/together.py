"""Support questions one after another, then together: the same answers, in less time?

    python benchmarks/together.py [--questions 32] [--runs 3] [--json FILE]

Each way starts with empty streams. `stopped` stops every second process midway and continues it when the others are
done; `few streams` has 4 streams for all. Times are wall-clock seconds of one machine in one run: quote the ratio.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from llmos.apps.system.boot import Running, boot
from llmos.apps.system.home import Home
from llmos.apps.system.output import AppOutput
from llmos.kernel.process import Process, Signal

SHOP = Path(__file__).parents[1] / "examples" / "shop"


def questions(count: int) -> list[str]:
    lines = (SHOP / "questions.jsonl").read_text().splitlines()
    return [json.loads(line)["question"] for line in lines][:count]


def start(running: Running, question: str) -> Process:
    handed = {f"in/articles/{p.name}": p for p in sorted((SHOP / "articles").glob("*.md"))}
    return running.launcher.launch(
        "support", {"kb": "in/articles", "question": question}, owner="bench", output=AppOutput(), handed=handed
    )


async def answer(process: Process) -> str:
    await process.ended.wait()
    if process.error:
        raise process.error
    return process.result.model_dump_json()


def forget(running: Running) -> None:
    """Empty the streams, so that no way profits from the one before."""
    running.machine.scheduler.streams.clear()


async def one_by_one(running: Running, asked: list[str]) -> list[str]:
    return [await answer(start(running, q)) for q in asked]


async def together(running: Running, asked: list[str]) -> list[str]:
    return list(await asyncio.gather(*(answer(p) for p in [start(running, q) for q in asked])))


async def stopped(running: Running, asked: list[str]) -> list[str]:
    processes = [start(running, q) for q in asked]
    half = processes[::2]
    while sum(p.usage.tokens_out > 0 or p.usage.first_token is not None for p in processes) < len(processes) // 3:
        await asyncio.sleep(0.005)
    for process in half:
        await running.machine.signal(process.pid, Signal.STOP)
    await asyncio.gather(*(p.ended.wait() for p in processes[1::2]))
    for process in half:
        await running.machine.signal(process.pid, Signal.CONT)
    return [await answer(p) for p in processes]


async def timed(way, running: Running, asked: list[str]) -> tuple[list[str], float]:
    forget(running)
    begun = time.perf_counter()
    answers = await way(running, asked)
    return answers, time.perf_counter() - begun


async def measure(count: int, runs: int, home: Path) -> dict:
    asked = questions(count)
    times: dict[str, list[float]] = {"one after another": [], "together": [], "stopped": [], "few streams": []}
    same = {}
    async with boot(Home(home)) as running:
        await one_by_one(running, asked[:1])  # fills the memory, so that it is there for both
        for _ in range(runs):
            alone, seconds = await timed(one_by_one, running, asked)
            times["one after another"].append(seconds)
            for name, way in (("together", together), ("stopped", stopped)):
                answers, seconds = await timed(way, running, asked)
                times[name].append(seconds)
                same[name] = same.get(name, True) and answers == alone
    async with boot(Home(home), streams=4) as running:
        answers, seconds = await timed(together, running, asked)
        times["few streams"].append(seconds)
        same["few streams"] = answers == alone
        swaps = running.machine.scheduler.swaps
    ratios = [b / a for a, b in zip(times["one after another"], times["together"], strict=True)]
    return {
        "questions": count, "seconds": {k: [round(x, 2) for x in v] for k, v in times.items()}, "same": same,
        "ratio": round(statistics.median(ratios), 3), "ratios": [round(r, 3) for r in ratios], "swaps": swaps,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        found = asyncio.run(measure(given.questions, given.runs, Path(home)))
    for name, seconds in found["seconds"].items():
        same = "" if name not in found["same"] else "same answers" if found["same"][name] else "DIFFERENT ANSWERS"
        print(f"{name:20} {statistics.median(seconds):7.2f} s   {same}")
    print(f"together / one after another: {found['ratio']} (of {len(found['ratios'])} runs: {found['ratios']})")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
