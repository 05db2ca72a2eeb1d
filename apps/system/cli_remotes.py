"""`llmos model add --url` and `llmos cores`: models behind servers, and what computes now."""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ...models.remote.place import Place

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


def add_remote(home: Path, name: str, url: str, *, model: str, window: int, **how: Any) -> None:
    """Ask the server what it is, and list its model."""
    from ...kernel.errors import BadInput
    from ...kernel.translate import translated
    from ...models.catalog import Catalog
    from ...models.remote.looking import look
    from ...models.remote.place import Place, address
    from .display import err, out
    from .options import SCRIPTED

    if not _NAME.fullmatch(name) or name == SCRIPTED:
        raise BadInput(f"a model cannot be called {name!r}", hint="small letters, digits, and . _ - within")
    catalog = Catalog(home)
    if name in {entry.name for entry in catalog.listing()}:
        raise BadInput(f"there is a model {name} already", hint="choose another name")
    with translated():
        place = Place(name=name, url=address(url), model=model, **how)
        found = asyncio.run(look(place, model=model, window=window))
        catalog.remotes.add(found)
    if found.key_env and found.url.startswith("http://") and not found.near:
        err().print("llmos: the key goes over the network unencrypted; use https if the server can", style="yellow")
    out().print(f"{found}, {found.window} tokens; llmos --model {name} computes there", markup=False)


def show(place: "Place", *, as_json: bool) -> None:
    """What is known of a remote model."""
    from .display import out, print_json, rows_table

    if as_json:
        print_json(place.model_dump(mode="json"))
        return
    facts = [
        ("server", f"{place.kind} at {place.url}"), ("its model", place.model), ("context", f"{place.window} tokens"),
        ("key", f"in {place.key_env}" if place.key_env else "none"), ("at a time", f"{place.parallel} requests"),
        ("time-outs", f"connect {place.connect_s:g} s, first token {place.first_token_s:g} s, then"
         f" {place.between_s:g} s"),
    ]  # fmt: skip
    table = rows_table(("", ""), facts)
    table.show_header = False
    out().print(table)


def cores(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line and nothing else.")] = False,
) -> None:
    """What computes in the llmos that runs: models in it and behind servers, how busy, and how servers stand."""
    from .client import ask
    from .display import out, print_json, rows_table

    rows: list[dict[str, Any]] = ask(context.obj.home, "cores")
    if as_json:
        for row in rows:
            print_json(row)
        return
    names = ("name", "kind", "model", "way", "window", "streams", "busy", "processes", "state")
    out().print(rows_table(names, ([row[name] for name in names] for row in rows)))
