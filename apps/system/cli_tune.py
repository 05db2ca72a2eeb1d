"""`llmos model tune` and `llmos model perplexity`: what suits this machine, and how good it is."""

from pathlib import Path
from typing import Annotated, Literal

import typer

_AS_JSON = typer.Option("--json", help="Print JSON and nothing else.")
_TEXT = typer.Option(help="UTF-8 text to measure perplexity on; else one that ships.", metavar="FILE")


def tune(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A name of `llmos model list`; else the one in use.")] = None,
    loss: Annotated[
        float, typer.Option(min=0.0, max=100.0, help="Per cent of perplexity that may be lost against the file.")
    ] = 2.0,
    aim: Annotated[
        Literal["agents", "latency", "throughput"],
        typer.Option(
            "--for", help="What is to be fast: turns of 200 tokens in, 64 out, of 8 agents at once, of 1, or of 16."
        ),
    ] = "agents",
    formats: Annotated[str, typer.Option(help="To choose from, such as Q8_0,Q4_K_M,Q4_0,BF16.", metavar="A,B")] = "",
    ways: Annotated[str, typer.Option(help="To choose from: exact, exact-q8, fast.", metavar="A,B")] = "exact,exact-q8",
    text: Annotated[Path | None, _TEXT] = None,
    requantise: Annotated[
        bool, typer.Option("--requantise", help="A file of yours may be brought into other formats too.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A first look, in one or two minutes.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and show, and keep nothing.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Go back to what was before; measures nothing.")] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Measure which format, way, threads and sizes suit this machine, and use the fastest within the loss.

    Speed and perplexity stand side by side. The ways that promise exact answers are put to the proof here, and one
    that does not hold is never taken. Takes some minutes; nothing else should run meanwhile.
    """
    from .display import out, print_json
    from .tuned import Wanted, measuring_bar, shown, text_of
    from .tuned import tune as measure

    home = context.obj.home.create()
    name = name or context.obj.model
    if forget:
        _forget(home.root, name, as_json=as_json)
        return
    chosen_ways = (context.obj.way,) if context.obj.way else _listed(ways)
    wanted = Wanted(_listed(formats), chosen_ways, loss / 100, aim, quick, requantise, text_of(text))
    with measuring_bar() as on_progress:
        found = measure(home, name, wanted, on_progress, keep=not dry_run)
    if as_json:
        print_json({"kept": not dry_run, **found.model_dump(mode="json")})
    else:
        out().print(shown(found, kept=not dry_run))


def _forget(root: Path, name: str | None, *, as_json: bool) -> None:
    from ...models.catalog import Catalog
    from ...models.tuning.kept import Tunings
    from .display import out, print_json

    entry = Catalog(root).get(name)
    known = Tunings(root).forget(entry.name)
    if as_json:
        print_json({"model": entry.name, "forgotten": known})
    else:
        words = "is computed as before, from the next start on" if known else "was not tuned"
        out().print(f"{entry.name} {words}", markup=False)


def _listed(words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))


def perplexity(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A name of `llmos model list` or a GGUF file.")] = None,
    text: Annotated[Path | None, typer.Argument(help="UTF-8 text; else one that ships.", metavar="FILE")] = None,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """How well a model foretells a text, as it is used here: lower is better, 1 would be by heart."""
    from ...kernel.translate import translated
    from .display import out, print_json
    from .session import preparing
    from .tuned import text_of
    from .tuned_perplexity import measured

    with preparing() as on_progress, translated():
        found = measured(context.obj, name or context.obj.model, text_of(text), on_progress)
    if as_json:
        print_json(found)
    else:
        out().print("{perplexity:.3f} on {tokens} tokens ({name}, {format}, {way})".format(**found), markup=False)
