"""`llmos gc` and `llmos backup`, by way of the llmos that holds the home and without one."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from llmos.apps.system import housekeeping, keeping
from llmos.apps.system.boot import boot
from llmos.apps.system.control import serve
from llmos.apps.system.display import print_json
from llmos.apps.system.home import Home
from llmos.apps.system.main import run
from llmos.apps.system.options import Options
from llmos.apps.system.output import AppOutput
from llmos.apps.system.registry import Registry, read_grants, write_grants
from llmos.apps.system.session import session
from llmos.apps.system.settings import settings
from llmos.kernel.errors import BadInput
from llmos.memory.database import Database
from llmos.memory.journal import appending
from llmos.memory.records import Records
from llmos.models.scripted import ScriptedEngine


def enter(home, count, *, finished=1.0, entries=3):
    """Processes that ended long ago."""
    database = Database(home.database)
    records = Records(database)
    with database.transaction() as connection:
        for pid in range(records.next_pid(), records.next_pid() + count):
            records.entering(
                pid, parent=None, owner="ann", app="a", args={}, priority="normal", started=0.0, limits={}, rights=[]
            )(connection)
            for _ in range(entries):
                appending(pid, "print", {"text": "x" * 1000}, None)(connection)
            records.changing(pid, finished=finished, state="done", exit_code=0)(connection)
    database.close()


def pids(home):
    database = Database(home.database, read_only=True)
    found = [record.pid for record in Records(database).listing(everything=True)]
    database.close()
    return found


@pytest.fixture(params=["alone", "guest"])
async def called(request, home, capsys):
    """``await called("gc", …)`` with no llmos on the home, or with one: exit code, standard output, standard error."""
    enter(home, 6)
    async with AsyncExitStack() as stack:
        if request.param == "guest":
            running = await stack.enter_async_context(boot(home, engine=ScriptedEngine()))
            await stack.enter_async_context(serve(running))

        async def call(*words):
            capsys.readouterr()
            code = await asyncio.to_thread(run, ["--home", str(home.root), *map(str, words)])
            told = capsys.readouterr()
            return code, told.out, told.err

        yield call


async def test_gc_says_what_it_frees(called, home):
    code, out, _ = await called("gc", "--dry-run")
    assert (code, out.split(",")[0]) == (0, "would free 5 processes with 15 journal entries")
    assert pids(home) == [1, 2, 3, 4, 5, 6]
    code, out, _ = await called("gc", "--json")
    told = json.loads(out)
    assert (told["processes"], told["entries"], told["dry_run"]) == (5, 15, False)
    assert told["bytes"] > 15_000
    assert pids(home) == [6]  # whose number must not be used again
    code, out, _ = await called("gc")
    assert out.startswith("freed 0 processes")


async def test_gc_by_number_and_by_size(called, home):
    await called("gc", "--days", 1e6, "--keep", 2)
    assert pids(home) == [4, 5, 6]
    await called("gc", "--days", 1e6, "--size", "5K")
    assert pids(home) == [5, 6]
    code, _, err = await called("gc", "--size", "much")
    assert code == 2
    assert "'much' is no size" in err


async def test_what_a_living_process_has_started_stays(running, home):
    process = running.launcher.launch("slow", {}, owner="ann", output=AppOutput())
    async with serve(running):
        told = await asyncio.to_thread(
            keeping.use, home, "gc", None, days=0, processes=0, size=0, file_days=0, file_versions=1, dry_run=False
        )
    assert told["processes"] == 0
    assert pids(home) == [process.pid]
    await running.signal(process.pid, "KILL")


async def test_a_start_removes_a_few(home, apps, monkeypatch):
    monkeypatch.setattr(Registry, "_found", (apps, {}))
    monkeypatch.setattr(housekeeping, "MOST", 2)
    enter(home, 6)
    async with session(Options(home_folder=home.root, model="scripted")):
        async with asyncio.timeout(10):
            while len(pids(home)) > 4:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    assert pids(home) == [3, 4, 5, 6]


async def test_versions_of_files_and_indexes_of_an_earlier_version(called, home, monkeypatch):
    for text in ("one", "two", "three"):
        (home.root / "t.txt").write_text(text)
        assert (await called("fs", "put", home.root / "t.txt", "t.txt"))[0] == 0
    (home.root / "index" / "0b1c-old").mkdir(parents=True)
    (home.root / "index" / "0b1c-old" / "data.bin").write_bytes(b"x" * 3000)
    (home.root / "index" / "chroma.sqlite3").write_bytes(b"x" * 1000)
    (home.root / "config.toml").write_text("[retention]\nfile_days = 0\nfile_versions = 1\n")
    code, out, _ = await called("gc", "--json")
    told = json.loads(out)
    assert (code, told["files"]["versions"], told["indexes"]) == (0, 2, 4000)
    assert {place.name for place in (home.root / "index").iterdir()} <= {"clusters"}


# -- settings --


def test_settings_of_a_home(home, monkeypatch):
    assert settings(home).retention.keep.processes == 10_000
    (home.root / "config.toml").write_text('[retention]\ndays = 7\nprocesses = "none"\nsize = "2M"\n[other]\nx = 1\n')
    files = {"file_days": 30.0, "file_versions": 10}
    assert settings(home).retention.model_dump() == {"days": 7.0, "processes": None, "size": 2**21, **files}
    monkeypatch.setenv("LLMOS_RETENTION_DAYS", "3.5")
    monkeypatch.setenv("LLMOS_RETENTION_SIZE", "none")
    monkeypatch.setenv("LLMOS_RETENTION_FILE_VERSIONS", "2")
    found = settings(home).retention
    assert found.model_dump() == {"days": 3.5, "processes": None, "size": None, **files, "file_versions": 2}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[retention]\ndays = -1\n", "retention.days: .*greater"),
        ("[retention]\ndaze = 1\n", "retention.daze"),
        ('[retention]\nsize = "much"\n', "'much' is no size"),
        ("retention = 1\n", "retention"),
        ("[retention\n", "config.toml"),
    ],
)
def test_settings_that_make_no_sense(home, text, says):
    (home.root / "config.toml").write_text(text)
    with pytest.raises(BadInput, match=says):
        settings(home)


# -- backup --


@pytest.fixture
def full(home):
    """A home with something of everything."""
    enter(home, 3)
    write_grants(home, {"count": ["files:read"]})
    (home.root / "config.toml").write_text("[retention]\ndays = 7\n")
    (home.apps / "count" / "llmos_count").mkdir(parents=True)
    (home.apps / "count" / "llmos_count" / "app.py").write_text("x = 1")
    (home.apps / "linked").mkdir()
    (home.apps / "linked" / "src").symlink_to("/somewhere/src")
    (home.models / "big.gguf").write_bytes(b"0" * 100)
    (home.run / "left").touch()
    home.swap.mkdir()
    (home.swap / "1.state").touch()
    return home


@pytest.fixture
def llmos(capsys):
    def call(home, *words):
        capsys.readouterr()
        code = run(["--home", str(home.root), "backup", *map(str, words)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_there_and_back(full, llmos, tmp_path):
    file, new = tmp_path / "b.zip", Home(tmp_path / "new")
    code, out, _ = llmos(full, file)
    assert code == 0
    assert "written and verified: 3 processes" in out
    assert "versions of files, of " in out
    assert llmos(full, "verify", file)[0] == 0
    code, out, _ = llmos(new, "restore", file)
    assert code == 0
    assert pids(new) == [1, 2, 3]
    assert read_grants(new) == {"count": ["files:read"]}
    assert (new.root / "config.toml").read_text() == "[retention]\ndays = 7\n"
    assert (new.apps / "count" / "llmos_count" / "app.py").read_text() == "x = 1"
    assert os.readlink(new.apps / "linked" / "src") == "/somewhere/src"
    assert not list(new.models.iterdir())
    assert not new.swap.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zip", "home", "new"]
    private = [new.apps, new.apps / "count", new.apps / "count" / "llmos_count" / "app.py", new.database]
    assert [path.stat().st_mode & 0o077 for path in private] == [0] * len(private)


def test_nothing_is_written_over_unasked(full, llmos, tmp_path):
    file = tmp_path / "b.zip"
    file.write_text("mine")
    code, _, err = llmos(full, file)
    assert code == 2
    assert "--force" in err
    assert file.read_text() == "mine"
    assert llmos(full, file, "--force")[0] == 0
    code, _, err = llmos(full, "restore", file)
    assert code == 2
    assert "already" in err
    (full.root / "config.toml").write_text("[retention]\ndays = 1\n")
    code, out, _ = llmos(full, "restore", file, "--force", "--json")
    told = json.loads(out)
    assert (full.root / "config.toml").read_text() == "[retention]\ndays = 7\n"
    assert Path(told["aside"], "config.toml").read_text() == "[retention]\ndays = 1\n"
    assert pids(full) == [1, 2, 3]
    assert (full.models / "big.gguf").exists()


def test_where_nothing_has_run_or_nothing_can_be_written(full, llmos, tmp_path):
    assert llmos(Home(tmp_path / "none"), tmp_path / "b.zip")[0] == 2
    assert "no folder" in llmos(full, tmp_path / "none" / "b.zip")[2]
    assert "is a folder" in llmos(full, tmp_path)[2]
    assert "no file" in llmos(full, "verify", tmp_path / "none.zip")[2]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_backup_that_was_cut_short(full, llmos, tmp_path, share):
    file, new = tmp_path / "b.zip", Home(tmp_path / "new")
    llmos(full, file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    code, _, err = llmos(full, "verify", file)
    assert code == 74
    assert "cut short" in err
    assert llmos(new, "restore", file)[0] == 74
    assert not new.database.exists()


def test_flipped_bits_never_pass(full, llmos, tmp_path):
    """In the files, in the manifest or in the zip's own lists: refused, or without effect."""
    file = tmp_path / "b.zip"
    llmos(full, file)
    data = file.read_bytes()
    sound = 0
    for place in range(0, len(data), max(1, len(data) // 30)):
        broken = bytearray(data)
        broken[place] ^= 0x10
        file.write_bytes(broken)
        code, _, err = llmos(full, "verify", file)
        assert code in (0, 2, 74), err
        sound += code == 0
        if code == 0:
            new = Home(tmp_path / f"new-{place}")
            assert llmos(new, "restore", file)[0] == 0
            assert pids(new) == [1, 2, 3]
            shutil.rmtree(new.root)
    assert sound < 10  # dates and the like


def test_places_before_the_begin_of_the_file(full, llmos, tmp_path):
    """A zip whose list stands earlier than its end record says: its entries would begin before the file does."""
    file = tmp_path / "b.zip"
    llmos(full, file)
    data = bytearray(file.read_bytes())
    at = data.rindex(b"PK\5\6") + 16
    data[at : at + 4] = (int.from_bytes(data[at : at + 4], "little") + (1 << 24)).to_bytes(4, "little")
    file.write_bytes(data)
    code, _, err = llmos(full, "verify", file)
    assert code == 74
    assert "damaged" in err


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "apps/linked/src/evil", "a/../../evil"])
def test_names_that_lead_out(full, llmos, tmp_path, name):
    file, new = tmp_path / "b.zip", Home(tmp_path / "new")
    llmos(full, file)
    with zipfile.ZipFile(file) as old:
        manifest = json.loads(old.read("manifest.json"))
        inside = {entry: old.read(entry) for entry in old.namelist() if entry != "manifest.json"}
    manifest["links"]["apps/linked/src"] = str(tmp_path)
    if name.startswith("apps"):
        manifest["links"][name] = "/etc/passwd"
    else:
        inside[f"home/{name}"] = b"x"
        manifest["files"][name] = {
            "size": 1,
            "sha256": hashlib.sha256(b"x").hexdigest(),
        }
    with zipfile.ZipFile(file, "w") as new_file:
        for entry, data in inside.items():
            new_file.writestr(entry, data)
        new_file.writestr("manifest.json", json.dumps(manifest))
    code, _, err = llmos(new, "restore", file)
    assert code == 74
    assert "a file of the backup" in err
    assert not (tmp_path / "evil").exists()
    assert not new.database.exists()


def test_no_room(full, llmos, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    code, _, err = llmos(full, tmp_path / "b.zip")
    assert code == 74
    assert "room for 1000 bytes" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


@pytest.mark.programs
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_disk_that_fills_up(full, tmp_path):
    """For real: the room is there when it begins, and gone before the end."""
    disk = tmp_path / "disk"
    disk.mkdir()
    (full.root / "noise").write_bytes(os.urandom(30 << 20))
    script = (
        f"mount -t tmpfs -o size=24M none {disk} && "
        f"{sys.executable} -m llmos.apps.system.main --home {full.root} backup {disk}/b.zip; echo $?; ls -A {disk}"
    )
    ended = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "mount" in ended.stderr:
        pytest.skip("no mounts here")
    assert ended.stdout.split() == ["74"], ended
    assert "No space left" in ended.stderr


async def test_a_backup_of_a_home_at_work(home, running, tmp_path, capsys):
    """Processes write all the while; what was acknowledged before is there, and the living can go on."""
    process = running.launcher.launch("chatty", {}, owner="ann", output=AppOutput())
    async with serve(running):
        while process.usage.calls < 20:
            await asyncio.sleep(0.001)
        before = process.usage.calls - 1
        code = await asyncio.to_thread(run, ["--home", str(home.root), "backup", str(tmp_path / "b.zip")])
        assert code == 0
    await running.signal(process.pid, "KILL")
    new = Home(tmp_path / "new")
    assert await asyncio.to_thread(run, ["--home", str(new.root), "backup", "restore", str(tmp_path / "b.zip")]) == 0
    assert "a process had not ended" in capsys.readouterr().out
    database = Database(new.database)
    assert database.check() == []
    [(count, ended)] = database.rows("SELECT count(*), count(ok) FROM journal WHERE call = 'print'")
    assert count >= ended >= before
    assert [record.pid for record in Records(database).alive()] == [process.pid]
    database.close()


def test_json_of_a_backup(full, llmos, tmp_path):
    told = json.loads(llmos(full, tmp_path / "b.zip", "--json")[1])
    assert told["rows"]["processes"] == 3
    assert told["bytes"] == (tmp_path / "b.zip").stat().st_size
    print_json(told)
