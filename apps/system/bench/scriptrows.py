"""Rows that are programs of their own below benchmarks/: run as children, their figures read and set beside the goals."""

from __future__ import annotations

from .figures import Figure, Goal
from .setting import Setting


def _runs(setting: Setting) -> tuple[str, str]:
    return ("--runs", str(1 if setting.quick else setting.runs))


def _model(setting: Setting) -> tuple[str, str]:
    return ("--model", str(setting.model))


async def decode(setting: Setting) -> list[Figure]:
    """Decoding with 1 to 64 streams, against llama-batched-bench with the same cache."""
    against = ("--batched-bench", str(setting.batched_bench)) if setting.batched_bench else ()
    words = (*_model(setting), *against, "--ways", ",".join(setting.ways), *_runs(setting))
    return [
        Figure(
            "decode", f"{row['streams']} streams", "tokens/s", row["llmos"], row["way"],
            "llama-batched-bench" if against else "", row["batched_bench"], row["ratio"],
            Goal(0.95, of="ratio", least=True),
        )
        for row in await setting.script("decode", "decode", *words)
    ]  # fmt: skip


async def states(setting: Setting) -> list[Figure]:
    """A process of 1,000 tokens out of its stream and in again, and copied."""
    words = (*_model(setting), "--ways", ",".join(setting.ways), "--runs", "5" if setting.quick else "21")
    goals = {"memory_out_and_in": Goal(10), "disk_out": None, "disk_in": None, "fork": Goal(15), "prefill": None}
    return [
        Figure("states", name.replace("_", " "), "ms", row[name], row["way"], goal=goal)
        for row in await setting.script("states", "states", *words)
        for name, goal in goals.items()
    ]


async def inside(setting: Setting) -> list[Figure]:
    """`arriving` without HTTP: a prompt of 4,000 tokens comes to the scheduler while 8 processes decode."""
    words = (*_model(setting), "--ways", ",".join(setting.ways), *_runs(setting))
    short = ("--tokens", "400") if setting.quick else ()
    return [
        Figure("inside", name.replace("_", " "), unit, row[name], row["way"], goal=goal)
        for row in await setting.script("inside", "arriving", *words, *short)
        for name, unit, goal in (
            ("worst_gap_in_steps", "steps", Goal(3)), ("step_ms", "ms", None), ("prompt_ms", "ms", None),
        )
    ]  # fmt: skip


async def overhead(setting: Setting) -> list[Figure]:
    """Scheduler, gate and journal, of the time of a step at 64 processes."""
    told = []
    for way in setting.ways:
        words = (*_model(setting), "--way", way, *(("--processes", "16") if setting.quick else ()))
        found = await setting.script("overhead", "overhead", *words, prints=True)
        told += [
            Figure("overhead", "share of a full step", "", found["full_share"], way, goal=Goal(0.04)),
            Figure("overhead", "a full step", "ms", found["full_step_ms"], way),
        ]
    return told


async def calls(setting: Setting) -> list[Figure]:
    """System calls a second through the gate, with no model."""
    few = ("--calls", "1000") if setting.quick else ()
    found = await setting.script("calls", "gate", *_runs(setting), *few, prints=True)
    goals = {"acts": 5_000.0, "reads": 5_000.0, "pure": 50_000.0}
    return [
        Figure(
            "calls", f"{row['what']}, {row['processes']}", "/s", row["calls_s"],
            goal=Goal(goals[row["kind"]], least=True),
        )
        for row in found["rows"]
    ]  # fmt: skip


async def sleepers(setting: Setting) -> list[Figure]:
    """10,000 sleeping processes: memory, `ps`, and a wake-up."""
    few = ("--processes", "500") if setting.quick else ()
    found = await setting.script("sleepers", "sleepers", *few, prints=True)
    shown = (
        ("mib", "MiB", Goal(1024)), ("ps_s", "s", Goal(0.5)), ("wake_ms", "ms", Goal(10)), ("wake_worst_ms", "ms", None),
    )  # fmt: skip
    return [Figure("sleepers", f"{name} of {found['processes']:,}", unit, found[name], goal=goal)
            for name, unit, goal in shown]  # fmt: skip


async def schedules(setting: Setting) -> list[Figure]:
    """1,000 random schedules of one process: does it always write the same?"""
    count = 16 if setting.quick else 1000
    ways = ",".join(setting.ways)
    found = await setting.script("schedules", "schedules", *_model(setting), "--ways", ways, "--schedules", str(count))
    return [
        Figure(
            "schedules", f"identical of {row['schedules']:,}", "", row["identical"], row["way"],
            goal=Goal(row["schedules"], least=True) if row["way"] != "fast" else None,
        )
        for row in found
    ]  # fmt: skip


async def copying(setting: Setting) -> list[Figure]:
    """A summary by one process with and without guesses from its prompt."""
    words = (*_model(setting), *_runs(setting), *(("--texts", "1", "--tokens", "32") if setting.quick else ()))
    found = await setting.script("copying", "copying", *words)
    return [
        Figure("copying", "faster with guesses", "times", found["faster"], found["way"], goal=Goal(1.3, least=True)),
        Figure("copying", "same answers", "", found["same"], found["way"], goal=Goal(found["texts"], least=True)),
    ]


async def constrained(setting: Setting) -> list[Figure]:
    """Answers held to a JSON schema against free ones, time of a token."""
    words = (*_model(setting), "--ways", ",".join(setting.ways), *_runs(setting))
    return [
        Figure("constrained", f"of free text, {row['processes']} at once", "times", row["slower"], row["way"], goal=Goal(1.15))
        for row in await setting.script("constrained", "constrained", *words)
    ]
