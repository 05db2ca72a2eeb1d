import asyncio
import io
import os
import sys

import pytest
from llmos.apps.system.display import clean, marked, process_table, seconds
from llmos.apps.system.output import AppOutput, ask_terminal, fault_line, plain_result, remainder
from llmos.apps.system.run import piped_in
from llmos.kernel.errors import BadInput, Denied
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

ROW = {
    "pid": 3, "app": "echo", "owner": "ann", "state": "done", "exit_code": 2, "tokens_in": 7, "tokens_out": 5,
    "first_token_s": None, "seconds": 1.5, "pages": 1, "faults": 0, "error": "bad\x1b[31m",
}  # fmt: skip


def drawn(what):
    file = io.StringIO()
    Console(file=file, width=120).print(what)
    return file.getvalue()


def test_what_is_said_does_not_steer_the_terminal():
    assert clean("a\x1b[31mb\x07\x9bc\td\ne\r") == "a[31mbc\td\ne"


@pytest.mark.parametrize("text", ["see [bold] there", "[not a tag]", "50% [/off", "a [/] b"])
def test_words_in_brackets_are_not_lost(text):
    assert marked(text, plain=True).plain == text


def test_markup_counts_where_it_closes():
    assert marked("[bold]x[/bold] y", plain=False).plain == "x y"
    assert marked("see [bold] there", plain=False).plain == "see [bold] there"
    assert marked("x [/nothing] y", plain=False).plain == "x [/nothing] y"


@pytest.mark.parametrize(
    ("value", "words"), [(None, "-"), (0.256, "0.26s"), (99.5, "99.50s"), (125, "2m05s"), (7300, "2h01m")]
)
def test_durations(value, words):
    assert seconds(value) == words


def test_the_process_table():
    head, row = drawn(process_table([ROW])).splitlines()
    assert " ".join(head.split()) == "pid app owner state in out first time pages faults"
    assert " ".join(row.split()) == "3 echo ann exit 2 7 5 - 1.50s 1 0 bad[31m"


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
    (tmp_path / "in").write_text("piped")
    with (tmp_path / "in").open() as file, open(os.devnull) as device:
        monkeypatch.setattr(sys, "stdin", file)
        assert piped_in() == "piped"
        monkeypatch.setattr(sys, "stdin", device)
        assert piped_in() == ""
    (tmp_path / "in").write_bytes(b"\xff")
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(BadInput, match="UTF-8"):
            piped_in()
