"""`llmos ps`, `log`, `kill`, `resume`, `top`: looking at processes, ending them, and letting them go on."""

from pathlib import Path
from typing import Annotated

import typer

_AS_JSON = typer.Option("--json", help="Print one JSON object a line and nothing else.")


def ps(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also those that have ended.")] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Processes that live now."""
    from .display import out, print_json, process_table
    from .look import processes

    rows = processes(context.obj.home, everything=everything)
    if as_json:
        for row in rows:
            print_json(row)
    else:
        out().print(process_table(rows))


def log(
    context: typer.Context,
    pid: int,
    as_json: Annotated[bool, _AS_JSON] = False,
    pages: Annotated[bool, typer.Option("--context", help="The pages it has in its window now.")] = False,
    output: Annotated[bool, typer.Option("--output", help="What it and its children wrote.")] = False,
) -> None:
    """What a process asked for and got, call by call."""
    if output:
        import asyncio

        from .written import show_written

        asyncio.run(show_written(context.obj.home, pid, as_json=as_json))
        return
    from .display import out, print_json
    from .look import as_it_stands, call_lines, calls, pages_of, process_head
    from .window import Window

    home = context.obj.home
    if pages:
        view = pages_of(home, pid)
        if as_json:
            print_json(view)
        else:
            out().print(Window(view))
        return
    record, entries = calls(home, pid)
    if as_json:
        for entry in entries:
            print_json(entry)
    else:
        out().print(process_head(as_it_stands(home, record)))
        out().print(call_lines(entries))


def attach(context: typer.Context, pid: int) -> int:
    """Show what a process has written and writes, and answer its questions; Ctrl-C leaves it running."""
    import asyncio

    from .written import run_attach

    return asyncio.run(run_attach(context.obj, pid))


def kill(
    context: typer.Context,
    pid: int,
    signal: Annotated[str, typer.Option("--signal", "-s", help="INT, TERM, KILL, STOP or CONT.")] = "TERM",
) -> None:
    """Send a signal to a process."""
    from .look import send_signal

    send_signal(context.obj.home, pid, signal)


def resume(
    context: typer.Context,
    pids: Annotated[list[int] | None, typer.Argument(help="Which; else all that are suspended.")] = None,
) -> int:
    """Let processes go on that were alive when llmos ended, and wait for them."""
    import asyncio

    from .resume import run_resume

    return asyncio.run(run_resume(context.obj, pids or []))


def replay(
    context: typer.Context,
    pid: int,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> int:
    """Run a process that has ended again from its journal, and compare every token with what it wrote then.

    The model computes anew; what files, tools, memory, people and other processes told it is handed back from the
    journal, and nothing reaches the world. Exit code 0: identical; 1: something came out otherwise.
    """
    import asyncio

    from .display import out, print_json
    from .replaying import run_replay, said

    told = asyncio.run(run_replay(context.obj, pid))
    if as_json:
        print_json(told)
    else:
        out().print(said(told), markup=False, highlight=False)
    return 0 if told["identical"] else 1


def checkpoint(
    context: typer.Context,
    pid: int,
    file: Annotated[Path, typer.Argument(help="Where to write it.", metavar="FILE")],
    end: Annotated[bool, typer.Option("--end", help="End the process here: it moves.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Write a process and its children into a file, to go on from elsewhere with `llmos restore`.

    In it are its calls since its last saved state, its context, its mail, and what was handed in. What its app
    remembered, and its files, stay here.
    """
    from contextlib import suppress

    from ...kernel.errors import Unavailable
    from .display import out, print_json
    from .handin import expanded
    from .look import send_signal
    from .stores import use

    home, path = context.obj.home, expanded(file).absolute()
    if end:
        with suppress(Unavailable):  # it is suspended
            send_signal(home, pid, "STOP")
    told = use(home, "process.checkpoint", pid=pid, path=str(path), force=force)
    if end:
        send_signal(home, pid, "KILL")
    if as_json:
        print_json({**told, "file": str(path)})
    else:
        others = f" and {len(told['pids']) - 1} children" if len(told["pids"]) > 1 else ""
        out().print(f"process {pid}{others}: {path}, {told['bytes']} bytes", markup=False, highlight=False)


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that `llmos checkpoint` wrote.", metavar="FILE")],
    force: Annotated[bool, typer.Option("--force", help="Also when it was made on another model.")] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Take a process out of a file into this home; it is suspended, and `llmos resume` lets it go on."""
    from .display import out, print_json
    from .handin import expanded
    from .stores import use

    options = context.obj
    path = expanded(file).absolute()
    told = use(options.home, "process.restore", path=str(path), model=options.model, force=force)
    if as_json:
        print_json(told)
    else:
        hint = f"llmos resume {told['pid']} lets it go on"
        out().print(f"it is process {told['pid']} here; {hint}", markup=False, highlight=False)


def top(
    context: typer.Context,
    every: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks.")] = 1.0,
) -> None:
    """The process table, again and again, until Ctrl-C."""
    from .look import watch

    watch(context.obj.home, every)
