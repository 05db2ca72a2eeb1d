"""From a command line to an app's arguments.

What the app says it takes becomes a command that typer parses; files are handed in:

    support --kb docs/ "How long?" -k 3   ->   {"kb": "in/docs", "question": "How long?", "k": 3}
                                               and docs/returns.md as in/docs/returns.md
"""

import inspect
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from typer.core import TyperCommand

from ...kernel.errors import BadInput, OSFault
from .describe import Description, Kind, Taken
from .display import one_line
from .handin import Basket

OURS = (
    "json",
    "help",
    "owner",
    "priority",
    "adapter",
    "detach",
)  # options that every app's command line has from llmos

_TYPES: dict[Kind, type] = {"text": str, "integer": int, "number": float, "flag": bool, "json": str}
_METAVARS: dict[Kind, str] = {"text": "TEXT", "integer": "NUMBER", "number": "NUMBER", "flag": "", "json": "JSON"}
_OWNER = re.compile(r"\w[\w.@-]{0,63}")  # it names a folder
_PANEL = "Options of llmos"


@dataclass
class Given:
    """What a command line gave."""

    args: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, dict[str, Path]] = field(default_factory=dict)  # argument value: path in the process, on the host
    json: bool = False
    owner: str | None = None
    priority: str | None = None
    adapter: str | None = None
    detach: bool = False

    @property
    def handed(self) -> dict[str, Path]:
        """All files: path in the process's tree to the file on the host."""
        return {path: source for group in self.groups.values() for path, source in group.items()}

    def in_its_words(self, fault: OSFault) -> OSFault:
        """An error with files called as on the command line, not as in the process."""
        message, hint = fault.message, fault.hint
        for path, files in self.groups.items():
            if message == f"no file {path}" and path not in files:
                return BadInput(f"{_outside(path)} is a folder", hint="name a file")
            place = re.compile(rf"(?<![\w/.-])in/(?={re.escape(_outside(path))}(?![\w-]))")
            message, hint = place.sub("", message), place.sub("", hint)
        return type(fault)(message, hint=hint, **fault.details)

    def split(self, each: str | None) -> "list[Given]":
        """One for each element of the list argument ``each``, with the files of that element alone."""
        elements = self.args.get(each) if each else None
        if not isinstance(elements, list) or len(elements) < 2:
            return [self]
        shared = {value: files for value, files in self.groups.items() if value not in elements}
        return [
            Given(
                {**self.args, str(each): [element]},
                {**shared, **({element: self.groups[element]} if element in self.groups else {})},
                self.json, self.owner, self.priority, self.adapter, self.detach,
            )
            for element in elements
        ]  # fmt: skip


def _outside(path: str) -> str:
    return path.removeprefix("in/")


def parse(description: Description, words: Sequence[str], *, program: str, folder: Path) -> Given | None:
    """The arguments in ``words``; None when help was asked for and printed.

    ``folder`` is where relative paths begin. Raises `BadInput` or `NotFound` in one line that names the option.
    """
    seen: dict[str, Any] = {}
    command = _command(description, seen.update)
    try:
        command.main(list(words), prog_name=program, standalone_mode=False)
    except typer.TyperException as wrong:
        hint = f"{program} --help tells what it takes"
        raise BadInput(words_of(wrong), hint=hint) from None
    if not seen:
        return None
    basket = Basket(folder)
    values = {one.name: (one, seen[_safe(one.name)]) for one in description.takes}
    args = {name: _value(one, value, basket) for name, (one, value) in values.items() if value not in (None, [])}
    if seen["owner"] is not None and not _OWNER.fullmatch(seen["owner"]):
        raise BadInput(f"--owner: {seen['owner']!r} is no name", hint="letters, digits, and . _ @ - within")
    return Given(args, basket.groups, seen["json"], seen["owner"], seen["priority"], seen["adapter"], seen["detach"])


def words_of(wrong: typer.TyperException) -> str:
    """One line without pydantic's and typer's own ornaments."""
    message: str = wrong.format_message() if hasattr(wrong, "format_message") else str(wrong)
    for ornament in ("Invalid value for ", "Value error, ", ", unable to parse string as an integer"):
        message = message.replace(ornament, "")
    return " ".join(message.split()).rstrip(".")


# -- the command that typer parses with --


def _command(description: Description, keep: Callable[[dict[str, Any]], None]) -> TyperCommand:
    parameters = [*map(_parameter, description.takes), *_our_parameters()]

    def command(**values: Any) -> None:
        keep(values)

    command.__doc__ = escape(description.summary)
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command()(command)
    built = typer.main.get_command(app)
    assert isinstance(built, TyperCommand)
    return built


def _parameter(one: Taken) -> inspect.Parameter:
    if one.name in OURS:
        raise BadInput(f"the app calls an argument {one.name!r}", hint=f"{', '.join(OURS)} are llmos's own")
    plain = Literal[tuple(one.choices)] if one.choices else _TYPES[one.kind]
    value: Any = list[plain] if one.many else plain  # type: ignore[valid-type]
    looks: dict[str, Any] = {"help": escape(one.help)}  # the help of our own options is markup
    if not one.choices:
        looks["metavar"] = "PATH" if one.handed else _METAVARS[one.kind]
    if one.kind in ("integer", "number"):
        looks |= {"min": one.least, "max": one.most}
    if one.positional:
        name = one.name.upper().replace("_", "-")
        looks["metavar"] = f"{name}..." if one.many else name
    info = typer.Argument(**looks) if one.positional else typer.Option(*option_names(one), **looks)
    if one.required:
        return _keyword(_safe(one.name), Annotated[value, info])
    simple = isinstance(one.default, str | int | float) and one.default != "" and not one.handed
    if isinstance(one.default, str) and one.default != one_line(one.default):
        simple = False  # help would show it
    return _keyword(_safe(one.name), Annotated[value | None, info], one.default if simple else None)


def option_names(one: Taken) -> list[str]:
    """What is typed for an argument that has a name."""
    if len(one.name) == 1:
        return [f"-{one.name}"]
    long = f"--{one.name.replace('_', '-')}"
    if one.kind == "flag" and one.default is True:
        return [f"{long}/--no-{long[2:]}"]
    return [long, f"-{one.short}"] if one.short else [long]


def _our_parameters() -> list[inspect.Parameter]:
    as_json = typer.Option("--json", help="Print the result as JSON and nothing else.", rich_help_panel=_PANEL)
    owner = typer.Option("--owner", help="Whose process it is; owners share no memory.", rich_help_panel=_PANEL)
    priority = typer.Option("--priority", help="Before or behind others.", rich_help_panel=_PANEL)
    adapter = typer.Option(
        "--adapter", help="The LoRA its model works with: NAME, NAME@SCALE, or '' for none.", metavar="NAME",
        rich_help_panel=_PANEL,
    )  # fmt: skip
    detach = typer.Option("--detach", help="Let it run in the background; says its pid.", rich_help_panel=_PANEL)
    classes = Literal["interactive", "normal", "batch"]
    return [
        _keyword("json", Annotated[bool, as_json], False),
        _keyword("owner", Annotated[str | None, owner], None),
        _keyword("priority", Annotated[classes | None, priority], None),
        _keyword("adapter", Annotated[str | None, adapter], None),
        _keyword("detach", Annotated[bool, detach], False),
    ]


def _keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _safe(name: str) -> str:
    """A name that no option of ours has; typer derives nothing from it, the names are given."""
    return f"arg_{name}"


# -- values --


def _value(one: Taken, value: Any, basket: Basket) -> Any:
    if one.many:
        return [_single(one, element, basket) for element in value]
    return _single(one, value, basket)


def _single(one: Taken, value: Any, basket: Basket) -> Any:
    if one.handed:
        return basket.take(_label(one), str(value))
    if isinstance(value, str) and not _is_text(value):
        raise BadInput(f"{_label(one)}: {value!r} is not UTF-8 text", hint="convert it, for example with iconv")
    if one.kind == "json":
        try:
            return json.loads(value)
        except ValueError as wrong:
            raise BadInput(f"{_label(one)}: {value!r} is not JSON: {wrong}", hint="quote it as one word") from None
    return value


def _is_text(value: str) -> bool:
    """Bytes of a command line that are no UTF-8 stand in it as halves of surrogate pairs."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _label(one: Taken) -> str:
    return one.name.upper() if one.positional else option_names(one)[0]
