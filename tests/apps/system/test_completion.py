import pytest
from llmos.apps.system.completion import ShellCompleter
from llmos.apps.system.pipeline import expand, parse
from llmos.apps.system.shell import Shell
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document


@pytest.fixture
def completions(running, tmp_path, monkeypatch):
    (tmp_path / "report.txt").touch()
    (tmp_path / "rooms").mkdir()
    monkeypatch.chdir(tmp_path)
    completer = ShellCompleter(Shell(running).jobs)

    return lambda text: list(completer.get_completions(Document(text), CompleteEvent()))


@pytest.fixture
def offered(completions):
    return lambda text: [found.text for found in completions(text)]


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


async def test_what_is_put_in_means_what_was_offered(offered, tmp_path):
    for name in ("my report.txt", "it's.txt", "a&b.txt", "cost $?.txt", "-x.txt", "x[1].txt", "#1.txt", 'say "x".txt'):
        (tmp_path / "rooms" / name).touch()
        for typed in (f"cat rooms/{name[0]}", f"cat 'rooms/{name[0]}", f'cat "rooms/{name[0]}'):
            if "'" in name and typed[4] == "'":
                continue
            found = [typed + rest for rest in offered(typed.replace("'#", "#"))]
            assert [["cat", f"rooms/{name}"]] in [
                [[w for word in c.words for w in expand(word, tmp_path, 0)] for c in parse(line).commands]
                for line in found
            ]


async def test_words_that_begin_otherwise_are_replaced(completions, tmp_path):
    (tmp_path / "it's").touch()
    [found] = completions("cat 'it")
    assert (found.text, found.start_position) == (r"it\'s", -3)
    (tmp_path / "-x").touch()
    [found] = completions("cat -")
    assert (found.text, found.start_position) == ("./-x", -1)


async def test_a_home_folder_is_spelt_out_where_it_is_quoted(offered, completions, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "rooms"))
    (tmp_path / "rooms" / "my file").touch()
    (tmp_path / "rooms" / "plain").touch()
    [found] = completions("cat ~/my")
    assert found.text == f"{tmp_path}/rooms/my\\ file"
    assert offered("cat ~/pl") == ["ain"]


async def test_files_after_turning_to_one(offered):
    assert offered("echo_ x >re") == ["port.txt"]
    assert offered("echo_ x >>re") == ["port.txt"]
    assert offered("echo_ x >> re") == ["port.txt"]
    assert offered("help >re") == ["port.txt"]
    assert offered("# re") == []


async def test_a_bar_in_quotes_begins_no_command(offered):
    assert offered("echo 'a | b' re") == ["port.txt"]


async def test_options_by_their_real_names(offered):
    assert offered("short -") == ["--help", "--json", "--no-pretty", "--pretty", "--words", "-k", "-w"]


async def test_jobs_and_signals_for_kill(running, tmp_path):
    shell = Shell(running)
    await shell.line("slow &")
    completer = ShellCompleter(shell.jobs)

    def offered(text):
        return [found.text for found in completer.get_completions(Document(text), CompleteEvent())]

    assert offered("kill %") == ["%1 "]
    assert offered("fg %") == ["%1 "]
    assert "-KILL" in offered("kill -")
    for job in shell.jobs.listed():
        await shell.jobs.end(job)
