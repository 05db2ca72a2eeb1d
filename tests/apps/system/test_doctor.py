import json

import pytest
from llmos.apps.system import doctor
from llmos.apps.system.doctor import Check, examine, report
from llmos.apps.system.home import HomeLock
from llmos.apps.system.options import Options
from llmos.memory.database import Database

GOOD = Check("processor", "ok", "fast")
WEAK = Check("memory", "warn", "little", "buy some")
GONE = Check("model", "missing", "not there", "fetch it")


@pytest.fixture
def options(home):
    return Options(home_folder=home.root)


def test_every_part_is_looked_at(options):
    seen = {}
    for check in examine(options):
        seen[check.name] = check
        if check.name == "chroma":
            break
    names = ["processor", "memory", "disk", "python", "database", "llama.cpp", "home", "states"]
    names += ["model", "tuning", "embedder", "chroma"]
    assert list(seen) == names
    assert all(check.detail for check in seen.values())
    assert seen["home"].state == "ok"


def test_whoever_holds_the_home_is_named(options):
    with HomeLock(options.home):
        assert "held by process" in doctor._home(options.home).detail


def test_a_home_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    found = doctor._home(Options(home_folder=tmp_path / "file").home)
    assert found.state == "missing"
    assert found.advice


def test_a_model_that_is_not_there(options):
    options.model = "nope"
    assert doctor._model(options).state == "missing"


def test_a_store_that_is_damaged(options):
    store = options.home.database
    Database(store).close()
    assert "is sound" in doctor._database(options.home).detail
    pages = bytearray(store.read_bytes())
    pages[4096 : 4096 * 4] = b"\xff" * 4096 * 3
    store.write_bytes(pages)
    found = doctor._database(options.home)
    assert found.state == "missing"
    assert str(store) in found.detail
    store.write_bytes(b"no store at all " * 500)
    assert doctor._database(options.home).state == "missing"


def test_an_old_processor(monkeypatch, options):
    monkeypatch.setattr(doctor, "_flags", lambda: {"sse2"})
    assert doctor._processor(options.home).state == "warn"


def test_a_full_disk(monkeypatch, options):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    assert doctor._disk(options.home).state == "missing"


def test_llama_that_does_not_load(monkeypatch, options):
    gone = doctor.subprocess.CompletedProcess([], -4, "", "")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: gone)
    found = doctor._llama(options.home)
    assert (found.state, "ended with -4" in found.detail) == ("missing", True)


def test_the_report_says_what_to_do(capsys):
    assert report([GOOD, WEAK], as_json=False) == 0
    told = capsys.readouterr().out
    assert "→ buy some" in told
    assert "Everything that llmos needs is there." in told
    assert report([GOOD, GONE], as_json=False) == 1
    assert "cannot run: model missing" in capsys.readouterr().out


def test_the_report_as_json(capsys):
    assert report([GOOD, GONE], as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert told["checks"][1] == {"name": "model", "state": "missing", "detail": "not there", "advice": "fetch it"}
