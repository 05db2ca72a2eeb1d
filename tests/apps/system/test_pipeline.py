import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmos.apps.system.pipeline import Word, expand, parse
from llmos.kernel.errors import BadInput


def words(line):
    return [[word.text for word in command.words] for command in parse(line).commands]


def test_a_pipeline_in_the_background():
    line = 'cat report.txt | summarize --words 60 | chat "make this a friendly mail" &'
    found = parse(line)
    assert found.background
    assert found.text == line[:-2]
    assert words(line) == [
        ["cat", "report.txt"], ["summarize", "--words", "60"], ["chat", "make this a friendly mail"],
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["", "   ", "# only a comment"])
def test_nothing(line):
    assert parse(line) is None


def test_files_are_turned_to():
    command = parse("chat hello <in.txt >> 'out file'").commands[0]
    assert (command.source.text, command.target.text, command.append) == ("in.txt", "out file", True)
    assert command.name == "chat"
    assert not parse("echo x > y").commands[0].append


def test_operators_need_no_blanks():
    assert words("cat a|chat b&") == [["cat", "a"], ["chat", "b"]]


def test_quoted_operators_are_words():
    assert words("echo '|' \"&\" \\> a#b") == [["echo", "|", "&", ">", "a#b"]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("cat 'a", "quote ' is not closed"),
        ('say "x', 'quote " is not closed'),
        ("a |", "before or after |"),
        ("| a", "before or after |"),
        ("a | | b", "before or after |"),
        ("&", "before &"),
        ("a & b", "at the end"),
        ("a && b", "&& means nothing"),
        ("a ; b", "; means nothing"),
        ("a >", "needs a file"),
        ("a > | b", "needs a file"),
        ("a > b > c", "twice"),
        ("a > b >> c", "twice"),
        ("> b", "command is missing"),
        ("a \\", "after \\"),
    ],
)
def test_errors_are_one_line(line, says):
    with pytest.raises(BadInput) as caught:
        parse(line)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_quoting_agrees_with_shlex(texts):
    line = shlex.join(texts)
    assert words(line) == [shlex.split(line)]


@given(st.text())
def test_any_line_is_read_or_refused(line):
    try:
        found = parse(line)
    except BadInput:
        return
    assert found is None or all(command.words for command in found.commands)


def test_patterns_stand_for_files(tmp_path):
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).touch()
    assert expand(Word("*.txt"), tmp_path, 0) == ["a.txt", "b.txt"]
    assert expand(Word("*.txt", bare=False), tmp_path, 0) == ["*.txt"]
    assert expand(Word("*.csv"), tmp_path, 0) == ["*.csv"]
    assert expand(Word("$?"), tmp_path, 130) == ["130"]
    assert expand(Word("what?"), tmp_path, 0) == ["what?"]


def test_the_tilde_is_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/somewhere")
    assert expand(Word("~/x"), tmp_path, 0) == ["/somewhere/x"]
    assert expand(Word("a~"), tmp_path, 0) == ["a~"]
