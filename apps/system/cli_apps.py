"""`llmos app`: run, list, describe, write, install and remove apps."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Options

app = typer.Typer(help="Run, write and install apps.", no_args_is_help=True)
_AS_JSON = typer.Option("--json", help="Print JSON and nothing else.")


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
)
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="An app of `llmos app list`.", metavar="NAME")],
    words: Annotated[
        list[str] | None, typer.Argument(help="What the app takes; NAME --help tells.", metavar="[WORDS]...")
    ] = None,
) -> int:
    """Run an app; `llmos app run NAME --help` tells what it takes."""
    options: Options = context.obj
    if name in ("--help", "-h"):
        typer.echo(context.get_help())
        return 0
    if name.startswith("-"):
        raise typer.BadParameter(f"{name} stands before the app's name", context, param_hint="NAME")
    import asyncio

    from .arguments import parse
    from .describe import description_of
    from .registry import Registry
    from .run import run_app

    info = Registry(options.home).get(name)
    given = parse(description_of(info), words or [], program=f"llmos app run {name}", folder=Path.cwd())
    return 0 if given is None else asyncio.run(run_app(options, info, given))


@app.command("list")
def list_(context: typer.Context, as_json: Annotated[bool, _AS_JSON] = False) -> None:
    """Apps of llmos, of this home and of this Python environment."""
    from .display import err, out, print_json, rows_table
    from .output import fault_line
    from .registry import Registry

    registry = Registry(context.obj.home)
    if as_json:
        for info in registry.apps():
            print_json({
                "name": info.name, "version": info.manifest.version, "summary": info.manifest.summary,
                "origin": info.origin, "granted": info.granted,
            })  # fmt: skip
    else:
        rows = [
            (i.name, i.manifest.version, i.origin if i.granted else "not granted", i.manifest.summary)
            for i in registry.apps()
        ]
        out().print(rows_table(("name", "version", "origin", "summary"), rows))
    for name, problem in sorted(registry.broken().items()):
        err().print(fault_line(problem, name), soft_wrap=True)


@app.command()
def info(context: typer.Context, name: str, as_json: Annotated[bool, _AS_JSON] = False) -> None:
    """Version, rights, limits and arguments of an app."""
    from .describe import description_of
    from .display import out, print_json
    from .information import app_panel
    from .registry import Registry

    found = Registry(context.obj.home).look(name)
    described = description_of(found) if found.granted else None
    if as_json:
        takes = None if described is None else [one.model_dump() for one in described.takes]
        limits = found.manifest.limits.to_dict()
        print_json({
            **found.manifest.model_dump(exclude={"limits"}), "limits": limits, "origin": found.origin,
            "folder": str(found.folder), "isolated": found.isolated, "granted": found.granted, "takes": takes,
        })  # fmt: skip
    else:
        out().print(app_panel(found, described))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Small letters, digits, - and _.")],
    into: Annotated[Path, typer.Option(help="Where its folder is made.", metavar="FOLDER")] = Path(),
) -> None:
    """Write an app that runs, with a test that passes."""
    from rich.text import Text

    from .display import out
    from .template import write

    folder = write(name, into)
    out().print(Text.assemble((str(folder), "bold"), " is written. Next:"))
    for step in (
        f"llmos app install --link {folder}", f"llmos app run {name} 'see you tomorrow'", f"python -m pytest {folder}"
    ):  # fmt: skip
        out().print(f"    {step}", markup=False)


@app.command()
def install(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A folder, a wheel, or a package of an index.")],
    link: Annotated[bool, typer.Option("--link", help="Use the folder where it is: for writing an app.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Grant the rights without being asked.")] = False,
) -> None:
    """Install an app, after showing the rights it asks for."""
    import sys

    from ...kernel.errors import Denied
    from .display import out
    from .information import rights_table, title
    from .install import propose

    proposal = propose(context.obj.home, source, link=link)
    manifest = proposal.manifest
    out().print(title(manifest))
    out().print(rights_table(manifest))
    if not yes:
        if not sys.stdin.isatty():
            raise Denied("nobody is there to say yes", hint="look at the rights, then add --yes")
        if not typer.confirm("Install it and grant these rights?"):
            raise Denied(f"{manifest.name} was not installed")
    proposal.accept()
    out().print(f"installed; [bold]llmos app run {manifest.name} --help[/] tells what it takes")


@app.command()
def remove(context: typer.Context, name: str) -> None:
    """Take an installed app out; what it remembered and its files stay."""
    from .install import remove as take_out

    take_out(context.obj.home, name)
    typer.echo(f"{name} is removed")
