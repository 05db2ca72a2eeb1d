import asyncio
import io
import json
import os
import sys

import pytest
from llmos.apps.system import display
from llmos.apps.system import output as output_module
from llmos.apps.system.display import clean, out, print_json, process_table, seconds
from llmos.apps.system.output import AppOutput, ask_terminal, fault_line, plain_result, remainder
from llmos.apps.system.piped import comes_within, is_piped, read_bytes, read_text
from llmos.kernel.errors import BadInput, Denied, LimitExceeded
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

ROW = {
    "pid": 3, "app": "echo", "owner": "ann", "state": "done", "exit_code": 2, "tokens_in": 7, "tokens_out": 5,
    "first_token_s": None, "seconds": 1.5, "pages": 1, "faults": 0, "error": "bad\x1b[31m",
}  # fmt: skip


def drawn(what, width=120):
    file = io.StringIO()
    Console(file=file, width=width).print(what)
    return file.getvalue()


def test_what_is_said_does_not_steer_the_terminal():
    assert clean("a\x1b[31mb\x07\x9bc\td\ne\r") == "a[31mbc\td\ne"


@pytest.mark.parametrize("text", ["[bold]x[/bold] y", "see [bold] there", "50% [/off", "a [/] b", "[link=x]y[/link]"])
async def test_words_in_brackets_are_not_lost(apps, text):
    assert (await remainder(apps["echo_"], ended(text), "")).plain == text
    assert (await remainder(apps["count"], ended(Shown(words=text, count=1)), "")).plain == f"{text}: 1"


def test_what_is_said_does_not_turn_the_line_round():
    assert clean("a\u202eb\u2066c") == "abc"


@pytest.mark.parametrize(
    ("value", "words"), [(None, "-"), (0.256, "0.26s"), (99.5, "99.50s"), (125, "2m05s"), (7300, "2h01m")]
)
def test_durations(value, words):
    assert seconds(value) == words


def test_the_process_table():
    head, row = drawn(process_table([ROW])).splitlines()
    assert " ".join(head.split()) == "pid app owner state in out first time pages faults"
    assert " ".join(row.split()) == "3 echo ann exit 2 7 5 - 1.50s 1 0 bad[31m"


LONG = {**ROW, "app": "recommend", "owner": "customer", "error": "a long story of what went wrong " * 9}


@pytest.mark.parametrize("width", [80, 100, 120])
def test_only_the_error_is_cut_where_the_table_is_too_wide(width):
    head, row = drawn(process_table([LONG]), width).splitlines()
    assert head.split() == ["pid", "app", "owner", "state", "in", "out", "first", "time", "pages", "faults"]
    assert row.startswith("  3  recommend  customer  exit 2")
    assert row.rstrip().endswith("…")
    assert len(row) <= width


@pytest.mark.parametrize("width", [40, 50, 60])
def test_a_narrow_place_gets_fewer_columns_and_whole_cells(width):
    head, row = drawn(process_table([LONG, {**LONG, "pid": 123456}]), width).splitlines()[::2]
    assert {"pid", "app", "state"} <= set(head.split())
    assert row.split()[:2] == ["123456", "recommend"]
    assert "exit 2" in row
    assert len(row) <= width


def test_an_error_of_several_lines_is_one_row():
    assert len(drawn(process_table([{**ROW, "error": "one\ntwo"}])).splitlines()) == 2


def test_nothing_is_cut_where_nobody_looks(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    out().print(process_table([LONG]))
    out().print(display.rows_table(("a", "b"), [("x" * 100, "y " * 100)]))
    lines = sys.stdout.getvalue().splitlines()
    assert LONG["error"].strip() in lines[1]
    assert ("x" * 100 in lines[3], "y " * 100 in lines[3]) == (True, True)


def test_a_reader_that_has_gone_is_told_to_the_program(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", closefd=False) as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        with pytest.raises(BrokenPipeError):
            out().print("words")
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_json_is_whole_whatever_the_encoding(encoding):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_json({"a": "€ 😀 \udcff"}, file)
    assert json.loads(file.buffer.getvalue().decode(encoding)) == {"a": "€ 😀 \udcff"}


def test_output_is_kept_and_passed_on():
    seen = []
    output = AppOutput()
    output.write("one ")
    output.watch(seen.append)
    output.write("two ")
    output.watch(None)
    output.write("three")
    assert (output.text, seen) == ("one two three", ["one ", "two "])
    output.watch(seen.append)
    assert "".join(seen) == output.text


def test_progress_is_a_share():
    seen = []
    output = AppOutput(on_progress=lambda share, what: seen.append((share, what)))
    output.progress(1, 4, "a\x1b")
    output.progress(9, 4, "b")
    assert seen == [(0.25, "a"), (1.0, "b")]


async def test_without_a_human_questions_are_denied():
    with pytest.raises(Denied, match="nobody is there"):
        await AppOutput().ask("well?", [])


async def test_a_question_on_the_terminal(monkeypatch, capsys):
    read, write = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(read))
    os.write(write, b"maybe\nyes\n")
    asking = asyncio.ensure_future(ask_terminal("well?", ["yes", "no"]))
    os.close(write)
    assert await asking == "yes"
    told = capsys.readouterr().err
    assert told.count("well? [yes/no]") == 2
    assert "please answer one of: yes, no" in told
    with pytest.raises(Denied, match="not answered"):
        await ask_terminal("well?", [])


class Found(BaseModel):
    words: int


class Shown(BaseModel):
    words: str
    count: int


def ended(result=None, error=None):
    return type("Ended", (), {"result": result, "error": error})()


@pytest.mark.parametrize(
    ("process", "plain"),
    [
        (ended(Found(words=3)), {"words": 3}),
        (ended("text"), {"result": "text"}),
        (ended({"a": 1}), {"a": 1}),
        (ended(None), {"result": None}),
    ],
)
def test_results_as_json(process, plain):
    assert plain_result(process) == plain


def test_errors_as_json_and_as_a_line():
    fault = BadInput("no\ngood", hint="try this", what=1)
    assert plain_result(ended(error=fault))["error"]["details"] == {"what": 1}
    assert fault_line(fault, "who").plain == "who: no good (try this)"


async def test_what_was_written_is_not_said_again(apps):
    info = apps["echo_"]
    assert (await remainder(info, ended("hello"), "hello\n")).plain == ""
    assert (await remainder(info, ended("hello"), "other")).plain == "hello"
    assert (await remainder(info, ended(None), "")) == Text()


def test_standard_input_counts_where_it_is_a_pipe_or_a_file(monkeypatch, tmp_path):
    (tmp_path / "in").write_bytes("piped €\r\nin".encode())
    with (tmp_path / "in").open() as file, open(os.devnull) as device:
        monkeypatch.setattr(sys, "stdin", device)
        assert not is_piped()
        monkeypatch.setattr(sys, "stdin", file)
        assert is_piped()
        assert read_text() == "piped €\nin"
    assert not is_piped()
    (tmp_path / "in").write_bytes(b"\xff")
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(BadInput, match="UTF-8"):
            read_text()
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(LimitExceeded, match="piped in"):
            read_bytes(0)


def test_a_silent_pipe_is_no_input_yet(monkeypatch):
    read, write = os.pipe()
    with os.fdopen(read) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        assert is_piped()
        assert not comes_within(0)
        os.close(write)
        assert comes_within(0)


def test_of_what_was_shown_the_end_is_kept(monkeypatch):
    monkeypatch.setattr(output_module, "KEPT", 10)
    seen = []
    shown_at_once, kept = AppOutput(sink=seen.append), AppOutput()
    for number in range(100):
        shown_at_once.write(f"{number:02} ")
        kept.write(f"{number:02} ")
    assert "".join(seen) == kept.text == "".join(f"{number:02} " for number in range(100))
    assert len(shown_at_once.text) <= 20
    assert kept.text.endswith(shown_at_once.text)
