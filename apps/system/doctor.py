"""`llmos doctor`: what this machine offers, what is missing, and what to do about it."""

import asyncio
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rich.text import Text

from ...kernel.errors import OSFault
from ...kernel.sandbox import probe
from ...kernel.shelf import disk_room, memory_room
from ...kernel.translate import translate, translated
from ...memory.salvage import flaws, salvage
from .display import clean, out, print_json
from .ending import held_back
from .home import Home, HomeLock
from .options import Options
from .session import preparing
from .settings import settings
from .sizes import shown_size

State = Literal["ok", "warn", "missing"]
_USEFUL = ("avx", "avx2", "f16c", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm")
_NAMES = {"asimd": "NEON", "asimddp": "dot product", "i8mm": "int8 matrices"}
_GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One line. ``missing`` is something llmos cannot do without; with ``warn`` it does less, or is slower."""

    name: str
    state: State
    detail: str
    advice: str = ""


def examine(options: Options) -> Iterator[Check]:
    """Every check, one after the other; none changes anything but the home's own folders."""
    looks: list[Callable[[Home], Check]] = [_processor, _memory, _disk, _python, _database, _llama, _home, _states]
    for look in looks:
        yield look(options.home)
    yield _model(options)
    yield from _tuning(options)
    yield _embedder(options)
    yield _chroma()
    yield from _sandbox()


def _processor(_: Home) -> Check:
    cores = len(os.sched_getaffinity(0))
    found = [flag for flag in _USEFUL if flag in _flags()]
    detail = f"{cores} cores, {platform.machine()}, {' '.join(_NAMES.get(f, f) for f in found) or 'no vector units'}"
    if {"avx2", "asimd"} & set(found):
        return Check("processor", "ok", detail)
    return Check("processor", "warn", detail, "answers will be slow: there is neither AVX2 nor NEON")


def _flags() -> set[str]:
    """Of the first core, as Linux names them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith(("flags", "Features"))), set())


def _memory(_: Home) -> Check:
    rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    detail = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    if free < _GIB:
        return Check("memory", "warn", detail, "the embedded model wants about 1 GiB: close something, or --streams 4")
    return Check("memory", "ok", detail)


def _disk(home: Home) -> Check:
    place = next(path for path in (home.root, *home.root.parents) if path.exists())
    free = shutil.disk_usage(place).free
    detail = f"{free / _GIB:.1f} GiB free at {place}"
    if free < 0.3 * _GIB:
        return Check("disk", "missing", detail, "the prepared model takes 0.15 GiB: free some room")
    if free < 2 * _GIB:
        return Check("disk", "warn", detail, "larger models will not fit")
    return Check("disk", "ok", detail)


def _states(home: Home) -> Check:
    """Room for states of processes that are in no stream."""
    try:
        states = settings(home).states
    except OSFault as fault:
        return Check("states", "missing", fault.message, fault.hint)
    place = next(path for path in (home.root, *home.root.parents) if path.exists())
    ram = memory_room() if states.ram is None else states.ram
    disk = disk_room(place) if states.disk is None else states.disk
    return Check("states", "ok", f"up to {shown_size(ram)} in memory, then {shown_size(disk)} in {home.swap}")


def _python(_: Home) -> Check:
    detail = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    return Check("python", "ok", detail)


def _database(home: Home) -> Check:
    """SQLite, and the store of this home where there is one."""
    detail = f"SQLite {sqlite3.sqlite_version}"
    with sqlite3.connect(":memory:") as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE t USING fts5(x)")
        except sqlite3.OperationalError:
            return Check("database", "missing", f"{detail} without FTS5", "use a Python whose SQLite has FTS5")
    if not home.database.exists():
        return Check("database", "ok", f"{detail} with FTS5")
    with preparing() as progress, held_back():
        wrong = flaws(home.database, progress)
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return Check(
            "database",
            "missing",
            f"{wrong[0]}{more}",
            "restore a backup; llmos doctor --salvage saves what can be saved",
        )
    return Check("database", "ok", f"{detail} with FTS5, {home.database.name} is sound")


def save(home: Home) -> list[str]:
    """Make a damaged store usable again as far as that is possible; what was done, in words."""
    with HomeLock(home.create()), translated(), preparing() as progress:
        return salvage(home.database, progress)


def _llama(_: Home) -> Check:
    """In a child: a library built for another processor dies of an illegal instruction, not of an exception."""
    try:
        detail = f"llama-cpp-python {version('llama-cpp-python')}"
    except PackageNotFoundError:
        return Check("llama.cpp", "missing", "not installed", "pip install llama-cpp-python")
    ended = subprocess.run(
        [sys.executable, "-P", "-c", "import llama_cpp"], capture_output=True, text=True, check=False
    )
    if ended.returncode == 0:
        return Check("llama.cpp", "ok", detail)
    last = (ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"])[-1]
    return Check(
        "llama.cpp", "missing", f"{detail} does not load: {last}",
        "pip install --force-reinstall --no-binary llama-cpp-python llama-cpp-python",
    )  # fmt: skip


def _home(home: Home) -> Check:
    try:
        home.create()
    except OSFault as fault:
        return Check("home", "missing", fault.message, fault.hint)
    holder = home.holder()
    if holder is not None:
        return Check("home", "ok", f"{home.root}, held by process {holder}")
    return Check("home", "ok", f"{home.root}, writable, held by nobody")


def _model(options: Options) -> Check:
    from ...models.catalog import Catalog
    from ...models.faults import ModelFault

    try:
        entry = Catalog(options.home.root).get(options.model)
    except ModelFault as fault:
        return Check("model", "missing", fault.message, fault.hint)
    return Check("model", "ok", str(entry))


def _tuning(options: Options) -> Iterator[Check]:
    """Whether the model is computed as suits this machine."""
    from ...models.catalog import Catalog
    from ...models.faults import ModelFault
    from ...models.tuning.kept import Tunings, stale
    from .tuned import tuned_words

    tunings = Tunings(options.home.root)
    try:
        entry = Catalog(options.home.root).get(options.model)
    except ModelFault:
        return  # `_model` has said so
    found = tunings.get(entry)
    if tunings.damage:
        yield Check("tuning", "warn", tunings.damage, "llmos model tune measures again")
    elif found is not None and stale(found, entry):
        yield Check("tuning", "warn", tuned_words(options.home.root, entry), f"llmos model tune {entry.name}")
    else:
        yield Check("tuning", "ok", tuned_words(options.home.root, entry))


def _embedder(options: Options) -> Check:
    from ...models.catalog import Catalog
    from ...models.faults import ModelFault
    from .embedders import SHIPPED

    try:
        entry = Catalog(options.home.root).embedder()
    except ModelFault as fault:
        return Check("embedder", "missing", fault.message, fault.hint)
    if entry is not None:
        return Check("embedder", "ok", str(entry))
    if SHIPPED.is_file():
        return Check("embedder", "ok", f"static, {SHIPPED.stat().st_size / 2**20:.1f} MiB")
    return Check("embedder", "missing", f"{SHIPPED} is not there", "install llmos again: the package is not whole")


def _chroma() -> Check:
    if find_spec("chromadb") is None:
        return Check("chroma", "missing", "not installed", "pip install chromadb")
    return Check("chroma", "ok", f"chromadb {version('chromadb')}")


def _sandbox() -> Iterator[Check]:
    try:
        layers = asyncio.run(probe())
    except (OSFault, OSError) as problem:
        fault = translate(problem)
        yield Check("sandbox", "warn", str(fault), "`llmos exec` and the call execute refuse to run anything")
        return
    for row in layers.rows:
        yield Check(f"sandbox: {row.name}", "ok" if row.present else "warn", row.detail, row.advice)
    if layers.missing:
        lacking = ", ".join(layers.missing)
        yield Check("sandbox", "warn", f"closed: {lacking} missing", "`llmos exec` and the call execute refuse to run")


def report(checks: Iterable[Check], *, as_json: bool) -> int:
    """Print each check as it is known; returns 1 when something needed is missing, else 0."""
    styles = {"ok": "green", "warn": "yellow", "missing": "bold red"}
    seen = []
    for check in checks:
        seen.append(check)
        if as_json:
            continue
        state = (f"{check.state:<8}", styles[check.state])
        out().print(Text.assemble(f"{check.name:<28} ", state, clean(check.detail)))
        if check.advice and check.state != "ok":
            out().print(Text(f"{'':<37}→ {clean(check.advice)}", style="yellow"))
    missing = [check.name for check in seen if check.state == "missing"]
    if as_json:
        print_json({"ok": not missing, "checks": [asdict(check) for check in seen]})
    elif missing:
        out().print(Text(f"\nllmos cannot run: {', '.join(missing)} missing.", style="bold red"))
    else:
        out().print("\nEverything that llmos needs is there.")
    return 1 if missing else 0
