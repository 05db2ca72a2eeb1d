"""`llmos bench`: what this machine does, beside its goals and beside other servers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .bench.figures import Report
    from .bench.setting import Setting

_AS_JSON = typer.Option("--json", help="Print JSON and nothing else.")


def bench(
    context: typer.Context,
    only: Annotated[list[str] | None, typer.Option(help="A row of --list; may be repeated.", metavar="NAME")] = None,
    llama_server: Annotated[
        Path | None, typer.Option("--llama-server", help="This program is measured too.", metavar="PATH")
    ] = None,
    batched_bench: Annotated[
        Path | None, typer.Option("--batched-bench", help="llama-batched-bench, for the row decode.", metavar="PATH")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(help="A server that runs: http://…/v1. May be repeated; OPENAI_API_KEY is sent.", metavar="NAME=URL"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="A name of `llmos model list` or a GGUF file.")] = None,
    ways: Annotated[str, typer.Option(help="Of llmos: exact, exact-q8, fast.", metavar="A,B")] = "exact,fast",
    runs: Annotated[int, typer.Option(min=1, help="Of each; medians are told.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything and one run: does it all work?")] = False,
    save: Annotated[
        Path | None, typer.Option("--out", help="Write all figures and runs here, as JSON.", metavar="FILE")
    ] = None,
    plot: Annotated[
        str | None, typer.Option(help="Draw them into a .png, .svg or .pdf; - draws on the terminal.", metavar="FILE")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Say which rows there are.")] = False,
    as_json: Annotated[bool, _AS_JSON] = False,
) -> int:
    """Measure llmos, and other servers beside it: one row for each promise, with its goal.

    Servers are started one at a time, fresh for each run, and take turns; all get the same file, threads and room.
    Everything takes about an hour on two processors; nothing else should run meanwhile. --quick takes some minutes.
    The exit code is 0 when every goal that could be measured is met, else 1.

    llmos bench --only agents --llama-server ./llama-server --out agents.json
    """
    import asyncio

    from .bench.suite import chosen

    rows = chosen(only or [])
    if listing:
        return _list(rows, as_json=as_json)
    setting = _setting(context, model, ways, peer or [])
    setting.runs, setting.quick = 1 if quick else runs, quick
    setting.llama_server, setting.batched_bench = llama_server, batched_bench
    report = asyncio.run(_run(setting, rows))
    return _tell(report, save, plot, as_json=as_json)


def _list(rows: list[str], *, as_json: bool) -> int:
    from .bench.suite import about
    from .display import out, print_json, rows_table

    found = {name: about(name) for name in rows}
    if as_json:
        print_json(found)
    else:
        out().print(rows_table(("row", "what it measures"), found.items()))
    return 0


def _setting(context: typer.Context, model: str | None, ways: str, peers: list[str]) -> "Setting":
    """The model as a file that every server reads."""
    from typing import get_args

    from ...kernel.errors import BadInput
    from ...kernel.translate import translated
    from ...models.catalog import Catalog
    from ...models.prepare import ready
    from .bench.peers import Running
    from .bench.setting import Setting
    from .options import Way
    from .session import preparing

    asked = tuple(way for way in ways.split(",") if way)
    if not asked or set(asked) - set(get_args(Way)):
        raise BadInput(f"--ways {ways}", hint=f"some of {', '.join(get_args(Way))}")
    home = context.obj.home.create()
    with preparing() as on_progress, translated():
        entry = Catalog(home.root).get(model or context.obj.model)
        file = ready(entry, home.root, progress=on_progress)
    return Setting(file, asked, running=[Running.given(text) for text in peers])


async def _run(setting: "Setting", rows: list[str]) -> "Report":
    """With a bar: how many rows are done, and what is being measured."""
    from rich.progress import MofNCompleteColumn

    from .bars import bar
    from .bench.suite import run

    with bar(MofNCompleteColumn()) as progress:
        task = progress.add_task("begins", total=len(rows))
        setting.on_step = lambda what: progress.update(task, description=what)
        return await run(setting, rows, lambda name, found: progress.advance(task))


def _tell(report: "Report", save: Path | None, plot: str | None, *, as_json: bool) -> int:
    import json

    from .bench import showing
    from .display import err, out, print_json

    if save is not None:
        save.write_text(json.dumps(report.plain(), indent=1))
    if as_json:
        print_json(report.plain())
    else:
        facts = report.facts
        out().print(f"{facts['model']} on {facts['processor']}, {facts['threads']} threads", markup=False)
        for name, version in facts["versions"].items():
            out().print(f"{name}: {version}", style="dim", markup=False)
        out().print(showing.table(report.figures))
    for name, why in report.missing.items():
        err().print(f"{name} was not measured: {why}", style="yellow", markup=False)
    if plot is not None:
        showing.plot(report, plot)
    return 0 if all(figure.met is not False for figure in report.figures) and not report.missing else 1
