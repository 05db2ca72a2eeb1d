"""`llmos gc` and `llmos backup`: what is kept, what is freed, and a copy of it all."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _Write(TyperGroup):
    """``llmos backup FILE`` is ``llmos backup write FILE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if any(not word.startswith("-") for word in args) and args[0] not in {*self.commands, "--help", "-h"}:
            args = ["write", *args]
        return super().parse_args(ctx, args)


backup = typer.Typer(
    cls=_Write,
    help="Copy this home into one file, also while llmos works: llmos backup FILE. Models are left out.",
    no_args_is_help=True,
)
_AS_JSON = typer.Option("--json", help="Print JSON and nothing else.")


def gc(
    context: typer.Context,
    days: Annotated[float | None, typer.Option(min=0, help="Keep what ended in the last so many days.")] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="Keep at most so many, the newest.")] = None,
    size: Annotated[str | None, typer.Option(help="Keep at most so much, the newest: 500M, 1G.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be freed.")] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Free what finished processes left, old versions of files, and room on the disk.

    What is kept says HOME/config.toml in its section retention (days, processes, size, file_days, file_versions),
    unless an option does. A process goes with its children, and only when all have ended; nothing else is touched.
    """
    from .keeping import run_gc

    run_gc(context.obj.home, days, keep, size, dry_run=dry_run, as_json=as_json)


@backup.command()
def write(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to be written.")],
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Copy the home: store, settings, grants, installed apps. The copy is verified."""
    from .keeping import run_backup

    run_backup(context.obj.home, file, force=force, as_json=as_json)


@backup.command()
def verify(context: typer.Context, file: Path, as_json: Annotated[bool, _AS_JSON] = False) -> None:
    """Say whether a backup is sound, and what is in it."""
    from .keeping import run_verify

    run_verify(file, as_json=as_json)


@backup.command()
def restore(
    context: typer.Context,
    file: Path,
    force: Annotated[bool, typer.Option("--force", help="Put aside what the home holds.")] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Make a home of a backup: the one that --home before the command names, or LLMOS_HOME."""
    from .keeping import run_restore

    run_restore(context.obj.home, file, force=force, as_json=as_json)
