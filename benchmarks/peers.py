"""llmos and llama-server under the load of agents, taking turns: same file, same threads, same room.

    python benchmarks/peers.py --model FILE.gguf --llama-server PATH [--ways exact,fast] [--streams 16]
                               [--context 2048] [--runs 3] [--agents 16 …] [--json FILE]

Each run has a fresh server. --context is what one stream (slot) holds. --llmos names another llmos than this one.
"""

import argparse
import asyncio
import json
from pathlib import Path

from agents import add_load, lines, load_of
from llmos.apps.system.bench.agents import run
from llmos.apps.system.bench.compare import alternate, side_by_side
from llmos.apps.system.bench.peers import LlamaServer, Llmos, Room, Running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--llama-server", type=Path, help="the program llama-server")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=URL")
    parser.add_argument("--llmos", help="the program llmos; else this one")
    parser.add_argument("--ways", default="exact,fast", help="of llmos; empty for none")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--runs", type=int, default=3)
    add_load(parser)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    program = {"program": (given.llmos,)} if given.llmos else {}
    peers = [LlamaServer(given.llama_server)] if given.llama_server else []
    peers += [Running.given(text) for text in given.peer]
    peers += [Llmos(way, **program) for way in given.ways.split(",") if way]

    async def job(target):
        measured = await run(target, load_of(given))
        for error in measured.errors:
            print("  failed:", error, flush=True)
        return measured.figures()

    def on_run(name: str, done: int) -> None:
        print(f"run {done + 1} of {given.runs * len(peers)}: {name}", flush=True)

    room = Room(given.model, given.streams, given.context)
    found = asyncio.run(alternate([(peer, room) for peer in peers], job, given.runs, on_run))
    told = side_by_side(found, peers[0].name)
    for name, figures in told.items():
        print(f"\n{name}\n{lines(figures)}")
    if given.json:
        versions = {peer.name: peer.version() for peer in peers}
        given.json.write_text(json.dumps({"versions": versions, "medians": told, "runs": found}, indent=1))


if __name__ == "__main__":
    main()
