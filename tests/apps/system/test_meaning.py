import pytest
from llmos.apps.system.job import TALK
from llmos.apps.system.meaning import Reader
from llmos.apps.system.shell import Shell
from llmos.kernel.errors import BadInput, NotFound


@pytest.fixture
def reader(running, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    return Reader(Shell(running).jobs)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("ls", ["ls"]),
        ("cat a.txt|count", ["cat", "count"]),
        ("llmos ps -a", ["ps"]),
        ("llmos app run count a.txt", ["count"]),
        ("quit", ["quit"]),
        ("llmos is a fine system", [TALK]),
        ("what is a cat?", [TALK]),
        ("will it rain?", [TALK]),
        ("go on", [TALK]),
        ("find a good name for a cat", [TALK]),
        ("make this a friendly mail", [TALK]),
        ("which is the better one?", [TALK]),
        ("story about a dragon, please", [TALK]),
        ("model trains are fun", [TALK]),
        ("? grep is a word", [TALK]),
    ],
)
async def test_what_a_line_means(reader, line, names):
    assert [command.name for command in reader.read(line).commands] == names


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("hlep", "did you mean help?"),
        ("jbos", "did you mean jobs?"),
        ("hlep pipes and everything else", "did you mean help?"),
        ("jobss", "did you mean jobs?"),
        ("Exit", "did you mean exit?"),
        ("cuont a.txt", "did you mean count?"),
        ("grep x a.txt", "exec -- grep"),
        ("head -3 a.txt", "exec -- head"),
        ("sort a.txt", "exec -- sort"),
        ("find", "exec -- find"),
        ("rm a.txt", "changes no files"),
        ("doctor", "leave the shell and type llmos doctor"),
        ("llmos model", "leave the shell and type llmos model"),
        ("cat a.txt | cuont", "did you mean count?"),
        ("cat a.txt | grep x", "exec -- grep"),
        ("cat a.txt | nothing_like_it", "help lists"),
    ],
)
async def test_a_slip_of_the_pen_gets_a_hint(reader, line, hint):
    with pytest.raises(NotFound) as caught:
        reader.read(line)
    assert hint in caught.value.hint


async def test_the_shell_is_no_command_of_itself(reader):
    with pytest.raises(BadInput, match="already"):
        reader.read("llmos")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("echo one\necho two", ["echo one", "echo two"]),
        ("echo 'one\ntwo'\nls", ["echo 'one\ntwo'", "ls"]),
        ("what isn't there?\nls", ["what isn't there?", "ls"]),
        ("echo 'one\ntwo", ["echo 'one\ntwo"]),
        ("one", ["one"]),
    ],
)
async def test_lines_that_were_pasted_at_once(reader, text, lines):
    assert list(reader.lines(text)) == lines
