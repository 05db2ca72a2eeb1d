import asyncio
import json
import os
import socket

import pytest
from llmos.apps.system.client import SOCKET, NotRunning, ask
from llmos.apps.system.control import serve
from llmos.apps.system.home import Home
from llmos.apps.system.look import as_it_stands, calls, pages_of, processes, send_signal
from llmos.apps.system.output import AppOutput
from llmos.kernel.errors import BadInput, NotFound, Unavailable


@pytest.fixture
async def served(running):
    async with serve(running):
        yield running


def launch(running, name="slow", **args):
    return running.launcher.launch(name, args, owner="ann", output=AppOutput())


async def test_another_terminal_sees_and_ends_processes(served):
    process = launch(served)
    [row] = await asyncio.to_thread(processes, served.home)
    assert (row["pid"], row["app"], row["owner"]) == (process.pid, "slow", "ann")
    await asyncio.to_thread(send_signal, served.home, process.pid, "kill")
    assert not process.alive
    assert await asyncio.to_thread(processes, served.home) == []
    [past] = await asyncio.to_thread(lambda: processes(served.home, everything=True))
    assert (past["pid"], past["exit_code"]) == (process.pid, 137)


async def test_the_socket_is_the_users_alone(served):
    assert (served.home.run / SOCKET).stat().st_mode & 0o777 == 0o600
    assert await asyncio.to_thread(ask, served.home, "ping") == {
        "pid": os.getpid(), "model": "scripted", "streams": 4, "window": 4096, "way": "exact",
    }  # fmt: skip


async def test_pages_of_a_living_process(served):
    process = launch(served)
    served.machine.table.get(process.pid).context.add("user", "remember this")
    view = await asyncio.to_thread(pages_of, served.home, process.pid)
    assert [page["text"] for page in view["pages"]] == ["remember this"]
    assert view["window"] == served.machine.cores.local.engine.info.window
    await asyncio.to_thread(send_signal, served.home, process.pid, "KILL")
    with pytest.raises(BadInput, match="has ended"):
        await asyncio.to_thread(pages_of, served.home, process.pid)


async def test_the_journal_is_read_from_the_side(served):
    process = launch(served, "echo_", text="hi")
    await process.ended.wait()
    record, entries = await asyncio.to_thread(calls, served.home, process.pid)
    assert record["args"] == {"text": "hi"}
    assert [entry["call"] for entry in entries] == ["generate"]


async def test_an_answer_under_way_is_given_though_llmos_ends(running):
    """As with a KILL that ends the only process, and llmos with it."""
    process = launch(running)
    async with serve(running):
        asking = asyncio.ensure_future(asyncio.to_thread(send_signal, running.home, process.pid, "KILL"))
        await process.ended.wait()
    await asking


async def test_a_line_that_asks_nothing_holds_nobody_up(running):
    async with serve(running):
        reader, writer = await asyncio.open_unix_connection(str(running.home.run / SOCKET))
        writer.write(b'{"call": "ping"}\n')
        await reader.readline()
    assert await reader.read() == b""
    writer.close()


async def test_the_head_of_a_living_process_is_of_now(served):
    process = launch(served)
    while not process.calls:  # then its record is on disk
        await asyncio.sleep(0.001)
    process.usage.tokens_out = 77
    record, _ = await asyncio.to_thread(calls, served.home, process.pid)
    now = await asyncio.to_thread(as_it_stands, served.home, record)
    assert (record["tokens_out"], now["tokens_out"], now["args"]) == (0, 77, {})
    await asyncio.to_thread(send_signal, served.home, process.pid, "KILL")
    record, _ = await asyncio.to_thread(calls, served.home, process.pid)
    assert await asyncio.to_thread(as_it_stands, served.home, record) is record


async def test_the_head_of_a_process_that_nobody_runs(home):
    record = {"pid": 1, "finished": None}
    assert as_it_stands(home, record) is record


def test_a_pid_that_no_database_holds(home, running):
    with pytest.raises(NotFound, match="no process 99999999999999999999"):
        calls(home, 99999999999999999999)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"nonsense\n", "one JSON object"),
        (b"[1]\n", "one JSON object"),
        (b'{"call": "fly"}\n', "no such request: 'fly'"),
        (b'{"call": "kill", "pid": 1}\n', "no such request"),
        (b'{"call": "kill", "pid": 1, "signal": "STUN"}\n', "no signal 'STUN'"),
        (b'{"call": "kill", "pid": 77, "signal": "TERM"}\n', "no process 77"),
    ],
)
async def test_what_makes_no_sense_is_answered(served, line, says):
    reader, writer = await asyncio.open_unix_connection(str(served.home.run / SOCKET))
    writer.write(line)
    assert says in json.loads(await reader.readline())["error"]["message"]
    writer.close()


async def test_a_socket_left_behind_is_nobodys(running):
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(running.home.run / SOCKET))
    with pytest.raises(NotRunning):
        ask(running.home, "ping")
    async with serve(running):
        assert await asyncio.to_thread(ask, running.home, "ping")
    assert not (running.home.run / SOCKET).exists()


async def test_a_long_path_to_the_home(running, tmp_path):
    far = Home(tmp_path.joinpath(*["deep" * 10] * 6)).create()
    there = type(running)(far, running.machine, running.launcher, running.gate, running.tools)
    async with serve(there):
        assert await asyncio.to_thread(ask, far, "ps") == []


def test_without_a_llmos(home):
    with pytest.raises(NotRunning, match="no llmos runs"):
        ask(home, "ping")
    assert processes(home) == []
    assert processes(home, everything=True) == []
    with pytest.raises(NotFound, match="no process 5"):
        send_signal(home, 5, "TERM")


def test_one_that_hangs_up(home):
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(home.run / SOCKET))
        deaf.listen()
        import threading

        def hang_up():
            line, _ = deaf.accept()
            line.recv(100)
            line.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(Unavailable, match="hung up"):
            ask(home, "ping")
        thread.join()
