"""What HTTP costs: time of the event loop's thread per engine step, with streams over HTTP and through the gate alone.

    python benchmarks/serving.py [--streams 64] [--tokens 200] [--idle 0]

The engine is scripted and sleeps for each step as a real one computes, so that all that is measured is ours. The
client is a program of its own. Idle connections, if asked for, are open meanwhile and say nothing.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from llmos.apps.system.api.conversation import Conversation
from llmos.apps.system.api.place import Place
from llmos.apps.system.api.server import serving
from llmos.apps.system.boot import Running, boot
from llmos.apps.system.home import Home
from llmos.models.scripted import ScriptedEngine

CLIENT = """
import asyncio, json, sys
host, port, streams, tokens, idle = sys.argv[1], *map(int, sys.argv[2:])
async def one(i):
    reader, writer = await asyncio.open_connection(host, port)
    body = json.dumps({"messages": [{"role": "user", "content": f"client {i}"}], "stream": True, "max_tokens": tokens})
    head = f"POST /v1/chat/completions HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
    writer.write((head + body).encode())
    read = b""
    while b"[DONE]" not in read:
        read = read[-64:] + await reader.read(65536)
    writer.close()
async def main():
    held = [await asyncio.open_connection(host, port) for _ in range(idle)]
    await asyncio.gather(*(one(i) for i in range(streams)))
asyncio.run(main())
"""


async def over_http(running: Running, options: argparse.Namespace) -> None:
    """All streams at a time, read by another program."""
    async with serving(running, Place(port=0)) as url:
        host, port = url.removeprefix("http://").split(":")
        words = [host, port, str(options.streams), str(options.tokens), str(options.idle)]
        client = await asyncio.create_subprocess_exec(sys.executable, "-c", CLIENT, *words)
        assert await client.wait() == 0


async def through_the_gate(running: Running, options: argparse.Namespace) -> None:
    """The same turns without HTTP."""

    async def one(i: int) -> None:
        conversation = Conversation.begin(running, {})
        prompt = [{"role": "user", "text": f"client {i}"}]
        await conversation.turn(
            lambda sys: sys.generate(messages=prompt, use_context=False, max_tokens=options.tokens, on_text=len)
        )
        conversation.close()
        await conversation.process.ended.wait()

    await asyncio.gather(*(one(i) for i in range(options.streams)))


async def measured(options: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of the loop's thread per step, each way."""
    found: dict[str, float] = {"streams": options.streams, "tokens": options.tokens, "idle": options.idle}
    for name, way in (("gate_ms", through_the_gate), ("http_ms", over_http)):
        with tempfile.TemporaryDirectory() as folder:
            engine = ScriptedEngine(lambda _: "x" * 10_000, streams=options.streams, delay=options.step / 1000)
            async with boot(Home(Path(folder)), engine=engine) as running:
                before = time.thread_time()
                await way(running, options)
                found[name] = 1000 * (time.thread_time() - before) / len(engine.steps)
    found["http_adds_ms"] = found["http_ms"] - found["gate_ms"]
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--idle", type=int, default=0, help="connections that say nothing")
    parser.add_argument("--step", type=float, default=30.0, help="milliseconds that the engine sleeps for a step")
    print(json.dumps(asyncio.run(measured(parser.parse_args()))))


if __name__ == "__main__":
    main()
