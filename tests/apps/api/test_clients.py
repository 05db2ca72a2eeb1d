"""Clients that go away, clients that do nothing, and very many of them."""

import asyncio
import json
import socket
from contextlib import suppress

import httpx
import pytest
from llmos.apps.system.api import server as server_module
from llmos.kernel.errors import Unavailable


def words(prompt: str) -> str:
    return "word " * 400


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_stops_its_process_within_a_step(serve, stream):
    served = await serve(words, delay=0.03)
    with suppress(httpx.ReadTimeout):
        body = {"messages": [{"role": "user", "content": "x"}], "stream": stream}
        async with (
            httpx.AsyncClient(base_url=served.url, timeout=5 if stream else 0.3) as client,
            client.stream("POST", "/v1/chat/completions", json=body) as answer,
        ):
            await asyncio.sleep(0.3)
            await answer.aclose()
    (process,) = served.processes()
    seen = len(served.bench.engine.steps)
    await asyncio.wait_for(process.ended.wait(), 5)
    await asyncio.sleep(0.2)
    assert len(served.bench.engine.steps) - seen <= 2  # the one under way, and one that had been decided
    assert process.error is not None
    assert "went away" in process.error.message
    assert served.bench.machine.streams_in_use() == 0
    assert served.bench.machine.scheduler.idle()


async def test_gone_before_the_answer(serve):
    served = await serve(words, delay=0.03)
    host, port = served.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    while not served.processes():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    writer.close()
    (process,) = served.processes()
    seen = len(served.bench.engine.steps)
    await asyncio.wait_for(process.ended.wait(), 5)
    assert len(served.bench.engine.steps) - seen <= 3


async def test_several_choices_stop_together(serve):
    served = await serve(words, delay=0.02)
    async with httpx.AsyncClient(base_url=served.url) as client:
        body = {"messages": [{"role": "user", "content": "x"}], "stream": True, "n": 3}
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            await anext(answer.aiter_bytes())
    assert len(served.processes()) == 3
    for process in served.processes():
        await asyncio.wait_for(process.ended.wait(), 5)


async def test_choices_fail_together(serve):
    served = await serve(words, delay=0.02)
    sampler, made = served.bench.engine.sampler, []

    def second_fails(sampling, constraint=None):
        made.append(sampling)
        if len(made) == 2:
            raise Unavailable("no more samplers")
        return sampler(sampling, constraint)

    served.bench.engine.sampler = second_fails
    answer = await served.chat("x", n=3)
    assert answer.status_code == 503
    for process in served.processes():
        await asyncio.wait_for(process.ended.wait(), 5)


async def test_hundreds_of_idle_connections(served):
    host, port = served.url.removeprefix("http://").split(":")
    idle = [await asyncio.open_connection(host, int(port)) for _ in range(300)]
    for _, writer in idle[::2]:
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 10\r\n")  # and nothing more
    answers = await asyncio.gather(*(served.text("x") for _ in range(8)))
    assert answers == ["x"] * 8
    for _, writer in idle:
        writer.close()


async def test_a_connection_without_a_request_is_closed(serve, monkeypatch):
    monkeypatch.setattr(server_module, "SILENT", 0.2)
    served = await serve()
    host, port = served.url.removeprefix("http://").split(":")
    reader, _ = await asyncio.open_connection(host, int(port))
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_more_connections_than_there_is_room_for_are_told(serve, monkeypatch):
    monkeypatch.setattr(server_module, "CONNECTIONS", 20)
    served = await serve()
    host, port = served.url.removeprefix("http://").split(":")
    held = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
    await asyncio.sleep(0.1)
    reader, _ = await asyncio.open_connection(host, int(port))
    said = await asyncio.wait_for(reader.read(), 5)
    assert said.startswith(b"HTTP/1.1 503 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_many"
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.1)
    assert await served.text("x") == "x"


async def test_a_body_that_does_not_come(serve, monkeypatch):
    from llmos.apps.system.api import body

    monkeypatch.setattr(body, "PATIENCE", 0.2)
    served = await serve()
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_answers_under_way_get_a_moment_when_the_server_ends(boot_with):
    from llmos.apps.system.api.place import Place

    bench = await boot_with(lambda prompt: "twelve bytes", delay=0.02)
    async with httpx.AsyncClient() as client:
        async with server_module.serving(bench.running, Place(port=0)) as url:
            body = {"messages": [{"role": "user", "content": "x"}]}
            answer = asyncio.ensure_future(client.post(f"{url}/v1/chat/completions", json=body))
            await asyncio.sleep(0.1)
        said = await answer
    assert said.json()["choices"][0]["message"]["content"] == "twelve bytes"


def test_a_port_that_is_taken_says_what_to_do():
    from llmos.apps.system.api.place import Place
    from llmos.kernel.errors import BadInput

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match="--port 0"):
            server_module.listener(Place(port=port))
    with pytest.raises(BadInput, match="--host"):
        server_module.listener(Place(host="192.0.2.1", port=0))
    assert not Place(host="0.0.0.0").loopback
    assert Place(host="::1").loopback
