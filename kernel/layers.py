"""Which layers of isolation this machine has: found by building a cage and looking, never by version numbers.

`probe` runs a short program in a real cage and reads from its own /proc what holds there. Rows of the result
are what `llmos doctor` prints.
"""

import ctypes
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from . import seccomp
from .cage import Cage, Inputs, Outcome, Python, Tools, rlimits
from .errors import NoSandbox, Unavailable
from .uids import free_range, own_uid
from .warden import confine

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_UPDATE = "update bubblewrap and the kernel"
_TEST = Cage(seconds=20.0)
_FACTS = (
    "cat /proc/self/status /proc/self/limits /proc/net/dev; ls / /etc; readlink /proc/self/ns/*; "
    "touch /etc/x 2>/dev/null || echo read-only"
)
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_PACKAGES = ("numpy", "pandas", "scipy", "matplotlib", "sklearn", "PIL")
_ABOUT = (
    "import importlib.util as u, json, platform, sys; "
    f"print(json.dumps([sys.executable, platform.python_version(), [p for p in {_PACKAGES} if u.find_spec(p)]]))"
)


@dataclass(frozen=True)
class Layer:
    """One row: what stands (or not) between a program and the machine, and what to do where it is missing."""

    name: str
    present: bool
    detail: str
    advice: str = ""
    required: bool = True  # without it `Sandbox.run` refuses


@dataclass(frozen=True)
class Layers:
    """What `probe` found."""

    rows: tuple[Layer, ...]
    tools: Tools | None = None  # None where bubblewrap or util-linux is missing
    python: Python | None = None  # None where no interpreter can be read from inside

    @property
    def names(self) -> tuple[str, ...]:
        """The required layers that hold."""
        return tuple(row.name for row in self.rows if row.required and row.present)

    @property
    def missing(self) -> tuple[str, ...]:
        """The required layers that do not hold."""
        return tuple(row.name for row in self.rows if row.required and not row.present)

    def require(self) -> Tools:
        """The tools to build with; raises `NoSandbox` naming every required layer that is missing."""
        if self.missing or self.tools is None:
            advice = [row.advice for row in self.rows if row.required and not row.present and row.advice]
            raise NoSandbox(
                f"no sandbox on this machine: missing {', '.join(self.missing)}",
                hint="; ".join(dict.fromkeys(advice)) or "see `llmos doctor`",
                missing=list(self.missing),
            )
        return self.tools


_known: dict[str, Layers] = {}  # complete results only, by search path: what was missing may be installed later


async def probe(path: str = SYSTEM_PATH) -> Layers:
    """Test every layer live; ``path`` is where the tools are looked for. A complete result is kept."""
    if path not in _known:
        layers = await _probe(path)
        if layers.missing:
            return layers
        _known[path] = layers
    return _known[path]


async def _probe(path: str) -> Layers:
    tools, rows = _find_tools(path)
    rows += [_filter_row(), _uid_row()]
    python, tested = None, False
    if tools is None or not all(row.present for row in rows):
        rows.append(Layer("cage", False, "not tested, since the layers above are missing"))
    else:
        rows += await _self_test(tools)
        if all(row.present for row in rows):
            python, tested = await _find_python(tools), True
    return Layers((*rows, _landlock_row(), _python_row(python, tested)), tools, python)


def _find_tools(path: str) -> tuple[Tools | None, list[Layer]]:
    found = {name: shutil.which(name, path=path) for name in ("bwrap", "prlimit", "sh", "setpriv")}
    bwrap, prlimit, shell, setpriv = (os.path.realpath(p) if p else None for p in found.values())
    root = os.geteuid() == 0
    lacking = [n for n in ("prlimit", "sh", *(["setpriv"] if root else [])) if not found[n]]
    rows = [
        Layer("bubblewrap", bool(bwrap), bwrap or "not found", "" if bwrap else "apt-get install bubblewrap"),
        Layer(
            "util-linux", not lacking, f"lacks {', '.join(lacking)}" if lacking else str(prlimit),
            "apt-get install util-linux dash" if lacking else "",
        ),
    ]  # fmt: skip
    if not (bwrap and prlimit and shell) or (root and not setpriv):
        return None, rows
    return Tools(bwrap, prlimit, shell, setpriv if root else None), rows


def _filter_row() -> Layer:
    try:
        size = len(seccomp.program()) // 8
    except Unavailable as error:
        return Layer("system call filter", False, str(error), "run llmos on x86_64 or aarch64")
    return Layer("system call filter", True, f"{size} instructions")


def _uid_row() -> Layer:
    if os.geteuid() != 0:
        return Layer("user id", True, f"the caller's own, {os.geteuid()}, which owns nothing inside")
    ids = free_range()
    if ids is None:
        return Layer("user id", False, "root here has no id to give away", "run llmos as an ordinary user")
    return Layer("user id", True, f"one of {ids[0]} to {ids[-1]} for each cage, never root's")


async def _inside(argv: list[str], tools: Tools, python: Python | None = None) -> Outcome:
    with own_uid() as uid, Inputs() as inputs:
        inputs.hand_in({}, b"", 0)
        return await confine(
            argv, tools=tools, python=python, uid=uid, limits=_TEST, inputs=inputs, collect=()
        )  # fmt: skip


async def _self_test(tools: Tools) -> list[Layer]:
    try:
        outcome = await _inside([tools.shell, "-c", _FACTS], tools)
    except NoSandbox as error:
        said = str(error.details.get("said") or error)
        advice = _UPDATE if "Unknown option" in said else _namespace_advice()
        return [Layer("namespaces", False, said, advice)]
    facts = outcome.stdout.decode(errors="replace")

    def holds(name: str, detail: str, *patterns: str, absent: str = r"\Z.") -> Layer:
        good = all(re.search(p, facts, re.MULTILINE) for p in patterns)
        good = good and not re.search(absent, facts, re.MULTILINE)
        return Layer(name, good, detail if good else "the self-test found it open", "" if good else _UPDATE)

    limits = rlimits(_TEST)
    ours = "|".join(re.escape(os.readlink(f"/proc/self/ns/{kind}")) for kind in _NAMESPACES)
    return [
        holds("namespaces", "its own of each kind", *(rf"^{kind}:" for kind in _NAMESPACES), absent=f"^({ours})$"),
        holds("no capabilities", "none, and none to be gained", r"^CapEff:\t0+$", r"^NoNewPrivs:\t1$"),
        holds("seccomp", "filter on", r"^Seccomp:\t2$"),
        holds("no network", "loopback of its own", r"^ *lo:", absent=r"^ *(?!lo)\w+: *\d+ +\d+ +\d+"),
        holds("no files", "only /usr and what is handed in", "^read-only$", absent="^(shadow|home|root|var)$"),
        holds(
            "limits", "memory, processes, files and processor time",
            rf"^Max processes +{limits['nproc']} ", rf"^Max data size +{limits['data']} ",
            rf"^Max file size +{limits['fsize']} ", rf"^Max cpu time +{limits['cpu']} ",
        ),
        Layer("other user", os.geteuid() != 0 or outcome.uid != 0, f"ran as {outcome.uid}"),
    ]  # fmt: skip


def _namespace_advice() -> str:
    """What keeps user namespaces from this user, by the switches of Ubuntu, Debian and the kernel."""
    for name, bad, good in (
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "15000"),
    ):
        switch = Path("/proc/sys", *name.split("."))
        if switch.exists() and switch.read_text().strip() == bad:
            return f"sysctl -w {name}={good}"
    return "allow user namespaces (in a container: --security-opt seccomp=unconfined,systempaths=unconfined)"


def _landlock_row() -> Layer:
    """Asks the kernel for its Landlock version; landlock_create_ruleset(2) has number 444 everywhere."""
    abi = ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)
    detail = f"version {abi}; the cage does not rest on it" if abi > 0 else "not offered by this kernel"
    return Layer("landlock", abi > 0, detail, required=False)


async def _find_python(tools: Tools) -> Python | None:
    """The machine's python3 under /usr, else the one that runs llmos, where a cage can read it."""
    prefix = os.path.realpath(sys.base_prefix)
    for folder in (None, prefix):
        candidate = Python("python3", "", prefix=folder)
        try:
            outcome = await _inside([candidate.path, "-I", "-c", _ABOUT], tools, candidate)
        except NoSandbox:  # bubblewrap could not reach the folder
            continue
        if outcome.exit_code == 0:
            path, version, packages = json.loads(outcome.stdout)
            return Python(path, version, tuple(packages), folder)
    return None


def _python_row(python: Python | None, tested: bool) -> Layer:
    if not tested:
        return Layer("python", False, "not tested, since the cage was not or does not hold", required=False)
    if python is None:
        return Layer("python", False, "none that a cage can read", "apt-get install python3", required=False)
    packages = f"with {', '.join(python.packages)}" if python.packages else "standard library only"
    return Layer("python", True, f"{python.version} at {python.path}, {packages}", required=False)
