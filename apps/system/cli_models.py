"""`llmos model`: which models there are, and which one is the processor."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import cli_tune

if TYPE_CHECKING:
    from rich.console import Group

    from ...models.catalog import Entry

app = typer.Typer(help="List, fetch, add and choose models.", no_args_is_help=True)
app.command()(cli_tune.tune)
app.command()(cli_tune.perplexity)
_AS_JSON = typer.Option("--json", help="Print JSON and nothing else.")


@app.command("list")
def list_(context: typer.Context, as_json: Annotated[bool, _AS_JSON] = False) -> None:
    """Models that can be used; * marks the one that is."""
    from ...models.catalog import Catalog
    from .display import out, print_json, rows_table

    entries = Catalog(context.obj.home.root).listing()
    if as_json:
        for entry in entries:
            print_json(entry.model_dump(mode="json"))
        return
    rows = [
        (
            "*" if e.default else "", e.name, e.format, f"{e.size / 2**20:.0f} MiB", f"{e.card.parameters / 1e6:.0f} M",
            e.context, e.source,
        )
        for e in entries
    ]  # fmt: skip
    out().print(rows_table(("", "name", "format", "size", "weights", "context", "source"), rows))


@app.command()
def info(context: typer.Context, name: str, as_json: Annotated[bool, _AS_JSON] = False) -> None:
    """What a model is, and how far it can be trusted to write freely."""
    from ...models.catalog import Catalog
    from .display import out, print_json
    from .tuned import tuned_words

    entry = Catalog(context.obj.home.root).get(name)
    if as_json:
        print_json(entry.model_dump(mode="json"))
    else:
        out().print(_card(entry, tuned_words(context.obj.home.root, entry)))


def _card(entry: "Entry", tuned: str) -> "Group":
    from rich.console import Group
    from rich.text import Text

    from .display import rows_table

    facts = [
        ("file", entry.path), ("from", entry.origin or entry.source), ("sha256", entry.sha256 or "not recorded"),
        ("weights", f"{entry.card.parameters:,} as {entry.format}, {entry.size / 2**20:.0f} MiB"),
        ("architecture", entry.architecture), ("context", f"{entry.context} tokens"),
        ("licence", entry.card.licence or "not said in the file"), ("trust", entry.card.trust),
        ("tuned", tuned),
    ]  # fmt: skip
    table = rows_table(("", ""), facts)
    table.show_header = False
    return Group(Text(entry.name + (" (in use)" if entry.default else ""), style="bold"), table)


def _use_of(entry: "Entry") -> str:
    if entry.generates:
        return f"llmos model use {entry.name} makes it the processor"
    return f"llmos memory embedder use {entry.name} makes it the embedder"


@app.command()
def pull(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="hf:OWNER/REPO:FILE", metavar="SOURCE")],
    name: Annotated[str, typer.Option(help="What to call it; else after its file.")] = "",
) -> None:
    """Fetch a model from a hub into this home, and list it."""
    from ...models.catalog import Catalog
    from ...models.faults import ModelFault
    from ...models.hub import pull as fetch
    from .display import out
    from .session import preparing

    home = context.obj.home.create()
    with preparing() as on_progress:
        path = fetch(source, home.models, lambda done, size: on_progress(source, done / size if size else 0.0))
    try:
        entry = Catalog(home.root).add(path, name=name, source="pulled", origin=source)
    except ModelFault:  # whole, as the hub has it, and still of no use
        path.unlink()
        raise
    out().print(f"{entry}; {_use_of(entry)}", markup=False)


@app.command()
def add(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A GGUF file; it stays where it is.", metavar="FILE")],
    name: Annotated[str, typer.Option(help="What to call it; else after its file.")] = "",
) -> None:
    """List a model file of yours."""
    from ...kernel.errors import BadInput
    from ...models.catalog import Catalog
    from .display import out
    from .handin import expanded, there

    file = expanded(file)
    if there(file) and not file.is_file():
        raise BadInput(f"{file} is no regular file", hint="name a GGUF file")
    entry = Catalog(context.obj.home.create().root).add(file, name=name)
    out().print(f"{entry}; {_use_of(entry)}", markup=False)


@app.command()
def use(context: typer.Context, name: str) -> None:
    """Make a model the processor, from the next start on."""
    from ...models.catalog import Catalog
    from .display import out

    out().print(f"{Catalog(context.obj.home.create().root).use(name)} is in use", markup=False)


@app.command()
def remove(context: typer.Context, name: str) -> None:
    """Take a model off the list; a file that was pulled is deleted, one of yours stays."""
    from ...models.catalog import Catalog
    from .display import out

    entry = Catalog(context.obj.home.create().root).remove(name)
    kept = "" if entry.source == "pulled" else f"; {entry.path} stays"
    out().print(f"{entry.name} is removed{kept}", markup=False)
