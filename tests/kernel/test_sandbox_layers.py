"""The sandbox fails closed: whatever is missing, nothing runs, and the error says what to do."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from llmos.kernel import layers, uids
from llmos.kernel.errors import NoSandbox
from llmos.kernel.sandbox import Layers, Python, Sandbox, probe

pytestmark = pytest.mark.programs

bubblewrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


def tools_without(folder: Path, *missing: str, **scripts: str) -> str:
    """A folder with links to the tools, some missing, some replaced by shell scripts."""
    for name in ("bwrap", "prlimit", "setpriv", "sh"):
        found = shutil.which(name, path=layers.SYSTEM_PATH)
        if name not in missing and name not in scripts and found:
            (folder / name).symlink_to(found)
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Readable by the user ids of cages, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


async def refused(path: str) -> NoSandbox:
    async def found() -> Layers:
        return await probe(path)

    with pytest.raises(NoSandbox) as caught:
        await Sandbox(found).run(["true"])
    return caught.value


@bubblewrap
async def test_every_layer_holds_here() -> None:
    found = await probe()
    assert found.missing == ()
    assert found.python is not None
    assert all(row.detail for row in found.rows)
    assert {"bubblewrap", "namespaces", "seccomp", "no network", "no files", "limits", "user id"} <= set(found.names)
    assert await probe() is found


@bubblewrap
async def test_each_required_layer_is_required() -> None:
    whole = await probe()
    for number, row in enumerate(whole.rows):
        rows = (*whole.rows[:number], replace(row, present=False, advice="mend it"), *whole.rows[number + 1 :])
        lacking = replace(whole, rows=rows)

        async def broken(found: Layers = lacking) -> Layers:
            return found

        if not row.required:
            assert (await Sandbox(broken).run(["true"])).exit_code == 0
            continue
        with pytest.raises(NoSandbox, match=f"missing {row.name}.*mend it") as caught:
            await Sandbox(broken).run(["true"])
        assert caught.value.details == {"missing": [row.name]}


@bubblewrap
async def test_an_interpreter_elsewhere_is_bound_by_itself(folder: Path) -> None:
    whole = await probe()
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").write_text("#!/bin/sh\nls -d $0 /home\n")
    (folder / "bin" / "python3").chmod(0o755)

    async def found() -> Layers:
        return replace(whole, python=Python("python3", "3", prefix=str(folder)))

    outcome = await Sandbox(found).run(["python3"])
    assert outcome.stdout.decode() == f"{folder}/bin/python3\n"


async def test_without_bubblewrap(folder: Path) -> None:
    error = await refused(tools_without(folder, "bwrap"))
    assert "bubblewrap" in error.details["missing"]
    assert error.hint == "apt-get install bubblewrap"
    assert error.exit_code == 69


async def test_what_was_not_tested_is_not_called_missing(folder: Path) -> None:
    found = await probe(tools_without(folder, "bwrap"))
    row = next(row for row in found.rows if row.name == "python")
    assert not row.present
    assert (row.detail.partition(",")[0], row.advice) == ("not tested", "")


@bubblewrap
@pytest.mark.parametrize("tool", ["prlimit", "setpriv"])
async def test_without_a_tool_of_util_linux(folder: Path, tool: str) -> None:
    if tool == "setpriv" and os.geteuid() != 0:
        pytest.skip("an ordinary user's cage needs no setpriv")
    error = await refused(tools_without(folder, tool))
    assert "util-linux" in error.details["missing"]


@bubblewrap
async def test_without_a_filter_for_this_machine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    error = await refused(tools_without(folder))
    assert "system call filter" in error.details["missing"]


@bubblewrap
@pytest.mark.skipif(os.geteuid() != 0, reason="concerns root")
async def test_without_a_user_id_to_give_away(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(uids, "_RANGES", (range(2**32 - 2, 2**32 + 5),))
    error = await refused(tools_without(folder))
    assert "user id" in error.details["missing"]
    with pytest.raises(NoSandbox), uids.own_uid():
        pass


@bubblewrap
@pytest.mark.parametrize(
    ("option", "instead", "row"),
    [
        ("--seccomp *", "", "seccomp"),
        ("--unshare-all", "--unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup", "no network"),
        ("--unshare-all", "--unshare-pid --unshare-net --unshare-ipc --unshare-cgroup", "namespaces"),
        ("--disable-userns", "", "namespaces"),
        ("--remount-ro", "--dir", "no files"),
        ("--hostname", "--ro-bind /var /var --hostname", "no files"),
        ("--nproc=*", "--nproc=99", "limits"),
    ],
)
async def test_a_cage_that_is_less_than_it_should_be(folder: Path, option: str, instead: str, row: str) -> None:
    """The layers are looked at from inside: one that is silently left out is found."""
    flag, _, value = option.partition(" ")
    found = await probe(tools_without(folder, bwrap=EDIT.format(flag=flag, skip=len(value), instead=instead)))
    assert row in found.missing, found
    assert found.python is None


# Passes the command line on to bubblewrap, with one word (and its value) exchanged for others.
EDIT = f"""
skip=0
for word do
    shift
    if [ $skip -gt 0 ]; then skip=0; continue; fi
    case "$word" in
        {{flag}}) set -- "$@" {{instead}}; skip={{skip}} ;;
        *) set -- "$@" "$word" ;;
    esac
done
exec {shutil.which("bwrap")} "$@"
"""


@bubblewrap
@pytest.mark.skipif(os.geteuid() != 0, reason="concerns root")
async def test_a_cage_that_keeps_the_user_id_of_root(folder: Path) -> None:
    found = await probe(tools_without(folder, setpriv='while [ "$1" != -- ]; do shift; done; shift; exec "$@"'))
    assert found.missing == ("other user",)


@bubblewrap
@pytest.mark.parametrize(
    ("bwrap", "hint"),
    [
        ("exec sleep 60", "allow user namespaces"),
        ("echo 'bwrap: Unknown option --disable-userns' >&2; exit 1", "update bubblewrap"),
        ("printf r; exit 0", "allow user namespaces"),
    ],
)
async def test_bubblewrap_that_hangs_or_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bwrap: str, hint: str
) -> None:
    monkeypatch.setattr("llmos.kernel.warden._START_SECONDS", 0.1)
    error = await refused(tools_without(folder, bwrap=bwrap))
    assert error.details["missing"] == ["namespaces"]
    assert hint in error.hint


NO_NAMESPACES = """
import asyncio
from llmos.kernel.sandbox import Sandbox, probe
from llmos.kernel.errors import NoSandbox
try: asyncio.run(Sandbox().run(["true"]))
except NoSandbox as error: print(error)
"""


@bubblewrap
def test_where_user_namespaces_are_switched_off() -> None:
    switch_off = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", switch_off, "sh", sys.executable, "-c", NO_NAMESPACES],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "no sandbox on this machine" in done.stdout, done.stderr


def test_ids_are_distinct_and_given_back() -> None:
    if os.geteuid() != 0:
        with uids.own_uid() as uid:
            assert uid is None
        return
    ids = uids.free_range()
    assert ids is not None
    with uids.own_uid() as first, uids.own_uid() as second:
        assert first != second
        assert {first, second} <= set(ids)


def test_an_id_in_use_is_not_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("concerns root")
    monkeypatch.setattr(uids, "_RANGES", (range(60_600, 60_601),))
    with uids.own_uid() as uid:
        assert uid == 60_600
        with pytest.raises(NoSandbox, match="no user id is free"), uids.own_uid():
            pass
    with uids.own_uid() as uid:
        assert uid == 60_600
