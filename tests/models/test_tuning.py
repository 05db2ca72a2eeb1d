"""The search with a measurer that makes up its figures, what is kept, and all of it once on real files."""

import asyncio
import json
import os
from collections import namedtuple
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from llmos.models import disk, trial
from llmos.models.catalog import Catalog
from llmos.models.faults import Damaged, EngineFault, Full, Unsupported
from llmos.models.tuning import kept
from llmos.models.tuning.kept import Tuning, Tunings, engine_mark, file_mark, processor_mark, stale
from llmos.models.tuning.measurer import FileMeasurer, workplace
from llmos.models.tuning.search import Plan, search
from llmos.models.tuning.setting import Proof, Row, Setting, Speed

PRESENT = Setting(format="Q8_0", way="exact", threads=4, threads_batch=4, batch=512, ubatch=512)
SPEED = {"Q4_1": 0.8, "Q8_0": 1.0, "Q4_K_M": 1.1, "Q4_0": 2.0, "BF16": 1.5}
SURPRISE = {"Q4_1": 3.000, "Q8_0": 3.005, "Q4_K_M": 3.015, "Q4_0": 3.2, "BF16": 3.0}
FORMATS = ("Q4_1", "Q8_0", "Q4_K_M", "Q4_0", "BF16")


def sound(promised):
    return Proof(neighbours=True, cuts={1: promised == 1, 2: True, 64: True}, promised=promised)


class MadeUp:
    """Speeds by format, way, threads and batch; BF16 depends on neighbours, as it does."""

    def __init__(self, **overrides):
        self.asked, self.dropped = [], []
        self.way = {"exact": 1.0, "exact-q8": 0.8, "fast": 1.3}
        self.threads = {4: 1.0, 3: 0.9, 2: 1.2, 1: 0.5}
        self.batch = {512: 1.0}
        self.broken = {}
        self.__dict__.update(overrides)

    def rate(self, s):
        return SPEED[s.format] * self.way[s.way] * self.threads[s.threads_batch] * self.batch.get(s.batch, 1.0)

    def compare(self, first, second, rounds):
        self.asked.append((first, second))
        if fault := self.broken.get(second.format):
            raise fault
        return tuple(
            [
                Speed(prefill=800 * self.rate(s), decode={n: 100 * n * self.rate(s) for n in (1, 8, 16)})
                for _ in range(rounds)
            ]
            for s in (first, second)
        )

    def surprises(self, setting):
        return [SURPRISE[setting.format]] * 10

    def prove(self, setting):
        if setting.format == "BF16":
            return Proof(neighbours=False, cuts={64: True}, promised=1)
        return sound(2 if setting.way == "exact" else 1)

    def drop(self, form):
        self.dropped.append(form)


def plan(**changes):
    return Plan(**{
        "present": PRESENT, "source": "Q4_1", "formats": FORMATS, "ways": ("exact", "exact-q8"), "shown": ("fast",),
        "cores": 4, **changes,
    })  # fmt: skip


def test_the_fastest_within_the_loss_in_a_way_that_holds():
    measurer, told = MadeUp(), []
    found = search(plan(), measurer, lambda what, share: told.append(share))
    # Q4_0 is fastest and loses too much; BF16 is next and its bits depend on neighbours.
    assert (found.chosen.format, found.chosen.way) == ("Q4_K_M", "exact")
    assert found.chosen.threads_batch == 2
    assert found.relative == pytest.approx(1 / 1.1 / 1.2)
    assert found.reference == pytest.approx(20.0855, abs=1e-3)
    rows = {(r.setting.format, r.setting.way): r for r in found.rows}
    assert rows["Q4_0", "exact"].loss == pytest.approx(0.2214, abs=1e-3)
    assert rows["Q4_0", "exact"].proof is None
    assert not rows["BF16", "exact"].proof.holds
    assert rows["BF16", "fast"].relative < rows["Q4_K_M", "exact"].relative  # shown, and not taken
    assert len(rows) == len(found.rows)
    assert "Q4_0" in measurer.dropped
    assert told == sorted(told)
    assert told[-1] < 1


def test_more_loss_allowed():
    assert search(plan(most=0.3), MadeUp()).chosen.format == "Q4_0"


def test_nothing_within_the_loss():
    with pytest.raises(Unsupported, match=r"at most 2.0% of perplexity") as caught:
        search(plan(formats=("Q4_0",)), MadeUp())
    assert "--loss" in caught.value.hint


def test_no_way_holds():
    with pytest.raises(Unsupported, match="none of the ways exact, exact-q8 holds") as caught:
        search(plan(formats=("BF16",)), MadeUp())
    assert "--ways fast" in caught.value.hint


def test_fast_promises_nothing_and_is_taken_when_it_is_a_candidate():
    found = search(plan(ways=("fast",), shown=()), MadeUp())
    assert (found.chosen.format, found.chosen.way) == ("BF16", "fast")


def test_where_the_fastest_formats_do_not_hold_others_follow():
    found = search(plan(finalists=1, formats=("BF16", "Q4_1", "Q8_0")), MadeUp())
    assert found.chosen.format == "Q8_0"


def test_a_way_whose_grain_is_coarser_than_promised_is_not_taken():
    measurer = MadeUp()
    coarse = Proof(neighbours=True, cuts={1: False, 2: False, 3: True, 64: True}, promised=2)
    measurer.prove = lambda s: coarse if s.way == "exact" else sound(1)
    found = search(plan(), measurer)
    assert found.chosen.way == "exact-q8"
    assert {r.proof.grain for r in found.rows if r.proof and r.setting.way == "exact"} == {3}


def test_a_format_that_crashes_is_a_row_with_its_reason():
    found = search(plan(), MadeUp(broken={"Q4_K_M": EngineFault("died of SIGABRT")}))
    assert found.chosen.format == "Q8_0"
    assert next(r for r in found.rows if r.setting.format == "Q4_K_M").failed == "died of SIGABRT"


def test_when_all_crash_the_reason_is_told():
    with pytest.raises(EngineFault, match="Q8_0: died"):
        search(plan(formats=("Q8_0",)), MadeUp(broken={"Q8_0": EngineFault("died")}))


def test_a_full_disk_ends_it():
    with pytest.raises(Full):
        search(plan(), MadeUp(broken={"BF16": Full("no room")}))


def test_a_gain_within_the_noise_changes_nothing():
    measurer = MadeUp(threads=dict.fromkeys(range(1, 5), 1.0), batch={512: 1.0, 256: 1.01, 1024: 1.015})
    chosen = search(plan(), measurer).chosen
    assert (chosen.threads, chosen.batch, chosen.ubatch) == (4, 512, 512)


def test_steps_are_cut_only_in_ways_where_any_cut_is_the_same():
    measurer = MadeUp(batch={512: 1.0, 1024: 1.5})
    chosen = search(plan(), measurer).chosen
    assert (chosen.batch, chosen.ubatch) == (1024, 1024)
    assert all(s.batch == s.ubatch for pair in measurer.asked for s in pair)
    measurer = MadeUp(batch={512: 1.0, 1024: 1.5})
    search(plan(ways=("exact-q8",)), measurer)
    assert any(s.batch != s.ubatch for pair in measurer.asked for s in pair)


def test_on_many_cores_a_few_counts_are_tried():
    measurer = MadeUp(threads=dict.fromkeys(range(1, 65), 1.0))
    search(plan(cores=64, present=PRESENT.but(threads=64, threads_batch=64)), measurer)
    assert {s.threads_batch for pair in measurer.asked for s in pair} == {16, 32, 48, 64}


@pytest.mark.parametrize(
    ("cuts", "grain", "holds"),
    [
        ({1: True, 2: True, 64: True}, 1, True),
        ({1: False, 2: True, 64: True}, 2, True),
        ({1: True, 2: False, 64: True}, 64, False),
        ({1: True, 2: True, 64: False}, 0, False),
    ],
)
def test_the_grain_that_a_proof_gives(cuts, grain, holds):
    proof = Proof(neighbours=True, cuts=cuts, promised=2)
    assert (proof.grain, proof.holds) == (grain, holds)
    assert not proof.model_copy(update={"neighbours": False}).holds


# -- what is kept --


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def entry(home, tiny):
    return Catalog(home).add(tiny)


@pytest.fixture
def tuning(entry):
    chosen = PRESENT.but(format=entry.format, batch=256, ubatch=256)
    rows = [Row(setting=chosen, relative=0.8, loss=0.01, proof=sound(2)), Row(setting=chosen.but(way="exact-q8"))]
    return Tuning(
        file=file_mark(entry), engine=engine_mark(), processor=processor_mark(), aim="agents", most=0.02, chosen=chosen,
        present=PRESENT, relative=0.8, reference=20.0, rows=rows, quick=False, measured_at=datetime.now(UTC), seconds=1,
    )  # fmt: skip


def test_kept_found_and_forgotten(home, entry, tuning):
    tunings = Tunings(home)
    assert tunings.settled(entry, None, 16) is None
    tunings.keep(entry, tuning)
    assert tunings.valid(entry) == tuning
    assert tunings.settled(entry, None, 16) == tuning.chosen
    assert tunings.settled(entry, None, 256 + 1).batch == 257
    assert tunings.settled(entry, "fast", 16).way == "fast"
    assert tunings.settled(entry, "exact-q8", 16) is None  # not proved in this format
    assert tunings.forget(entry.name)
    assert not tunings.forget(entry.name)
    assert tunings.get(entry) is None


def test_stale_when_the_file_is_another(home, entry, tuning):
    Tunings(home).keep(entry, tuning)
    os.utime(entry.path, ns=(1, 1))
    assert stale(tuning, entry) == "the file of the model is another"
    assert Tunings(home).settled(entry, None, 16) is None


@pytest.mark.parametrize(
    ("mark", "reason"),
    [("engine_mark", "measured with llama-cpp-python"), ("processor_mark", "measured on another processor")],
)
def test_stale_on_another_machine(home, entry, tuning, monkeypatch, mark, reason):
    Tunings(home).keep(entry, tuning)
    monkeypatch.setattr(kept, mark, lambda: "another")
    assert reason in stale(tuning, entry)
    assert Tunings(home).valid(entry) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"models": {"tiny": {}}}', "\0" * 100])
def test_a_damaged_file_counts_as_none(home, entry, tuning, text):
    file = home / "models" / "tuning.json"
    file.write_text(text)
    tunings = Tunings(home)
    assert tunings.get(entry) is None
    assert tunings.damage
    tunings.keep(entry, tuning)
    assert not tunings.damage
    assert json.loads(file.read_text())["models"].keys() == {"tiny"}


# -- real children --


def measurer_for(entry, folder):
    return FileMeasurer(entry, folder, "the old ferry " * 60, most_tokens=60, aim="agents", watch=lambda: None)


@pytest.mark.programs
def test_a_small_model_is_measured_and_nothing_stays(home, entry):
    small = PRESENT.but(format=entry.format, threads=1, threads_batch=1)
    with workplace(home / "models") as folder:
        measurer = measurer_for(entry, folder)
        first, second = measurer.compare(small, small.but(format="Q8_0", way="exact-q8"), 2)
        assert len(first) == len(second) == 2
        assert all(rate > 0 for speed in first for rate in (speed.prefill, *speed.decode.values()))
        assert len(measurer.surprises(small)) == 59
        assert (folder / "Q8_0.gguf").exists()
        measurer.drop("Q8_0")
        assert not list(folder.iterdir())
    assert [p.name for p in (home / "models").iterdir()] == ["catalog.json"]


@pytest.mark.programs
def test_a_crash_is_a_fault_of_the_format(home, entry, monkeypatch):
    def crash(*_):
        raise Damaged(f"{entry.path.name}: llama.cpp died of SIGABRT: GGML_ASSERT")

    monkeypatch.setattr(trial, "measure", crash)
    with workplace(home / "models") as folder, pytest.raises(EngineFault, match=r"F32 in the way exact: .*SIGABRT"):
        measurer_for(entry, folder).surprises(PRESENT.but(format=entry.format))


def test_a_full_disk_is_seen_before(home, entry, monkeypatch):
    usage = namedtuple("usage", "total used free")
    with workplace(home / "models") as folder:
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage(1, 1, 10))
        with pytest.raises(Full, match="are needed"):
            measurer_for(entry, folder).surprises(PRESENT)


def test_what_a_killed_run_left_goes(home):
    left = home / "models" / ".tuning-abc"
    left.mkdir(parents=True)
    (left / "Q8_0.gguf").write_bytes(b"x")
    with suppress(KeyboardInterrupt), workplace(home / "models") as folder:
        assert not left.exists()
        (folder / "Q4_0.part").write_bytes(b"x")
        raise KeyboardInterrupt
    assert not list((home / "models").iterdir())


@pytest.mark.model
def test_the_embedded_model_once_and_the_next_start_uses_it(tmp_path):
    from llmos.apps.system.boot import boot
    from llmos.apps.system.home import Home
    from llmos.apps.system.tuned import Wanted, text_of, tune

    home = Home(tmp_path / "home").create()
    wanted = Wanted(("Q4_1", "Q8_0"), ("exact-q8",), most=0.05, quick=True, text=text_of(None))
    found = tune(home, None, wanted, lambda what, share: None, keep=True)
    assert {row.setting.format for row in found.rows} == {"Q4_1", "Q8_0"}
    assert found.best.proof.grain == 1
    assert all(row.loss is not None and abs(row.loss) < 0.05 for row in found.rows)
    assert found.rows[0].loss == pytest.approx(0, abs=0.03)
    entry = Catalog(home.root).get()
    assert Tunings(home.root).valid(entry) == found
    assert not [p for p in home.models.iterdir() if p.name.startswith(".tuning")]

    async def way():
        async with boot(home, streams=2, window=256) as running:
            info = running.machine.cores.local.engine.info
            return info.way, info.batch, info.details["file"]

    way_now, batch, file = asyncio.run(way())
    assert (way_now, batch) == ("exact-q8", found.chosen.batch)
    assert found.chosen.format in file.upper()
