"""What the commands say of a tuning, and what they refuse."""

import json
from datetime import UTC, datetime

import pytest
from llmos.apps.system.doctor import _tuning
from llmos.apps.system.home import HomeLock
from llmos.apps.system.main import run
from llmos.apps.system.options import Options
from llmos.apps.system.tuned import Wanted, plan_for, shown, text_of, tuned_words
from llmos.kernel.errors import BadInput
from llmos.models.catalog import Catalog
from llmos.models.tuning import kept
from llmos.models.tuning.kept import Tuning, Tunings, engine_mark, file_mark, processor_mark
from llmos.models.tuning.setting import Proof, Row, Setting, Speed
from rich.console import Console


@pytest.fixture
def entry(home):
    return Catalog(home.create().root).get()


@pytest.fixture
def tuning(entry):
    setting = Setting(format="Q4_0", way="exact-q8", threads=2, threads_batch=3, batch=256, ubatch=128)
    speed = Speed(prefill=1000.4, decode={1: 100, 8: 400, 16: 600})
    proof = Proof(neighbours=True, cuts={1: True, 64: True}, promised=1)
    best = Row(setting=setting, speed=speed, relative=0.5, perplexity=20, loss=0.015, loss_error=0.002, proof=proof)
    broken = Row(setting=setting.but(format="BF16"), failed="died of SIGABRT")
    return Tuning(
        file=file_mark(entry), engine=engine_mark(), processor=processor_mark(), aim="agents", most=0.02,
        chosen=setting,
        present=setting.but(format="Q8_0"), relative=0.5, reference=19.7, rows=[broken, best],
        quick=True,
        measured_at=datetime.now(UTC), seconds=61,
    )  # fmt: skip


def test_the_words_for_a_model(home, entry, tuning, monkeypatch, capsys):
    assert "llmos model tune" in tuned_words(home.root, entry)
    Tunings(home.root).keep(entry, tuning)
    assert tuned_words(home.root, entry) == (
        "Q4_0, exact-q8, 3 threads, steps of 256; 2.00 times as fast as usual, perplexity +1.5%"
    )
    assert run(["--home", str(home.root), "model", "info", entry.name]) == 0
    assert "2.00 times as fast" in capsys.readouterr().out
    monkeypatch.setattr(kept, "engine_mark", lambda: "9.9")
    assert tuned_words(home.root, entry).startswith("not used: it was measured with llama-cpp-python")


def test_doctor_tells_of_one_that_does_not_hold(home, entry, tuning, monkeypatch):
    options = Options(home_folder=home.root)
    assert [c.state for c in _tuning(options)] == ["ok"]
    Tunings(home.root).keep(entry, tuning)
    assert [c.state for c in _tuning(options)] == ["ok"]
    monkeypatch.setattr(kept, "processor_mark", lambda: "another")
    (check,) = _tuning(options)
    assert (check.state, check.advice) == ("warn", f"llmos model tune {entry.name}")
    (home.models / "tuning.json").write_text("{")
    (check,) = _tuning(options)
    assert "cannot be read" in check.detail


def test_the_table(tuning):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(shown(tuning, kept=True))
    best, broken = captured.get().splitlines()[1:3]  # the fastest first
    assert " ".join(best.split()) == "* Q4_0 exact-q8 1000 100 400 600 0.50 20.00 +1.5% ± 0.2% any cut"
    assert "died of SIGABRT" in broken
    assert "2.00 times as fast as Q8_0" in captured.get()
    assert "A quick look" in captured.get()


def test_forget(home, entry, tuning, capsys):
    Tunings(home.root).keep(entry, tuning)
    words = ["--home", str(home.root), "model", "tune", "--forget", "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out) == {"model": entry.name, "forgotten": True}
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["forgotten"] is False


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tune", "nope"], "no model 'nope'"),
        (["tune", "--formats", "Q9"], "there is no format 'Q9'"),
        (["tune", "--ways", "slow"], "there is no way 'slow'"),
        (["tune", "--text", "/none"], "No such file"),
        (["tune", "--loss", "-1"], "greater than or equal to 0"),
        (["perplexity", "nope"], "no model 'nope'"),
    ],
)
def test_what_cannot_be_used(home, words, says, capsys):
    assert run(["--home", str(home.root), "model", *words]) == 2
    assert says in capsys.readouterr().err


def test_a_home_that_is_held(home, capsys):
    home.create()
    with HomeLock(home):
        assert run(["--home", str(home.root), "model", "tune", "--quick"]) == 69
    assert "is held" in capsys.readouterr().err


def test_a_text_of_ones_own(tmp_path):
    assert len(text_of(None)) > 8000
    file = tmp_path / "own.txt"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="no UTF-8"):
        text_of(file)
    file.write_text("too short")
    with pytest.raises(BadInput, match="too short"):
        text_of(file)


def test_a_users_file_keeps_its_format_unless_told_otherwise(entry):
    own = entry.model_copy(update={"source": "added", "name": "own"})
    assert plan_for(own, Wanted()).formats == (entry.format,)
    assert plan_for(own, Wanted()).present.format == entry.format
    with pytest.raises(BadInput, match="a file of yours"):
        plan_for(own, Wanted(("Q8_0",)))
    assert plan_for(own, Wanted(requantise=True)).formats == (entry.format, "Q8_0", "Q4_K_M", "Q4_0", "BF16")
    assert plan_for(entry, Wanted()).present.format == "Q8_0"
    assert plan_for(entry, Wanted()).shown == ("fast",)
