"""The child that reads: what a file does to it, it does to nobody else, and the next file is read."""

import os

import pytest
from llmos.memory.ingest.reading import Facts, Failed, Job, Part, Tick, read

pytestmark = pytest.mark.programs
MOST = 2**20


@pytest.fixture
def told(tmp_path):
    """``told({name: bytes}, …)``: what is said of each file, by its name: pieces' texts, or the code of its refusal."""

    def ask(files, most=MOST):
        jobs = []
        for name, data in files.items():
            path = tmp_path / name
            if data is not None:
                path.write_bytes(data)
            jobs.append(Job(str(path), name, len(data or b"")))
        found = {name: [] for name in files}
        for event in read(jobs, most):
            if isinstance(event, Part):
                found[event.job.name] += [piece.text for piece in event.pieces]
            elif isinstance(event, Failed):
                found[event.job.name] = event.refused.code
            elif isinstance(event, Facts):
                assert found[event.job.name] != []
        return found

    return ask


def test_files_are_read_in_order_and_refused_one_by_one(told, tmp_path, pdf, word):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    found = told({
        "a.txt": b"One.", "gone.txt": None, "b.pdf": pdf([["Two."]]), "c.pdf": b"%PDF-1.4 nonsense", "pipe": None,
        "d.docx": word(lambda document: document.add_paragraph("Three.")), "link.txt": None,
        "large.txt": b"x" * (MOST + 1),
        "empty.txt": b"", "blank.txt": b" \n ", "e.md": b"Four.", "e.bin": bytes(range(256)),
    })  # fmt: skip
    assert found == {
        "a.txt": ["One."], "gone.txt": "missing", "b.pdf": ["Two."], "c.pdf": "damaged", "pipe": "special",
        "d.docx": ["Three."], "link.txt": "link", "large.txt": "large", "empty.txt": "empty", "blank.txt": "empty",
        "e.md": ["Four."], "e.bin": "binary",
    }  # fmt: skip


def test_more_files_than_are_under_way_at_a_time(told):
    files = {f"{n:04}.txt": f"This is number {n}.".encode() for n in range(700)}
    assert told(files) == {name: [data.decode()] for name, data in files.items()}


def test_a_known_digest_is_told_and_the_file_not_split(tmp_path):
    (tmp_path / "a.txt").write_text("One.")
    [_, first] = [e for e in read([Job(str(tmp_path / "a.txt"), "a.txt", 4)], MOST) if not isinstance(e, Tick)]
    job = Job(str(tmp_path / "a.txt"), "a.txt", 4, first.digest)
    [again] = [e for e in read([job], MOST) if not isinstance(e, Tick)]
    assert (first.same, again.same, first.size, first.kind) == (False, True, 4, "text")


def in_the_child(monkeypatch, tmp_path, code):
    """Have the child run some code before it begins."""
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_a_file_that_takes_for_ever_is_given_up(told, monkeypatch, tmp_path):
    in_the_child(monkeypatch, tmp_path, HANG)
    assert told({"a.txt": b"One.", "hang.txt": b"hang", "b.txt": b"Two."}) == {
        "a.txt": ["One."], "hang.txt": "slow", "b.txt": ["Two."],
    }  # fmt: skip


HANG = """
import signal
from llmos.memory.ingest import plain
setitimer, lines = signal.setitimer, plain.lines
signal.setitimer = lambda kind, seconds: setitimer(kind, min(seconds, 0.2))
def hang(document):
    for number, line in lines(document):
        while line == "hang":
            pass
        if line == "grow":
            whole = bytearray(2**33)
        if line == "die":
            signal.raise_signal(signal.SIGSEGV)
        if line == "write":
            open(document.name + ".out", "w").write("x" * 2**20)
        yield number, line
plain.lines = hang
"""


def test_one_that_eats_memory_dies_or_writes_is_refused(told, monkeypatch, tmp_path):
    in_the_child(monkeypatch, tmp_path, HANG)
    monkeypatch.chdir(tmp_path)
    found = told({"a.txt": b"grow", "b.txt": b"die", "c.txt": b"die", "d.txt": b"write", "e.txt": b"Five."})
    assert found["a.txt"] == "memory"
    assert found["b.txt"] == found["c.txt"] == "damaged"
    assert found["d.txt"] == "unreadable"
    assert os.path.getsize("d.txt.out") == 0
    assert found["e.txt"] == ["Five."]


def test_a_child_that_has_grown_is_replaced(told, monkeypatch, tmp_path):
    in_the_child(monkeypatch, tmp_path, "import llmos.memory.ingest.worker as w\nw._GROWN = 0\n")
    files = {f"{n}.txt": b"One." for n in range(4)}
    assert told(files) == {name: ["One."] for name in files}


def test_a_file_that_unfolds_beyond_measure_is_refused(told):
    wide = "a" * 80
    table = ",".join(f"{wide}{n}" for n in range(900)) + "\n" + ("x," * 899 + "x\n") * 500
    assert told({"bomb.csv": table.encode(), "a.txt": b"One."}) == {"bomb.csv": "large", "a.txt": ["One."]}


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("A line.\n\n" * 100_000)
    events = read([Job(str(path), "log.txt", path.stat().st_size)], MOST)
    while not isinstance(next(events), Part):
        pass
    with path.open("a") as file:
        file.write("One more.")
    last = list(events)[-1]
    assert (type(last), last.refused.code) == (Failed, "changed")


def test_closing_ends_the_child(tmp_path, programs_left):
    path = tmp_path / "long.txt"
    path.write_text("A line.\n\n" * 100_000)
    events = read([Job(str(path), "long.txt", 1)], 2**30)
    next(events)
    assert len(programs_left()) == 1
    events.close()
    assert programs_left() == []
