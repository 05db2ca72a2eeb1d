import pytest
from llmos.apps.system.completion import ShellCompleter
from llmos.apps.system.shell import Shell
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document


@pytest.fixture
def offered(running, tmp_path, monkeypatch):
    (tmp_path / "report.txt").touch()
    (tmp_path / "rooms").mkdir()
    monkeypatch.chdir(tmp_path)
    completer = ShellCompleter(Shell(running).jobs)

    def complete(text):
        return [found.text for found in completer.get_completions(Document(text), CompleteEvent())]

    return complete


async def test_commands_and_apps(offered):
    assert offered("cou") == ["count "]
    assert offered("ec") == ["echo", "echo_"]
    assert offered("cat x | sl") == ["slow "]
    assert "help" in offered("")


async def test_topics(offered):
    assert offered("help pi") == ["pipes "]


async def test_options_of_an_app(offered):
    assert offered("echo_ --u") == ["--upper "]
    assert offered("echo_ --") == ["--help", "--json", "--upper"]


async def test_files_and_folders(offered):
    assert offered("cat re") == ["port.txt"]
    assert offered("cat <re") == ["port.txt"]
    assert offered("cd r") == ["ooms"]


async def test_pids(offered, running):
    from llmos.apps.system.output import AppOutput

    process = running.launcher.launch("echo_", {"text": "x"}, owner="ann", output=AppOutput())
    assert offered("kill ") == [f"{process.pid} "]
    await process.ended.wait()
    assert offered("kill ") == []
    assert offered("log ") == [f"{process.pid} "]
