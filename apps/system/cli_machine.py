"""`llmos exec`, `doctor`, `demo`, `serve`: the sandbox, what this machine offers, the main job, and holding a home."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .api.place import IDLE, LARGEST, REQUESTS, Place
from .options import Way

_AS_JSON = typer.Option("--json", help="Print JSON and nothing else.")


def execute(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="A program and its arguments.", metavar="-- COMMAND...")],
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds.")] = 5.0,
    memory: Annotated[str, typer.Option(help="Bytes, or with K, M or G.")] = "256M",
    file: Annotated[list[Path] | None, typer.Option(help="A file to hand in, read-only; may be repeated.")] = None,
    keep: Annotated[
        Path | None, typer.Option("--out", help="Where to put the files it leaves.", metavar="FOLDER")
    ] = None,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> int:
    """Run a program in the sandbox; files named as arguments are handed in, read-only.

    Without network and without your files. The exit code is the program's own, 128 + n when signal n ended it,
    75 when it went over a limit, and 69 when this machine lacks a layer of the sandbox.
    """
    import asyncio

    from .execute import run_caged

    return asyncio.run(run_caged(command, file or [], timeout, memory, keep, as_json=as_json))


def doctor(
    context: typer.Context,
    salvage: Annotated[bool, typer.Option(help="First make a damaged database usable, with what is left.")] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> int:
    """Say what this machine offers, what is missing, and what to do about it."""
    from .display import err
    from .doctor import examine, report, save

    if salvage:
        for line in save(context.obj.home):
            err().print(line, markup=False, highlight=False)
    return report(examine(context.obj), as_json=as_json)


def demo(
    context: typer.Context,
    examples: Annotated[
        Path | None, typer.Option(help="The folder with shop, documents and catalog.", metavar="FOLDER")
    ] = None,
) -> int:
    """Run support, summarize and recommend at the same time on the examples."""
    import asyncio

    from .demo import run_demo

    return asyncio.run(run_demo(context.obj, examples))


def serve(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="A name of `llmos model list` or a GGUF file.")] = None,
    host: Annotated[str, typer.Option(help="The address to answer at; 0.0.0.0 is all of them.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    streams: Annotated[int | None, typer.Option(min=1, max=256, help="Sequences computed at a time.")] = None,
    window: Annotated[
        int | None, typer.Option("--context", min=256, help="Tokens that one request can have, answer included.")
    ] = None,
    way: Annotated[Way | None, typer.Option(help="exact: an answer never depends on what else runs.")] = None,
    idle: Annotated[float, typer.Option(min=0.01, help="Minutes until a conversation without turns ends.")] = IDLE,
    largest: Annotated[str, typer.Option("--max-body", help="Bytes of a request, or with K, M or G.")] = "8M",
    requests: Annotated[int, typer.Option("--max-requests", min=1, help="More at a time get status 429.")] = REQUESTS,
    until_idle: Annotated[bool, typer.Option("--until-idle", hidden=True)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON when it serves.")] = False,
) -> int:
    """Serve the model to other programs: OpenAI's API over HTTP, and this home to other terminals.

    Every request is a process and stands in `llmos ps`. Requests that go on from an earlier one are turns of the same
    process: by what they say, or by the header X-LLMOS-Session, or by `user`. In a request "priority" is interactive,
    normal or batch, and "overflow": "page" lets a conversation grow beyond the context, its oldest messages paged out.

    Paths: /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models, /healthz and /metrics.
    """
    import asyncio

    from .serving import run_holder, run_serve
    from .sizes import size

    given = {"model": model, "streams": streams, "window": window, "way": way}
    options = replace(context.obj, **{name: value for name, value in given.items() if value is not None})
    if until_idle:
        return asyncio.run(run_holder(options))
    place = Place(host, port, idle, size(largest) or LARGEST, requests)
    return asyncio.run(run_serve(options, place, as_json=as_json))
