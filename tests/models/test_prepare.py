import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llmos.models import gguf, prepare, trial
from llmos.models.catalog import Catalog, Entry, hash_of
from llmos.models.faults import BadTemplate, Damaged, EngineFault, Full, ModelFault, Unsupported

pytestmark = pytest.mark.programs

Maker = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def shipped(home: Path, tiny: Path) -> Entry:
    """A very small model in the place of the embedded one."""
    return Catalog(home).get(tiny).model_copy(update={"source": "embedded", "sha256": hash_of(tiny)})


def _never(*_: Any) -> None:
    raise AssertionError("a child was started")


def test_requantised_once_and_tried(shipped: Entry, home: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, float]] = []
    path = prepare.ready(shipped, home, progress=lambda what, share: told.append((what, share)))
    assert path == home / "models" / "tiny.Q8_0.gguf"
    file = gguf.check(path)
    assert file.format == "Q8_0"
    assert file.tensors[-1].offset + file.tensors[-1].size == file.size
    assert file.size == pytest.approx(prepare._expected_size(gguf.read(tiny), "Q8_0"), abs=64)  # a key is added
    assert ("preparing tiny as Q8_0", 1.0) in told
    assert told[-1] == ("trying tiny", 1.0)
    assert sorted(p.name for p in path.parent.iterdir()) == ["prepared.json", "tiny.Q8_0.gguf"]
    monkeypatch.setattr(trial, "_run", _never)
    assert prepare.ready(shipped, home) == path


@pytest.mark.parametrize("change", ["file", "source", "engine"])
def test_made_again_when_anything_changed(
    shipped: Entry, home: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    made: list[str] = []

    def run(command: list[str], path: Path, watch: Callable[[], None]) -> None:
        made.append(command[0])
        if command[0] == "quantise":
            Path(command[2]).write_bytes(b"new")

    monkeypatch.setattr(trial, "_run", run)
    path = prepare.ready(shipped, home)
    assert prepare.ready(shipped, home) == path
    assert made == ["quantise", "probe"]
    if change == "file":
        path.write_bytes(b"newer")
    elif change == "source":
        shipped = shipped.model_copy(update={"sha256": "", "size": 7})
    else:
        monkeypatch.setattr(prepare, "version", lambda _: "9.9.9")
    prepare.ready(shipped, home)
    assert made == ["quantise", "probe"] * 2


def test_other_models_are_served_as_they_are(home: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Catalog(home).add(tiny)
    assert prepare.ready(entry, home) == tiny
    monkeypatch.setattr(trial, "_run", _never)
    assert prepare.ready(entry, home) == tiny


def test_a_model_that_only_embeds(home: Path, make_model: Maker) -> None:
    entry = Catalog(home).get(make_model(architecture="bert"))
    with pytest.raises(Unsupported, match="only embeds"):
        prepare.ready(entry, home)


def test_an_installed_file_that_changed(shipped: Entry, home: Path) -> None:
    with pytest.raises(Damaged, match="not what was installed"):
        prepare.ready(shipped.model_copy(update={"sha256": "0" * 64}), home)


def test_no_room(shipped: Entry, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    monkeypatch.setattr(trial, "_run", _never)
    with pytest.raises(Full, match="are needed"):
        prepare.ready(shipped, home)


def test_a_disk_that_fills_up_meanwhile(shipped: Entry, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], path: Path, watch: Callable[[], None]) -> None:
        Path(command[2]).write_bytes(b"half")
        monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
        raise Damaged("llama.cpp failed")

    monkeypatch.setattr(trial, "_run", run)
    with pytest.raises(Full, match="is full"):
        prepare.ready(shipped, home)
    assert list((home / "models").iterdir()) == []


def test_ctrl_c_leaves_nothing(shipped: Entry, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: children.append(popen(*a, **k)) or children[-1])

    def interrupt(what: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare.ready(shipped, home, progress=interrupt)
    assert [c.returncode for c in children] == [-signal.SIGKILL]
    assert list((home / "models").iterdir()) == []


def test_ctrl_c_on_the_terminal_is_not_for_the_child(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would die of it, and that would look like a damaged file."""
    sessions: list[int] = []
    popen = subprocess.Popen

    def noted(*args: Any, **options: Any) -> Any:
        child = popen(*args, **options)
        sessions.append(os.getsid(child.pid))
        return child

    monkeypatch.setattr(subprocess, "Popen", noted)
    trial.probe(tiny)
    assert os.getsid(0) not in sessions
    assert len(sessions) == 1


def test_a_child_whose_parent_has_gone_does_nothing(tiny: Path, tmp_path: Path) -> None:
    target = tmp_path / "made.gguf"
    line = [sys.executable, "-P", "-m", "llmos.models.trial", "1", "quantise", str(tiny), str(target), "7"]
    ended = subprocess.run(line, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, target.exists()) == (0, b"", False)


def test_an_unknown_format(shipped: Entry, home: Path) -> None:
    with pytest.raises(EngineFault, match="no format 'Q9'"):
        prepare.ready(shipped, home, wanted="Q9")


ONES, NANS = (struct.pack("<8f", *[value] * 8) for value in (1.0, float("nan")))
EXPERTS = {"llama.expert_count": 300}


@pytest.mark.parametrize(
    ("metadata", "old", "new", "fault", "reason"),
    [
        ({}, b"token_embd.weight", b"token_embd.veight", Damaged, "refuses it: .*token_embd.weight' not found"),
        (EXPERTS, b"", b"", Damaged, "died of SIGABRT: .*GGML_ASSERT"),
        ({}, b"{% for m in", b"{% fro m in", BadTemplate, "unknown tag 'fro'"),
        ({}, b"<|im_start|>{{ m['role'] }}", b"{{ 'a' * 2 ** 30 }}".ljust(27), BadTemplate, "user's message"),
        pytest.param(
            {},
            struct.pack("<8f", *[1.0] * 8),
            struct.pack("<8f", *[float("nan")] * 8),
            Damaged,
            "invalid data",
            id="nan",
        ),
    ],
)
def test_whatever_llama_cpp_does_is_a_fault(
    make_model: Maker,
    home: Path,
    metadata: dict[str, int],
    old: bytes,
    new: bytes,
    fault: type[ModelFault],
    reason: str,
) -> None:
    path = make_model(metadata=metadata)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    gguf.check(path)  # the head is sound
    with pytest.raises(fault, match=reason) as caught:
        prepare.probe_load(path, home)
    assert caught.value.hint
    assert not (home / "models" / "prepared.json").exists()


def test_a_child_that_does_not_end(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_PATIENCE", -1e9)
    with pytest.raises(EngineFault, match="does not finish"):
        trial.probe(tiny)


def test_a_child_that_the_system_ends(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    popen = subprocess.Popen
    killed = ["/bin/sh", "-c", "kill -9 $$"]
    monkeypatch.setattr(subprocess, "Popen", lambda _, **k: popen(killed, **k))
    with pytest.raises(EngineFault, match="the system ended") as caught:
        trial.probe(tiny)
    assert "memory" in caught.value.hint


def test_the_folder_we_are_in_is_not_searched(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a stranger ran')")
    monkeypatch.chdir(tmp_path)
    trial.probe(tiny)
    assert os.getcwd() == str(tmp_path)


@pytest.mark.model
def test_the_embedded_model_is_brought_into_q8(home: Path) -> None:
    path = prepare.ready(Catalog(home).get(), home)
    assert gguf.check(path).format == "Q8_0"
    assert path.stat().st_size == 144_811_072
