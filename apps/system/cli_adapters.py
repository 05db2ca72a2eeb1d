"""`llmos model adapter`: LoRAs that the model of an app can work with."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List, add and remove adapters (LoRA), which apps can have their model work with.")
_AS_JSON = typer.Option("--json", help="Print one JSON object a line and nothing else.")


@app.command("list")
def list_(context: typer.Context, as_json: Annotated[bool, _AS_JSON] = False) -> None:
    """Adapters, and the models that they are for."""
    from ...models.adapters import Adapters
    from .display import out, print_json, rows_table

    entries = Adapters(context.obj.home.root).listing()
    if as_json:
        for entry in entries:
            print_json(entry.model_dump(mode="json"))
        return
    rows = [
        (
            e.name, e.base, str(e.rank), f"{e.alpha:g}", f"{e.size / 2**20:.1f} MiB",
            f"after {len(e.invocation)} tokens" if e.invocation else "at once",
        )
        for e in entries
    ]  # fmt: skip
    out().print(rows_table(("name", "model", "rank", "alpha", "size", "takes hold"), rows))


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it.", metavar="NAME")],
    file: Annotated[Path, typer.Argument(help="A GGUF file of a LoRA; it stays where it is.", metavar="FILE")],
    base: Annotated[str | None, typer.Option(help="The model that it is for; else the one in use.")] = None,
) -> None:
    """List an adapter, once its matrices fit the model's."""
    from ...models.adapters import Adapters
    from .display import out
    from .handin import expanded

    entry = Adapters(context.obj.home.create().root).add(name, expanded(file), base)
    hint = f'llmos app run APP --adapter {entry.name}, or adapter = "{entry.name}" in an app\'s manifest'
    out().print(f"{entry}; {hint}", markup=False, highlight=False)


@app.command()
def remove(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Take an adapter off the list; its file stays."""
    from ...models.adapters import Adapters
    from .display import out

    entry = Adapters(context.obj.home.create().root).remove(name)
    out().print(f"{entry.name} is removed; {entry.path} stays", markup=False, highlight=False)
