"""`llmos exec`, `doctor`, `demo`, `serve`: the sandbox, what this machine offers, the main job, and holding a home."""

from pathlib import Path
from typing import Annotated

import typer

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
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when nothing runs any more.")] = False,
) -> int:
    """Hold the home for other terminals, without a shell; what they run has its model ready at once."""
    import asyncio

    from .serving import run_serve

    return asyncio.run(run_serve(context.obj, until_idle=until_idle))
