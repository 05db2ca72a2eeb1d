"""`llmos memory embedder`: what turns texts into vectors for searching by meaning."""

from typing import Annotated, Any

import typer

app = typer.Typer(help="List and choose what searches memory by meaning.", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Embedders that can be used; * marks the one that is."""
    from ...models.catalog import Catalog
    from .display import out, print_json, rows_table

    catalog = Catalog(context.obj.home.root)
    chosen = catalog.chosen_embedder
    rows = [_shipped(), *(_row(entry) for entry in catalog.listing() if not entry.generates)]
    if as_json:
        for row in rows:
            print_json({**row, "in_use": row["name"] == chosen})
        return
    cells = [("*" if row["name"] == chosen else "", *row.values()) for row in rows]
    out().print(rows_table(("", *rows[0]), cells))


def _shipped() -> dict[str, Any]:
    from ...memory.embedder import MAX_TOKENS
    from ...models.catalog import SHIPPED
    from .embedders import shipped

    static = shipped()
    return {"name": SHIPPED, "kind": "static", "dimensions": static.dim, "tokens": MAX_TOKENS, "vectors": static.name}


def _row(entry: Any) -> dict[str, Any]:
    from ...models.gguf import read
    from .embedders import vectors_of

    dimensions = read(entry.path).embedding_length if entry.path.is_file() else "file is gone"
    kind = f"{entry.architecture} {entry.format}"
    return {
        "name": entry.name, "kind": kind, "dimensions": dimensions, "tokens": entry.context,
        "vectors": vectors_of(entry),
    }  # fmt: skip


@app.command()
def use(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A name of `llmos memory embedder list`; shipped is llmos's own.")],
) -> None:
    """Make it the embedder from the next start on; what is remembered then gets vectors of its own making."""
    from ...models.catalog import SHIPPED, Catalog
    from ...models.prepare import probe_load
    from .display import out
    from .session import preparing

    home = context.obj.home.create()
    catalog = Catalog(home.root)
    if name != SHIPPED and not (entry := catalog.get(name)).generates:  # else it is refused below
        with preparing() as on_progress:
            probe_load(entry.path, home.root, on_progress)
    made = catalog.embed_with(name)
    out().print(f"{made or 'the embedder that llmos ships'} is in use from the next start on", markup=False)
