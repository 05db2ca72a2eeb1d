"""`llmos gc` and `llmos backup`: what is kept, what is freed, and a copy of it all."""

from typing import Annotated

import typer

_AS_JSON = typer.Option("--json", help="Print JSON and nothing else.")


def gc(
    context: typer.Context,
    days: Annotated[float | None, typer.Option(min=0, help="Keep what ended in the last so many days.")] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="Keep at most so many, the newest.")] = None,
    size: Annotated[str | None, typer.Option(help="Keep at most so much, the newest: 500M, 1G.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be freed.")] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Free what finished processes left: their records, their journals, and room on the disk.

    What is kept says HOME/config.toml in its section retention (days, processes, size), unless an option does. A
    process goes with its children, and only when all of them have ended; of living ones nothing is touched.
    """
    from .keeping import run_gc

    run_gc(context.obj.home, days, keep, size, dry_run=dry_run, as_json=as_json)
