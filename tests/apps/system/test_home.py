import os
import subprocess
import sys
from pathlib import Path

import pytest
from llmos.apps.system.home import Home, HomeLock, home_path
from llmos.kernel.errors import BadInput, HomeHeld, Storage


def test_the_path_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path / "here"))
    assert home_path() == tmp_path / "here"
    monkeypatch.setenv("LLMOS_HOME", " ")
    assert home_path().name == "llmos"


def test_a_relative_path_is_fixed_at_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMOS_HOME", "state")
    assert home_path() == tmp_path / "state"


def test_creating_is_private_and_repeatable(tmp_path):
    home = Home(tmp_path / "a" / "b")
    for _ in range(2):
        home.create()
    assert home.root.stat().st_mode & 0o777 == 0o700
    assert sorted(p.name for p in home.root.iterdir()) == ["apps", "models", "run", "site"]
    assert list(home.run.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        Home(tmp_path / "home").create()


def test_no_permission_and_a_full_disk_are_storage_errors(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Storage, match="No space left") as caught:
        Home(tmp_path).create()
    assert "\n" not in str(caught.value)
    with pytest.raises(Storage):
        Home(Path("/sys/llmos")).create()


def test_what_a_dead_llmos_left_is_swept_up(tmp_path):
    home = Home(tmp_path).create()
    (home.run / "7").mkdir()
    (home.run / "7" / "a.txt").touch()
    (home.run / "control").touch()
    (home.run / "link").symlink_to(tmp_path / "models")
    with HomeLock(home):
        (home.run / "mine").touch()
        with pytest.raises(HomeHeld):
            HomeLock(home).acquire()
    assert [left.name for left in home.run.iterdir()] == ["mine"]
    assert home.models.is_dir()


def test_one_holder_at_a_time(tmp_path):
    home = Home(tmp_path).create()
    with HomeLock(home):
        assert home.holder() == os.getpid()
        with pytest.raises(HomeHeld) as caught:
            HomeLock(home).acquire()
        assert caught.value.details["pid"] == os.getpid()
        assert f"process {os.getpid()}" in str(caught.value)
    assert home.holder() is None
    with HomeLock(home):
        pass


def test_a_killed_holder_leaves_no_lock(tmp_path):
    home = Home(tmp_path).create()
    code = (
        "import sys; from pathlib import Path; from llmos.apps.system.home import Home, HomeLock\n"
        "HomeLock(Home(Path(sys.argv[1]))).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HomeHeld, match=f"process {holder.pid}"):
            HomeLock(home).acquire()
        holder.kill()
    with HomeLock(home):
        assert home.holder() == os.getpid()
