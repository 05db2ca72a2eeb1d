import subprocess
import sys
import zipfile

import pytest
from llmos.apps.system import install
from llmos.apps.system.install import propose, remove
from llmos.apps.system.registry import Registry, read_grants
from llmos.apps.system.template import write
from llmos.apps.system.testing import run_app
from llmos.kernel.errors import BadInput, Denied, NotFound, Unavailable

pytestmark = pytest.mark.programs


@pytest.fixture
def shout(tmp_path):
    return write("shout", tmp_path)


def wheel(tmp_path, name="whisper", files=()):
    path = tmp_path / f"llmos_{name}-1-py3-none-any.whl"
    info = f"llmos_{name}-1.dist-info"
    parts = {
        f"llmos_{name}/__init__.py": "",
        f"llmos_{name}/app.py": "",
        f"llmos_{name}/manifest.toml": f'name = "{name}"\nversion = "1"\nsummary = "softly"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: llmos-{name}\nVersion: 1\nRequires-Dist: llmos\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[llmos.apps]\n{name} = llmos_{name}\n",
        **dict(files),
    }
    record = "".join(f"{part},,\n" for part in [*parts, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for part, text in {**parts, f"{info}/RECORD": record}.items():
            archive.writestr(part, text)
    return path


def test_a_new_app_runs_and_is_checked(shout, tmp_path):
    ended = run_app(shout, {"text": "hi"}, home=tmp_path / "home", script=lambda prompt: prompt.upper()[-60:-40])
    assert ended.error is None
    assert ended.result
    ended = run_app(shout, {}, home=tmp_path / "home")
    assert ended.exit_code == 2
    assert "text" in ended.error.message


@pytest.mark.packaging
def test_a_new_app_has_a_test_that_passes(shout):
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(shout)],
        capture_output=True, text=True, check=False, cwd=shout,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout


@pytest.mark.parametrize("name", ["Shout", "9lives", "a b", "", "x" * 41, "../x"])
def test_names_that_will_not_do(tmp_path, name):
    with pytest.raises(BadInput):
        write(name, tmp_path)


def test_what_is_there_is_not_overwritten(shout, tmp_path):
    with pytest.raises(BadInput, match="already there"):
        write("shout", tmp_path)


def test_nothing_lasts_before_the_yes(home, shout):
    proposal = propose(home, str(shout))
    assert proposal.manifest.rights == ["model:use"]
    with pytest.raises(NotFound):
        Registry(home).look("shout")
    proposal.accept()
    assert Registry(home).get("shout").granted
    assert read_grants(home) == {"shout": ["model:use"]}


def test_a_copy_and_a_link(home, shout):
    propose(home, str(shout)).accept()
    copied = Registry(home).get("shout").folder
    assert not copied.is_symlink()
    propose(home, str(shout), link=True).accept()
    assert Registry(home).get("shout").folder.resolve() == shout / "llmos_shout"
    remove(home, "shout")
    assert (shout / "llmos_shout" / "app.py").is_file()
    assert read_grants(home) == {}


def test_a_failing_copy_leaves_the_old_one(home, shout, monkeypatch):
    propose(home, str(shout)).accept()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(install.shutil, "copytree", full)
    with pytest.raises(Exception, match="No space left"):
        propose(home, str(shout)).accept()
    assert (Registry(home).get("shout").folder / "app.py").is_file()


def test_rights_that_grew_are_asked_for_by_name(home, shout):
    propose(home, str(shout), link=True).accept()
    manifest = shout / "llmos_shout" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('"model:use"', '"model:use", "execute:run"'))
    with pytest.raises(Denied):
        Registry(home).get("shout")
    proposal = propose(home, "shout")
    assert "execute:run" in proposal.manifest.rights
    proposal.accept()
    assert Registry(home).get("shout")


def test_folders_that_hold_no_app_or_several(home, tmp_path, shout):
    (tmp_path / "void").mkdir()
    with pytest.raises(BadInput, match="holds no folders"):
        propose(home, str(tmp_path / "void"))
    write("other", shout.parent / "two")
    (shout.parent / "two" / "one").mkdir()
    with pytest.raises(BadInput):
        propose(home, str(shout.parent / "two"))


def test_names_of_shipped_apps_are_taken(home, tmp_path):
    write("recommend", tmp_path)
    with pytest.raises(Denied, match="app of llmos itself"):
        propose(home, str(tmp_path / "recommend"))
    with pytest.raises(Denied):
        remove(home, "recommend")


def test_what_is_nothing_at_all(home):
    with pytest.raises(NotFound, match="no folder, wheel or package"):
        propose(home, "./nowhere/at/all")
    with pytest.raises(NotFound):
        remove(home, "nothing")


@pytest.mark.packaging
def test_a_wheel_in_and_out(home, tmp_path):
    proposal = propose(home, str(wheel(tmp_path)))
    with pytest.raises(NotFound):
        Registry(home).look("whisper")
    proposal.accept()
    info = Registry(home).get("whisper")
    assert (info.origin, info.isolated, info.path) == ("package", True, (home.site,))
    assert info.folder == home.site / "llmos_whisper"
    remove(home, "whisper")
    assert list(home.site.iterdir()) == []


@pytest.mark.packaging
def test_a_wheel_that_is_no_app(home, tmp_path):
    info = "llmos_whisper-1.dist-info/entry_points.txt"
    with pytest.raises(BadInput, match="holds 0 apps"):
        propose(home, str(wheel(tmp_path, files={info: "[other]\nx = y\n"}.items())))


@pytest.mark.packaging
def test_files_outside_the_site_are_not_removed(home, tmp_path):
    precious = tmp_path / "precious"
    precious.touch()
    propose(home, str(wheel(tmp_path))).accept()
    record = home.site / "llmos_whisper-1.dist-info" / "RECORD"
    record.write_text(record.read_text() + f"../../{precious.name},,\n{precious},,\n")
    remove(home, "whisper")
    assert precious.exists()


def test_without_pip(home, tmp_path, monkeypatch):
    def no_pip(*_, **__):
        return subprocess.CompletedProcess([], 1, "", "/usr/bin/python3: No module named pip")

    monkeypatch.setattr(install.subprocess, "run", no_pip)
    with pytest.raises(Unavailable, match="ensurepip"):
        propose(home, str(wheel(tmp_path)))


@pytest.mark.packaging
def test_pip_s_last_word_is_passed_on(home, tmp_path):
    broken = tmp_path / "llmos_x-1-py3-none-any.whl"
    broken.write_bytes(b"no zip")
    with pytest.raises(BadInput, match="pip: "):
        propose(home, str(broken))
