"""Apps in processes of their own: a plugin that crashes, hangs or exits takes nothing else with it."""

import asyncio
import os
import textwrap

import pytest
from llmos.kernel.errors import AppFailed, BadInput, Denied, LimitExceeded, NotFound
from llmos.kernel.limits import Limits
from llmos.kernel.process import Priority, Signal, State
from llmos.syscalls import remote

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
