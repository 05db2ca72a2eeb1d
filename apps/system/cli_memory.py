"""`llmos memory`: remember files and find in them; beside a running llmos as well as without one."""

from typing import Annotated, Literal

import typer

from . import cli_embedder

APP = "memory"
"""The app under which a user's own memory is kept."""

app = typer.Typer(
    help="Remember files, and find in them. It is a memory of your own; with --app it is that of an app you run, such"
    " as support.",
    no_args_is_help=True,
)
app.add_typer(cli_embedder.app, name="embedder")

_Owner = Annotated[str, typer.Option("--owner", help="Whose memory; else yours.", show_default=False)]
_App = Annotated[str, typer.Option("--app", help="Which app's memory.", metavar="NAME")]
_Collection = Annotated[str, typer.Option("--collection", "-c", help="Which collection of it.", metavar="NAME")]
_OneCollection = Annotated[
    str | None, typer.Option("--collection", "-c", help="One collection only.", metavar="NAME", show_default=False)
]
_TIME = "A day as 2026-11-25, a time as 2026-11-25T14:00, or how long ago: 90m, 12h, 7d, 4w."
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@app.command()
def add(
    context: typer.Context,
    paths: Annotated[list[str], typer.Argument(help="Files, and folders with all that is below.", metavar="PATH...")],
    owner: _Owner = "",
    of: _App = APP,
    collection: _Collection = "default",
    tag: Annotated[list[str] | None, typer.Option(help="For all that is added; may be repeated.")] = None,
    label: Annotated[
        Literal["trusted", "untrusted"], typer.Option(help="trusted: an app may take what they say for true.")
    ] = "untrusted",
    prune: Annotated[bool, typer.Option("--prune", help="Forget files that are gone from these folders.")] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Compare also files whose size and time are as they were.")
    ] = False,
    max_size: Annotated[str, typer.Option(help="Largest file to be read: bytes, or with K, M or G.")] = "100M",
    as_json: _AsJson = False,
) -> int:
    """Remember files: Markdown, text, HTML, CSV, JSON Lines, PDF and Word.

    The next time it reads only what has changed. A file that cannot be read is named at the end, and the others are
    remembered all the same; the exit code is 2 then, but not for pictures and the like in a folder. Hidden files and
    links are left out. Ctrl-C leaves what has been read; the next time it goes on from there.
    """
    from .memory_commands import add_files

    return add_files(
        context.obj.home, _whose(owner, of), paths, collection=collection, tags=tag or [], label=label, prune=prune,
        thorough=thorough, most=max_size, as_json=as_json,
    )  # fmt: skip


@app.command()
def search(
    context: typer.Context,
    query: Annotated[list[str], typer.Argument(help="Words, or a question.", metavar="QUERY...")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many passages.")] = 5,
    owner: _Owner = "",
    of: _App = APP,
    collection: _OneCollection = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only what bears this tag; may be repeated: all of them.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only what is from this file or folder.", metavar="PATH")] = None,
    since: Annotated[str | None, typer.Option(help=f"Only what was remembered then or later. {_TIME}")] = None,
    until: Annotated[str | None, typer.Option(help="Only what was remembered before then.")] = None,
    label: Annotated[Literal["trusted", "untrusted"] | None, typer.Option(help="Only what is labelled so.")] = None,
    as_json: _AsJson = False,
) -> None:
    """Find passages by their words and their meaning, best first; says where each is from and why it was found."""
    from .memory_commands import find

    find(
        context.obj.home, _whose(owner, of), " ".join(query), collection=collection, k=k, tags=tag or [],
        source=source, label=label, since=since, until=until, as_json=as_json,
    )  # fmt: skip


@app.command("ls")
def list_(
    context: typer.Context,
    owner: _Owner = "",
    of: _App = APP,
    collection: _OneCollection = None,
    as_json: _AsJson = False,
) -> None:
    """The files that are remembered: passages, size, when they were read."""
    from .memory_commands import show_sources

    show_sources(context.obj.home, _whose(owner, of), collection, as_json=as_json)


@app.command()
def forget(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders of them, or handles of passages as search shows them.", metavar="WHAT..."),
    ] = None,
    owner: _Owner = "",
    of: _App = APP,
    collection: _OneCollection = None,
    as_json: _AsJson = False,
) -> int:
    """Forget files or single passages; with --collection alone, all that is in it. The files themselves stay."""
    from .memory_commands import forget as forget_them

    return forget_them(context.obj.home, _whose(owner, of), what or [], collection, as_json=as_json)


@app.command()
def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="Where to write it.", metavar="FILE")],
    owner: _Owner = "",
    of: _App = APP,
    collection: _OneCollection = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: _AsJson = False,
) -> None:
    """Write what is remembered to a file of JSON lines, which `llmos memory import` takes in elsewhere."""
    from .memory_commands import export_to

    export_to(context.obj.home, _whose(owner, of), file, collection, force=force, as_json=as_json)


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="What `llmos memory export` wrote.", metavar="FILE")],
    owner: _Owner = "",
    of: _App = APP,
    collection: Annotated[
        str | None,
        typer.Option("--collection", "-c", help="Where to; else as it was.", metavar="NAME", show_default=False),
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Remember what a file of `llmos memory export` holds, along with what is there already."""
    from .memory_commands import import_from

    import_from(context.obj.home, _whose(owner, of), file, collection, as_json=as_json)


@app.command()
def stats(context: typer.Context, as_json: _AsJson = False) -> None:
    """What each owner and app remembers, and the room it takes."""
    from .memory_commands import show_stats

    show_stats(context.obj.home, as_json=as_json)


@app.command()
def check(context: typer.Context, as_json: _AsJson = False) -> int:
    """Compare all that is remembered with its checksums; the exit code is 74 when something is damaged."""
    from .memory_commands import check as check_all

    return check_all(context.obj.home, as_json=as_json)


@app.command()
def rebuild(context: typer.Context, as_json: _AsJson = False) -> None:
    """Make the index, the vectors and the words anew from the passages."""
    from .memory_commands import rebuild as rebuild_all

    rebuild_all(context.obj.home, as_json=as_json)


def _whose(owner: str, of: str) -> dict[str, str]:
    from .options import user

    return {"owner": owner or user(), "app": of}
