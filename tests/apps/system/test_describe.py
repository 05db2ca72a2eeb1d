"""What an app from outside says of itself, asked in a child of its own."""

import pytest
from llmos.apps.system.describe import description_of, shown
from llmos.apps.system.manifest import Manifest
from llmos.apps.system.registry import AppInfo
from llmos.kernel.errors import AppFailed

pytestmark = pytest.mark.programs

HEAD = """
from pydantic import BaseModel, Field
from llmos.syscalls.api import App

"""
APP = """
class Plugin(App):
    class Args(BaseModel):
        text: str = Field("x", description="see [red] and \\x1b[2K\\nllmos: done")

    async def main(self, sys, args):
        return None

    def show(self, result):
        print("on the way")
        return f"[b]{result}[/b]"
"""


@pytest.fixture
def plugin(tmp_path):
    """An app of a folder whose ``app`` module holds this text."""

    def make(text=APP):
        folder = tmp_path / "apps" / "plug"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "app.py").write_text(HEAD + text)
        manifest = Manifest(name="plug", version="1", summary="plugs")
        return AppInfo("plug", manifest, folder, "plug", "folder", (folder.parent,))

    return make


def test_what_it_takes_and_shows(plugin):
    info = plugin()
    [text] = description_of(info).takes
    assert (text.name, text.default, text.help) == ("text", "x", "see [red] and [2K llmos: done")
    assert shown(info, "€") == "[b]€[/b]"


def test_what_it_prints_is_not_taken_for_its_answer(plugin):
    loud = 'import os\nprint(\'{"described": 1}\', flush=True)\nos.system("echo hello")\n'
    assert [one.name for one in description_of(plugin(loud + APP)).takes] == ["text"]


def test_the_folder_we_are_in_is_not_searched(plugin, tmp_path, monkeypatch):
    info = plugin("import os, random, socket\nassert os.getcwd() == '/'\n" + APP)
    for name in ("socket", "random", "pydantic", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert description_of(info).takes
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import os; os._exit(0)", "it left with exit code 0"),
        ("raise SystemExit('no \\x1b[31mluck')", "no .31mluck"),
        ("raise ValueError('no luck')", "no luck"),
        ("import sys, os\nos.write(3, b'nonsense')\n" + APP, "failed"),
    ],
)
def test_one_that_breaks_is_an_error_of_one_line(plugin, text, says):
    info = plugin(text)
    with pytest.raises(AppFailed, match=says) as caught:
        description_of(info)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_description_that_makes_no_sense(plugin, monkeypatch):
    answer = {"summary": "x", "takes": [{"name": "--json", "kind": "text"}]}
    monkeypatch.setattr("llmos.apps.system.describe._ask", lambda *_: answer)
    with pytest.raises(AppFailed, match=r"describes itself wrongly: takes\.0\.name"):
        description_of(plugin())
