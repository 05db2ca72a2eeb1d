"""The command line: what there is, and what each command takes. The work itself is imported when it is asked for."""

from pathlib import Path
from typing import Annotated

import typer

from ... import __version__
from . import (
    cli_adapters,
    cli_apps,
    cli_files,
    cli_keep,
    cli_machine,
    cli_memory,
    cli_models,
    cli_processes,
    cli_remotes,
)  # fmt: skip
from .options import Options, Way

EPILOG = """
[bold]Exit codes[/]: 0 done · 1 something needed is missing (doctor) · 2 what was given cannot be used · 69 a part is
missing or busy · 70 an app or llmos failed · 74 disk · 75 limit or time over · 77 not allowed · 130 interrupted ·
137, 143 killed, ended · 141 the reader of the output has gone. `llmos exec` ends with the exit code of its program.
"""

app = typer.Typer(
    name="llmos",
    help="An operating system whose processor is a language model. Without a command: the shell.",
    epilog=" ".join(EPILOG.split()),
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.add_typer(cli_apps.app, name="app")
app.add_typer(cli_models.app, name="model")
cli_models.app.add_typer(cli_adapters.app, name="adapter")
app.add_typer(cli_memory.app, name="memory")
app.add_typer(cli_files.app, name="fs")
app.command()(cli_processes.ps)
app.command()(cli_processes.log)
app.command()(cli_processes.attach)
app.command()(cli_processes.kill)
app.command()(cli_processes.resume)
app.command()(cli_processes.replay)
app.command()(cli_processes.checkpoint)
app.command()(cli_processes.restore)
app.command()(cli_processes.top)
app.command()(cli_remotes.cores)
app.command("exec", context_settings={"allow_interspersed_args": False})(cli_machine.execute)
app.command()(cli_machine.doctor)
app.command()(cli_machine.demo)
app.command()(cli_machine.serve)
app.command()(cli_keep.gc)
app.add_typer(cli_keep.backup, name="backup")


@app.command()
def version() -> None:
    """Say which llmos this is."""
    typer.echo(f"llmos {__version__}")


def _version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(help="Where state lives; else LLMOS_HOME.", metavar="FOLDER")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A name of `llmos model list` or a GGUF file; `scripted` is none, prompts are said back. May be given"
            " several times: the first computes where a process asks for no other, see `llmos app run --on`."
        ),
    ] = None,
    streams: Annotated[int, typer.Option(min=1, max=256, help="Sequences computed at a time.")] = 16,
    window: Annotated[int, typer.Option(min=256, help="Tokens that one process can see at a time.")] = 4096,
    way: Annotated[
        Way | None,
        typer.Option(
            help="exact, exact-q8: an answer never depends on what else runs. Unset: as it was tuned, else exact."
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and all that is logged.")] = False,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")] = False,
) -> None:
    """Take the global options; without a command, become the shell."""
    given = context.obj = context.obj or Options()
    assert isinstance(given, Options)
    given.home_folder, given.streams, given.window = home, streams, window
    given.model, given.also = (model[0], tuple(model[1:])) if model else (None, ())
    given.way, given.debug = way, debug
    if debug:
        import logging

        logging.getLogger().setLevel(logging.DEBUG)
    if context.invoked_subcommand is None:
        from .shell import run_shell

        raise typer.Exit(run_shell(given))
