"""The load of agents on one server that runs already: any that speaks OpenAI's chat completions.

    python benchmarks/agents.py --url http://127.0.0.1:8080/v1 [--agents 16] [--turns 3] [--prefix 6] [--json FILE]

`llmos bench --only agents` starts the servers itself and sets them side by side; so does benchmarks/peers.py.
"""

import argparse
import asyncio
import json
import os
from pathlib import Path

from llmos.apps.system.bench.agents import Load, run
from llmos.apps.system.bench.client import Target


def add_load(parser: argparse.ArgumentParser) -> None:
    """The options that make a `Load`."""
    usual = Load()
    parser.add_argument("--agents", type=int, default=usual.agents)
    parser.add_argument("--turns", type=int, default=usual.turns)
    parser.add_argument("--tokens", type=int, default=usual.tokens, help="of each answer")
    parser.add_argument("--prefix", type=int, default=usual.prefix, help="how often the rules stand in the prompt")
    parser.add_argument("--pause", type=float, default=usual.pause, help="mean seconds away between turns")
    parser.add_argument("--interactive", type=int, default=usual.interactive, help="users that arrive meanwhile")
    parser.add_argument("--every", type=float, default=usual.every, help="seconds between their arrivals")
    parser.add_argument("--priority", action="store_true", help="they say that they are interactive")
    parser.add_argument("--seed", type=int, default=usual.seed)


def load_of(given: argparse.Namespace) -> Load:
    """The `Load` of such options."""
    return Load(**{name: getattr(given, name) for name in Load.__dataclass_fields__})


def lines(figures) -> str:
    """One figure a line."""
    return "\n".join(f"{name:<20} {'-' if value is None else f'{value:10.3f}'}" for name, value in figures.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="with /v1")
    parser.add_argument("--model", default="", help="the name to ask for")
    add_load(parser)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    target = Target(given.url, given.model, os.environ.get("OPENAI_API_KEY", ""))
    measured = asyncio.run(run(target, load_of(given)))
    print(lines(measured.figures()))
    for error in measured.errors:
        print(error)
    if given.json:
        given.json.write_text(json.dumps({**measured.figures(), "what_failed": measured.errors}, indent=1))


if __name__ == "__main__":
    main()
