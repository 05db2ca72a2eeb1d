"""Apps in processes of their own: a plugin that crashes, hangs or exits takes nothing else with it."""

import asyncio
import os
import textwrap

import pytest
from llmos.kernel.errors import AppFailed, BadInput, Denied, LimitExceeded, NotFound
from llmos.kernel.limits import Limits
from llmos.kernel.process import Priority, Signal, State
from llmos.syscalls import remote

pytestmark = pytest.mark.programs

HEAD = """
import asyncio, os, sys, time
from pydantic import BaseModel
from llmos.syscalls.api import App, BadInput, Sys

class Plugin(App):
    class Args(BaseModel):
        text: str = ""

    async def main(self, sys: Sys, args):
"""


@pytest.fixture
def plugin(bench, tmp_path, collected):
    """``plugin(body, **args)`` starts an app with this main as a process of its own."""

    def start(body: str, *, rights=("model:use", "files:write", "files:read"), limits=None, **args):
        folder = tmp_path / f"p{len(list(tmp_path.iterdir()))}" / "plug"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "app.py").write_text(HEAD + textwrap.indent(textwrap.dedent(body), " " * 8))
        return bench.machine.start(
            remote.body(bench.gate, "plug", [str(folder.parent)]), app="plug", owner="me",
            rights=frozenset(rights), limits=limits or Limits(), priority=Priority.NORMAL, output=collected(),
            args=args,
        )  # fmt: skip

    return start


async def end(process):
    await asyncio.wait_for(process.ended.wait(), 15)
    return process


async def test_calls_replies_pieces_and_the_result_cross_the_socket(plugin):
    process = await end(
        plugin(
            """
            pieces = []
            reply = await sys.generate(args.text, on_text=pieces.append)
            assert "".join(pieces) == reply.text and len(pieces) > 3
            await sys.write("a.txt", reply.text)
            await sys.print("said")
            return (await sys.read("a.txt")).upper()
            """,
            text="grüße",
        )
    )
    assert (process.error, process.result, process.output.text) == (None, "GRÜSSE", "said\n")


async def test_calls_of_one_app_run_beside_each_other(plugin):
    process = await end(
        plugin(
            """
            texts = await asyncio.gather(*(sys.generate(f"number {i}") for i in range(10)))
            return ",".join(t.text[-1] for t in texts)
            """
        )
    )
    assert process.result == "0,1,2,3,4,5,6,7,8,9"


async def test_errors_come_out_equal_on_the_other_side(plugin):
    process = await end(
        plugin(
            """
            from llmos.syscalls.api import Denied
            try:
                await sys.recall("x")
            except Denied as fault:
                assert fault.details["right"] == "memory:read" and fault.hint
            raise BadInput("not like this", hint="like that", place=3)
            """
        )
    )
    assert isinstance(process.error, BadInput)
    assert (process.error.message, process.error.hint, process.error.details) == (
        "not like this",
        "like that",
        {"place": 3},
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyError('lost')", "KeyError"),
        ("os._exit(7)", "exit code 7"),
        ("os.kill(os.getpid(), 11)", "signal 11"),
        ("print('last words', file=sys.__class__ and __import__('sys').stderr); os._exit(1)", "last words"),
        ("os.close(int(__import__('sys').argv[1])); time.sleep(30)", "hung up"),
    ],
)
async def test_whatever_an_app_does_to_itself_the_machine_goes_on(bench, plugin, body, words):
    process = await end(plugin(body))
    assert isinstance(process.error, AppFailed)
    assert words in process.error.message

    async def other(sys):
        return (await sys.generate("still here")).text

    assert await bench.run(other) == "still here"


async def test_a_hung_app_is_killed_and_so_is_what_it_started(bench, plugin):
    process = plugin("import subprocess; subprocess.Popen(['sleep', '777']); await sys.now(); time.sleep(600)")
    while not process.usage.calls:
        await asyncio.sleep(0.01)
    await asyncio.wait_for(bench.machine.signal(process.pid, Signal.KILL), 5)
    assert process.exit_code == 137
    assert not [p for p in os.listdir("/proc") if p.isdigit() and _file(p, "cmdline") == "sleep\0777\0"]


async def test_a_limit_of_seconds_ends_a_hung_app(plugin):
    process = await end(plugin("time.sleep(600)", limits=Limits(seconds=0.7)))
    assert isinstance(process.error, LimitExceeded)


async def test_stop_stops_the_program_itself(bench, plugin):
    process = plugin("await sys.now()\nfor i in range(10**9): pass")
    while not process.usage.calls:
        await asyncio.sleep(0.01)
    await bench.machine.signal(process.pid, Signal.STOP)
    assert process.state is State.STOPPED
    (child,) = [p for p in _children(os.getpid()) if "llmos.syscalls.child" in _file(p, "cmdline")]
    await asyncio.sleep(0.05)
    assert _file(child, "stat").rsplit(")", 1)[1].split()[0] == "T"
    await bench.machine.signal(process.pid, Signal.KILL)


def _children(pid):
    return [c for t in os.listdir(f"/proc/{pid}/task") for c in _file(f"{pid}/task/{t}", "children").split()]


def _file(pid, name):
    try:
        with open(f"/proc/{pid}/{name}") as file:
            return file.read()
    except OSError:
        return ""


async def test_an_app_that_speaks_nonsense_is_ended(plugin):
    process = await end(
        plugin(
            """
            import socket
            raw = socket.socket(fileno=os.dup(int(__import__('sys').argv[1])))
            raw.setblocking(True)
            raw.sendall((12).to_bytes(4, 'big') + b'not json ...')
            time.sleep(30)
            """
        )
    )
    assert isinstance(process.error, AppFailed)


async def test_an_unknown_call_and_a_wrong_field_are_errors_of_the_app(plugin):
    process = await end(
        plugin(
            """
            from llmos.syscalls import calls as c
            from llmos.syscalls.wire import send
            loop = asyncio.get_running_loop()
            reply = loop.create_future()
            sys._port._open[999] = (reply, None)
            send(sys._port._writer, {"id": 999, "call": "fly", "request": {}})
            try:
                await reply
            except BadInput as fault:
                return fault.message
            """
        )
    )
    assert "fly" in process.result


async def test_the_environment_of_the_user_stays_outside(plugin, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    process = await end(plugin("return os.environ.get('SECRET_TOKEN', 'nothing')"))
    assert process.result == "nothing"


async def test_a_package_without_an_app_says_so(bench, collected, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "app.py").write_text("x = 1\n")
    process = bench.machine.start(
        remote.body(bench.gate, "empty", [str(tmp_path)]), app="empty", owner="me", rights=frozenset(),
        limits=Limits(), priority=Priority.NORMAL, output=collected(),
    )  # fmt: skip
    await end(process)
    assert "0 apps" in process.error.message
    assert not isinstance(process.error, Denied | NotFound)


def _living(*words):
    """Pids of programs with just this command line."""
    wanted = "\0".join(words) + "\0"
    return [p for p in os.listdir("/proc") if p.isdigit() and _file(p, "cmdline") == wanted]


@pytest.mark.parametrize("end_of_it", ["return 'ok'", "os._exit(4)", "time.sleep(600)"])
async def test_nothing_that_an_app_started_outlives_it_not_even_in_a_session_of_its_own(bench, plugin, end_of_it):
    process = plugin(
        f"""
        import subprocess
        subprocess.Popen(["sleep", "7771"], start_new_session=True)
        subprocess.Popen(["sh", "-c", "setsid sleep 7772 & exit"], stderr=subprocess.DEVNULL).wait()
        await sys.now()
        {end_of_it}
        """
    )
    while not process.usage.calls:
        await asyncio.sleep(0.01)
    if "600" in end_of_it:
        await bench.machine.signal(process.pid, Signal.KILL)
    await end(process)
    assert _living("sleep", "7771") == _living("sleep", "7772") == []
    if "ok" in end_of_it:
        assert process.result == "ok"
    if "_exit" in end_of_it:
        assert "exit code 4" in process.error.message


async def test_modules_are_not_taken_from_the_folder_that_the_user_stands_in(plugin, tmp_path, monkeypatch):
    here = tmp_path / "documents"
    here.mkdir()
    (here / "random.py").write_text(f"open({str(here / 'seen')!r}, 'w')")
    monkeypatch.chdir(here)
    process = await end(plugin("import random; return str(random.random() < 1)"))
    assert process.result == "True"
    assert not (here / "seen").exists()


async def test_terminate_lets_an_app_tidy_up(bench, plugin):
    process = plugin(
        """
        try:
            await sys.sleep(60)
        finally:
            await sys.write("last.txt", "tidied")
        """
    )
    while not process.usage.calls:
        await asyncio.sleep(0.01)
    await bench.machine.signal(process.pid, Signal.TERM)
    await end(process)
    assert process.exit_code == 143
    assert process.files.read("last.txt") == "tidied"


async def test_an_app_that_ignores_terminate_is_killed(bench, plugin, monkeypatch):
    monkeypatch.setattr("llmos.kernel.signals.GRACE", 0.2)
    process = plugin(
        """
        while True:
            try:
                await sys.sleep(60)
            except asyncio.CancelledError:
                pass
        """
    )
    while not process.usage.calls:
        await asyncio.sleep(0.01)
    await bench.machine.signal(process.pid, Signal.TERM)
    assert (await end(process)).exit_code == 137


async def test_what_fails_in_the_app_s_own_on_text_fails_that_call(plugin):
    process = await end(
        plugin(
            """
            try:
                await sys.generate("hello", on_text=lambda piece: 1 / 0)
            except ZeroDivisionError:
                return (await sys.generate("again")).text
            """
        )
    )
    assert (process.error, process.result) == (None, "again")


async def test_a_call_with_what_is_no_plain_value_or_too_much_ends_in_an_error(plugin):
    process = await end(
        plugin(
            """
            found = []
            for message in (object(), "x" * (65 * 2**20)):
                try:
                    await sys.send(1, message)
                except Exception as fault:
                    found.append(type(fault).__name__)
            await sys.now()
            return " ".join(found)
            """,
            rights=["process:message"],
        )
    )
    assert process.result == "BadInput LimitExceeded"


async def test_a_reply_that_is_too_large_is_an_error_of_the_call(bench, plugin):
    bench.tools.add(_much, "much")
    process = await end(
        plugin(
            """
            try:
                await sys.tool("much")
            except Exception as fault:
                return f"{type(fault).__name__} {await sys.now() > 0}"
            """,
            rights=["tool:call"],
        )
    )
    assert process.result == "LimitExceeded True"


def _much() -> str:
    """Say too much."""
    return "x" * (65 * 2**20)


async def test_a_flood_of_calls_neither_escapes_the_limit_nor_stops_the_others(bench, plugin):
    process = plugin(
        """
        import socket
        wire = socket.socket(fileno=os.dup(int(__import__("sys").argv[1])))
        wire.setblocking(True)
        frame = b'{"id": %d, "call": "now", "request": {"nonsense": 1}}'
        for number in range(10**9, 10**9 + 10**7):
            one = frame % number
            wire.sendall(len(one).to_bytes(4, "big") + one)
        """,
        limits=Limits(calls=10),
    )
    while process.usage.calls < 10:
        await asyncio.sleep(0.01)

    async def other(sys):
        return (await sys.generate("still here")).text

    for _ in range(3):
        assert await bench.run(other) == "still here"
    assert process.alive
    assert process.account.used["calls"] == 10
    assert len(asyncio.all_tasks()) < 300
    await bench.machine.signal(process.pid, Signal.KILL)
