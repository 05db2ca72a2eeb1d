import json

import pytest
from llmos.apps.system.home import Home
from llmos.apps.system.manifest import read_manifest
from llmos.apps.system.registry import Registry, candidates
from llmos.kernel.errors import BadInput, Denied, NotFound
from llmos.kernel.limits import Limits

GOOD = 'name = "shout"\nversion = "1"\nsummary = "says it louder"\nrights = ["model:use"]\n'


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home").create()


def put(home, name="shout", manifest=GOOD, app="raise SystemExit('must not be imported')"):
    folder = home.apps / name / f"llmos_{name}"
    folder.mkdir(parents=True)
    (folder / "manifest.toml").write_text(manifest)
    (folder / "__init__.py").write_text(app)
    (folder / "app.py").write_text(app)
    return folder


def grant(home, **rights):
    (home.apps / "grants.json").write_text(json.dumps(rights))


def test_a_manifest_as_it_should_be(tmp_path):
    (tmp_path / "manifest.toml").write_text(GOOD + 'each = "files"\n[limits]\ntokens = 5\nseconds = 0\n')
    found = read_manifest(tmp_path)
    assert found.rights == ["model:use"]
    assert found.limits == Limits(tokens=5, seconds=None)
    assert (found.priority, found.each, found.isolated) == ("normal", "files", False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "Invalid value"),
        (GOOD + 'colour = "red"', "colour"),
        (GOOD.replace("model:use", "model:break"), "unknown right 'model:break'"),
        (GOOD.replace("shout", "Shout!"), "name"),
        (GOOD + "[limits]\ntoken = 5", "unknown limit 'token'"),
        (GOOD + "limits = 5", "limits is no table"),
        (GOOD + "[limits]\nseconds = nan", "limit seconds is nan"),
        (GOOD + "[limits]\nseconds = inf", "limit seconds is inf"),
        (GOOD.replace("louder", "louder\\u001b[2K"), "summary: holds the control character U+001B"),
        (GOOD.replace("louder", "louder\\nrights: none"), "U+000A"),
        (GOOD.replace("louder", "\\u202eredluol"), "U+202E"),
        (GOOD.replace('"1"', '"1\\r2"'), "version: holds the control character U+000D"),
        (GOOD.replace('"1"', f'"{"1" * 41}"'), "version"),
        (GOOD + 'input = "perhaps"', "input"),
        (GOOD + 'priority = "urgent"', "priority"),
        ("", "name: Field required; version: Field required"),
    ],
)
def test_a_broken_manifest_is_one_line(tmp_path, text, says):
    (tmp_path / "manifest.toml").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_manifest(tmp_path)
    assert str(tmp_path / "manifest.toml") in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(BadInput, match="is missing"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="utf-8"):
        read_manifest(tmp_path)


def test_shipped_apps_run_inside(home):
    names = [info.name for info in Registry(home).apps()]
    assert {"support", "summarize", "recommend", "chat"} <= set(names)
    assert not Registry(home).get("support").isolated


def test_an_app_of_the_home_is_found_without_running_it(home):
    folder = put(home)
    grant(home, shout=["model:use"])
    info = Registry(home).get("shout")
    assert (info.folder, info.package, info.origin) == (folder, "llmos_shout", "folder")
    assert info.isolated
    assert info.path == (folder.parent, home.site)


def test_without_a_yes_it_does_not_run(home):
    put(home)
    assert Registry(home).look("shout").granted is False
    with pytest.raises(Denied, match="llmos app install shout"):
        Registry(home).get("shout")


def test_a_manifest_that_grew_needs_a_new_yes(home):
    put(home, manifest=GOOD.replace('"model:use"', '"model:use", "execute:run"'))
    grant(home, shout=["model:use"])
    with pytest.raises(Denied):
        Registry(home).get("shout")


def test_unknown_apps_name_the_nearest(home):
    with pytest.raises(NotFound, match="did you mean summarize"):
        Registry(home).get("sumarize")
    with pytest.raises(NotFound, match="llmos app list"):
        Registry(home).get("xyzzy")


def test_broken_ones_stand_apart_and_say_why(home):
    put(home, "bad", manifest="name = 5")
    put(home, "other", manifest=GOOD)
    (put(home, "hollow", manifest=GOOD.replace("shout", "hollow")) / "app.py").unlink()
    broken = Registry(home).broken()
    assert set(broken) >= {"bad", "other", "hollow"}
    assert "says 'shout'" in str(broken["other"])
    assert "no app.py" in str(broken["hollow"])
    with pytest.raises(BadInput, match="name"):
        Registry(home).get("bad")


def test_nobody_takes_the_name_of_a_shipped_app(home):
    put(home, "support", manifest=GOOD.replace("shout", "support"))
    grant(home, support=["model:use"])
    assert Registry(home).get("support").origin == "shipped"


def test_packages_are_found_by_entry_point(tmp_path):
    package = tmp_path / "llmos_whisper"
    package.mkdir()
    info = tmp_path / "llmos_whisper-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llmos-whisper\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[llmos.apps]\nwhisper = llmos_whisper\n")
    [found] = candidates(tmp_path)
    assert (found.name, found.folder, found.origin, found.path) == ("whisper", package, "package", (tmp_path,))


def test_grants_that_cannot_be_read_grant_nothing(home):
    put(home)
    (home.apps / "grants.json").write_text("{")
    assert Registry(home).look("shout").granted is False
