import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
from llmos.apps.system.arguments import parse
from llmos.apps.system.describe import describe
from llmos.apps.system.handin import Basket
from llmos.kernel.errors import BadInput, NotFound
from llmos.syscalls.api import App, HandedIn, Positional
from pydantic import BaseModel, Field


class Support(App):
    """Answer questions."""

    class Args(BaseModel):
        question: Annotated[str, Positional] = Field(description="what to answer")
        files: Annotated[list[HandedIn], Positional] = Field([], description="texts")
        kb: HandedIn | None = Field(None, description="folder of articles")
        k: int = Field(3, ge=1, le=50)
        max_words: int | None = Field(None, gt=0, json_schema_extra={"short": "w"})
        style: Literal["plain", "warm"] = "plain"
        tags: list[str] = []
        fast: bool = False
        safe: bool = True
        weights: dict[str, float] = {}

    async def main(self, sys, args):
        return None


TAKES = describe(Support())


def given(*words, folder=Path()):
    return parse(TAKES, words, program="llmos app run support", folder=folder)


@pytest.fixture
def folder(tmp_path):
    for name in ("docs/a.md", "docs/deep/b.md", "docs/.git/config", "x/a.txt", "y/a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_description_says_it_all():
    by_name = {one.name: one for one in TAKES.takes}
    assert TAKES.summary == "Answer questions."
    assert by_name["question"].positional
    assert by_name["question"].required
    assert (by_name["files"].many, by_name["files"].handed) == (True, True)
    assert by_name["kb"].handed
    assert (by_name["k"].least, by_name["k"].most, by_name["k"].default) == (1, 50, 3)
    assert (by_name["max_words"].least, by_name["max_words"].short) == (1, "w")
    assert by_name["style"].choices == ["plain", "warm"]
    assert (by_name["fast"].kind, by_name["weights"].kind) == ("flag", "json")


def test_words_become_arguments():
    line = ["How?", "-k", "5", "-w", "60", "--style", "warm", "--tags", "a", "--tags", "b", "--fast", "--no-safe"]
    args = given(*line, "--weights", '{"x": 1}', "--json", "--owner", "ann", "--priority", "batch")
    assert args.args == {
        "question": "How?", "k": 5, "max_words": 60, "style": "warm", "tags": ["a", "b"], "fast": True,
        "safe": False, "weights": {"x": 1},
    }  # fmt: skip
    assert (args.json, args.owner, args.priority) == (True, "ann", "batch")


def test_options_may_stand_between_words(folder):
    args = given("How?", "x/a.txt", "-k", "2", "y/a.txt", folder=folder)
    assert args.args["files"] == ["in/x/a.txt", "in/y/a.txt"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["q", "-k", "many"], "-k"),
        (["q", "-k", "99"], "-k"),
        (["q", "--max-words", "0"], "--max-words"),
        (["q", "--style", "odd"], "'odd' is not one of 'plain', 'warm'"),
        (["q", "--stile", "warm"], "--stile"),
        (["q", "--weights", "{"], "--weights: '{' is not JSON"),
        ([], "QUESTION"),
        (["q", "--kb"], "--kb"),
        (["q", "--owner", "../../x"], "--owner"),
        (["q", "--priority", "now"], "--priority"),
    ],
)
def test_errors_name_the_option_in_one_line(words, says):
    with pytest.raises(BadInput) as caught:
        given(*words)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_teaches_the_options(capsys):
    assert given("--help") is None
    told = capsys.readouterr().out
    for part in ("llmos app run support", "QUESTION", "what to answer", "--max-words", "-w", "1<=x<=50", "--owner"):
        assert part in told


def test_help_shows_foreign_words_as_they_are(capsys):
    class Odd(App):
        """See [/x] docs, and [red] ones."""

        class Args(BaseModel):
            text: str = Field("x[/]", description="not [bold] but [/b]")
            other: str = Field("a\x1b[2K", description="hm")

        async def main(self, sys, args):
            return None

    assert parse(describe(Odd()), ["--help"], program="odd", folder=Path()) is None
    told = capsys.readouterr().out
    for part in ("See [/x] docs, and [red] ones.", "not [bold] but [/b]", "x[/]"):
        assert part in told
    assert "\x1b[2K" not in told


def test_errors_are_in_the_words_of_the_command_line(folder):
    args = given("q", "x/a.txt", str(folder / "y"), "--kb", "docs", folder=folder)

    def said(message, hint=""):
        fault = args.in_its_words(NotFound(message, hint=hint, n=1))
        return fault.message, fault.hint, type(fault)

    assert said("in/x/a.txt: not UTF-8") == ("x/a.txt: not UTF-8", "", NotFound)
    assert said("no file in/docs/a.md", "see in/y/a.txt") == ("no file docs/a.md", "see y/a.txt", NotFound)
    assert said("no file in/docs") == ("docs is a folder", "name a file", BadInput)
    assert said("no file in/y") == ("y is a folder", "name a file", BadInput)
    assert said("in/other and main/x/a.txt") == ("in/other and main/x/a.txt", "", NotFound)
    assert args.in_its_words(NotFound("x", n=1)).details == {"n": 1}


@pytest.mark.parametrize("word", ["~nosuch-user/x", "n" * 300, "a/" + "n" * 300])
def test_names_that_no_file_can_have(folder, word):
    with pytest.raises(BadInput, match=r"no file or folder|no such home folder"):
        given("q", word, folder=folder)


def test_names_that_are_no_text(folder):
    bytes_of = os.fsdecode(b"b\xff\xfe.txt")
    (folder / "docs" / bytes_of).write_text("words")
    (folder / "docs" / os.fsdecode(b"b\xff\xfd.txt")).write_text("more")
    args = given("q", f"docs/{bytes_of}", "--kb", "docs", folder=folder)
    assert args.args["files"] == ["in/docs/b\\xff\\xfe.txt"]
    assert set(args.handed) >= {"in/docs/b\\xff\\xfe.txt", "in/docs/b\\xff\\xfd.txt"}
    assert args.handed["in/docs/b\\xff\\xfe.txt"].read_text() == "words"


def test_words_that_are_no_text():
    with pytest.raises(BadInput, match=r"QUESTION: .* is not UTF-8 text"):
        given(os.fsdecode(b"caf\xe9?"))


def test_a_folder_is_handed_in_without_its_hidden_files(folder):
    found = given("q", "--kb", "docs", folder=folder)
    assert found.args["kb"] == "in/docs"
    assert found.handed == {
        "in/docs/a.md": folder / "docs/a.md",
        "in/docs/deep/b.md": folder / "docs/deep/b.md",
    }


def test_files_of_one_name_do_not_meet(folder):
    basket = Basket(folder / "docs")
    assert basket.take("FILES", str(folder / "x/a.txt")) == "in/a.txt"
    assert basket.take("FILES", str(folder / "y/a.txt")) == "in/2/a.txt"
    assert basket.take("FILES", str(folder / "x/a.txt")) == "in/a.txt"
    assert basket.take("FILES", "../x/a.txt") == "in/a.txt"


def test_missing_empty_and_strange_files(folder, tmp_path):
    with pytest.raises(NotFound, match="--kb: no file or folder 'nowhere'"):
        given("q", "--kb", "nowhere", folder=folder)
    (folder / "void").mkdir()
    with pytest.raises(BadInput, match="holds no files"):
        given("q", "--kb", "void", folder=folder)
    with pytest.raises(BadInput, match="no regular file"):
        given("q", "/dev/null", folder=folder)


def test_links_do_not_lead_out(folder):
    (folder / "docs" / "link.md").symlink_to("/etc/passwd")
    assert "in/docs/link.md" not in given("q", "--kb", "docs", folder=folder).handed


def test_each_element_gets_its_own(folder):
    whole = given("q", "x/a.txt", "y/a.txt", "--kb", "docs", folder=folder)
    one, two = whole.split("files")
    assert one.args["files"] == ["in/x/a.txt"]
    assert "in/x/a.txt" in one.handed
    assert "in/y/a.txt" not in one.handed
    assert "in/docs/a.md" in two.handed
    assert whole.split(None) == [whole]


def test_names_that_are_llmos_own_are_refused():
    class Odd(App):
        class Args(BaseModel):
            owner: str

        async def main(self, sys, args):
            return None

    with pytest.raises(BadInput, match="'owner'"):
        parse(describe(Odd()), [], program="odd", folder=Path())
