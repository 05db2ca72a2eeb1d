"""A server on loopback in front of a machine with the scripted engine, and a client for it."""

import json
from contextlib import AsyncExitStack

import httpx
import pytest
from llmos.apps.system.api.place import Place
from llmos.apps.system.api.server import serving
from llmos.models.scripted import echo


class Served:
    """The bench, and what a client does to its server."""

    def __init__(self, bench, url, client):
        self.bench, self.url, self.client = bench, url, client

    def processes(self):
        return [p for p in self.bench.machine.table if p.app == "api"]

    async def chat(self, *messages, headers=None, **more):
        """POST a chat; texts stand for user and assistant in turn."""
        roles = ("user", "assistant")
        said = [m if isinstance(m, dict) else {"role": roles[i % 2], "content": m} for i, m in enumerate(messages)]
        body = {"messages": said, "temperature": 0, **more}
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)

    @staticmethod
    def events(text: str) -> list:
        """What a stream told, without its end."""
        found = [line.removeprefix("data: ") for line in text.splitlines() if line]
        assert found[-1] == "[DONE]"
        return [json.loads(one) for one in found[:-1]]

    async def text(self, *messages, **more):
        answer = await self.chat(*messages, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]["message"]["content"]


@pytest.fixture
async def serve(boot_with):
    """``await serve(script, streams=…, place={…})``."""
    async with AsyncExitStack() as stack:

        async def make(script=echo, *, place=None, **options) -> Served:
            bench = await boot_with(script, **options)
            url = await stack.enter_async_context(serving(bench.running, Place(port=0, **(place or {}))))
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))
            return Served(bench, url, client)

        yield make


@pytest.fixture
async def served(serve) -> Served:
    return await serve()
