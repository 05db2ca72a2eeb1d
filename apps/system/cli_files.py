"""`llmos fs`: the files that apps keep and those you put there; beside a running llmos as well as without one."""

from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Files that apps keep, and yours: every change is a version, and any version can be brought back. An app sees"
    " the folder of its own name only, such as support/; you see all. What stands in no app's folder is yours alone.",
    no_args_is_help=True,
)

_Owner = Annotated[str, typer.Option("--owner", help="Whose files; else yours.", show_default=False)]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
_Path = Annotated[str, typer.Argument(help="In the tree, such as support/notes.txt.", metavar="PATH")]


@app.command()
def ls(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="A folder or file of the tree; else all.", show_default=False)] = "",
    long: Annotated[bool, typer.Option("-l", help="Also size, time, versions, label and tags.")] = False,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="Those that were deleted and can be brought back.")
    ] = False,
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> None:
    """List files with all that is below a folder."""
    from .file_commands import show_files

    show_files(context.obj.home, _whose(owner), path, long=long, deleted=deleted, as_json=as_json)


@app.command()
def cat(
    context: typer.Context,
    path: _Path,
    version: Annotated[int | None, typer.Option("--version", "-v", min=1, help="As it was in this version.")] = None,
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> None:
    """Write a file to standard output; with --json as an object, with its content in base64 if it is no text."""
    from .file_commands import write_out

    write_out(context.obj.home, _whose(owner), path, version, as_json=as_json)


@app.command()
def put(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A file or folder on this machine.", metavar="HOSTPATH")],
    path: Annotated[
        str, typer.Argument(help="Where to: a folder (ends with /), or a name. Else its own name.", show_default=False)
    ] = "",
    tag: Annotated[list[str] | None, typer.Option(help="For all that is put; may be repeated.")] = None,
    label: Annotated[
        Literal["trusted", "untrusted"], typer.Option(help="trusted: an app may take what it says for true.")
    ] = "untrusted",
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> int:
    """Copy a file or folder into the tree; what is there already gets a new version, if it differs.

    Of a folder, hidden files and links are left out. The exit code is 2 when something else could not be put.
    """
    from .file_commands import put_in

    return put_in(context.obj.home, _whose(owner), source, path, tag or [], label, as_json=as_json)


@app.command()
def get(
    context: typer.Context,
    path: _Path,
    target: Annotated[str, typer.Argument(help="Where to on this machine; else here.", metavar="HOSTPATH")] = ".",
    version: Annotated[int | None, typer.Option("--version", "-v", min=1, help="As it was in this version.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Write over what is there.")] = False,
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> None:
    """Copy a file or folder out of the tree."""
    from .file_commands import get_out

    get_out(context.obj.home, _whose(owner), path, target, version, force=force, as_json=as_json)


@app.command()
def find(
    context: typer.Context,
    query: Annotated[
        list[str] | None, typer.Argument(help="Words, or what it is about.", metavar="QUERY...", show_default=False)
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many files.")] = 10,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only what bears this tag; may be repeated: all of them.")
    ] = None,
    folder: Annotated[str, typer.Option("--in", help="Only below this folder.", metavar="PATH")] = "",
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> None:
    """Find files by their names, tags, words and meaning: `llmos fs find the report about the late parcels`.

    The first time it reads what is new since the last. Files that are no text are found by their names and tags.
    """
    from .file_commands import find_files

    find_files(context.obj.home, _whose(owner), " ".join(query or []), folder, tag or [], k, as_json=as_json)


@app.command()
def log(context: typer.Context, path: _Path, owner: _Owner = "", as_json: _AsJson = False) -> None:
    """The versions of a file, also of one that was deleted: when, how large, and which process made them."""
    from .file_commands import show_versions

    show_versions(context.obj.home, _whose(owner), path, as_json=as_json)


@app.command()
def diff(
    context: typer.Context,
    path: _Path,
    before: Annotated[int | None, typer.Argument(help="A version; else the last but one.", metavar="V1")] = None,
    after: Annotated[int | None, typer.Argument(help="Another; else the newest.", metavar="V2")] = None,
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> None:
    """What differs between two versions of a text file."""
    from .file_commands import show_difference

    show_difference(context.obj.home, _whose(owner), path, before, after, as_json=as_json)


@app.command()
def rollback(
    context: typer.Context,
    path: _Path,
    version: Annotated[int, typer.Argument(min=1, help="Its number in llmos fs log.", metavar="VERSION")],
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> None:
    """Bring back a version, as the newest one; also of a file that was deleted."""
    from .file_commands import roll_back

    roll_back(context.obj.home, _whose(owner), path, version, as_json=as_json)


@app.command()
def rm(
    context: typer.Context,
    paths: Annotated[list[str], typer.Argument(help="Files, or folders with -r.", metavar="PATH...")],
    recursive: Annotated[bool, typer.Option("-r", help="Folders with all that is below.")] = False,
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> None:
    """Delete files; `llmos fs rollback` brings them back as long as their versions are kept."""
    from .file_commands import delete

    delete(context.obj.home, _whose(owner), paths, recursive=recursive, as_json=as_json)


@app.command()
def mv(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="FROM")],
    to: Annotated[str, typer.Argument(help="A folder (ends with /, or is one), or a name.", metavar="TO")],
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> None:
    """Give a file or folder another path; its versions and tags go with it."""
    from .file_commands import rename

    rename(context.obj.home, _whose(owner), path, to, as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def tag(
    context: typer.Context,
    path: _Path,
    changes: Annotated[
        list[str] | None, typer.Argument(help="+a gives the tag a, -b takes b.", metavar="[+TAG|-TAG]...")
    ] = None,
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> None:
    """Give a file tags and take some; without any, say which it has."""
    from .file_commands import change_tags

    change_tags(context.obj.home, _whose(owner), path, changes or [], as_json=as_json)


@app.command()
def du(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="A folder of the tree; else all.", show_default=False)] = "",
    owner: _Owner = "",
    as_json: _AsJson = False,
) -> None:
    """The room that files take, as they are and with all their versions, and the quota."""
    from .file_commands import show_room

    show_room(context.obj.home, _whose(owner), path, as_json=as_json)


@app.command()
def check(context: typer.Context, as_json: _AsJson = False) -> int:
    """Read all versions of all files, and name what is damaged; the exit code is 74 if anything is."""
    from .file_commands import check_all

    return check_all(context.obj.home, as_json=as_json)


def _whose(owner: str) -> str:
    from .options import user

    return owner or user()
