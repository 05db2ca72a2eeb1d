"""What an app takes, in plain values, read from its ``Args``.

The code of an app from outside runs in a child, which may crash or hang alone:

    python -P -m llmos.apps.system.describe PACKAGE        {"described": {...}}
    python -P -m llmos.apps.system.describe PACKAGE show   reads a result; {"shown": what a terminal should show}
                                                           either may answer {"error": {...}}
"""

import json
import os
import subprocess
import sys
import types
import typing
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from ...kernel.errors import AppFailed, OSFault, from_dict
from ...kernel.plain import plain
from ...syscalls.api import HANDED_IN, POSITIONAL, App
from ...syscalls.loader import load
from .display import clean, one_line
from .registry import AppInfo

PATIENCE = 20.0
"""Seconds that foreign code has to say what it takes."""

Kind = Literal["text", "integer", "number", "flag", "json"]
Words = Annotated[str, AfterValidator(one_line)]
"""What an app says of itself stands among words of ours: it may not steer the terminal, nor begin a line."""
_KINDS: dict[str, Kind] = {"string": "text", "integer": "integer", "number": "number", "boolean": "flag"}


class Taken(BaseModel):
    """One argument of an app."""

    name: str = Field(pattern=r"^[^\W\d]\w*$")
    kind: Kind
    many: bool = False
    required: bool = False
    default: Any = None
    positional: bool = False
    handed: bool = False  # names a file or folder of the user's
    help: Words = ""
    choices: list[Words] = []
    short: str = Field("", pattern=r"^\w?$")
    least: int | float | None = None
    most: int | float | None = None


class Description(BaseModel):
    """What an app says of itself."""

    summary: Words
    takes: list[Taken]


def describe(app: App) -> Description:
    """Read it from the app's ``Args``."""
    schema = app.Args.model_json_schema()
    parts = schema.get("properties", {})
    required = schema.get("required", [])
    takes = [
        _taken(name, parts[field.alias or name], schema.get("$defs", {}), _marks(field.annotation, field.metadata))
        for name, field in app.Args.model_fields.items()
    ]
    for one in takes:
        one.required = one.name in required
    return Description(summary=app.summary or (type(app).__doc__ or "").strip().split("\n")[0], takes=takes)


def _taken(name: str, part: dict[str, Any], defs: dict[str, Any], marks: set[object]) -> Taken:
    inner = _resolved(part, defs)
    many = inner.get("type") == "array"
    if many:
        inner = _resolved(inner.get("items", {}), defs)
    choices = [str(value) for value in inner.get("enum", [])]
    return Taken(
        name=name,
        kind=_KINDS.get(inner.get("type", "string" if choices else ""), "json"),
        many=many,
        default=part.get("default"),
        positional=POSITIONAL in marks,
        handed=HANDED_IN in marks,
        help=part.get("description", ""),
        choices=choices,
        short=part.get("short", ""),
        **_bounds(inner),
    )


def _bounds(inner: dict[str, Any]) -> dict[str, float]:
    """The least and greatest value; "above 0" has a least value for whole numbers only."""
    step = 1 if inner.get("type") == "integer" else 0
    found = {}
    for side, key, beyond in (("least", "minimum", step), ("most", "maximum", -step)):
        if key in inner:
            found[side] = inner[key]
        elif (exclusive := inner.get(f"exclusive{key.capitalize()}")) is not None:
            found[side] = exclusive + beyond
    return found


def _resolved(part: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Through references and ``X | None`` to the schema of the value itself."""
    if "$ref" in part:
        return _resolved(defs[part["$ref"].rpartition("/")[2]], defs)
    real = [option for option in part.get("anyOf", []) if option.get("type") != "null"]
    return _resolved(real[0], defs) if len(real) == 1 else part


def _marks(annotation: Any, metadata: list[Any]) -> set[object]:
    """The notes on a field, at whatever depth of its type they stand."""
    found = {mark for mark in metadata if mark in (HANDED_IN, POSITIONAL)}
    if typing.get_origin(annotation) is typing.Annotated:
        found |= _marks(None, list(annotation.__metadata__))
    for inner in typing.get_args(annotation):
        found |= _marks(inner, [])
    return found


def description_of(info: AppInfo) -> Description:
    """What an app takes; raises `AppFailed` for one whose code breaks."""
    if info.isolated:
        try:
            found = Description.model_validate(_ask(info, [], "", "described"))
        except ValidationError as wrong:
            place = ".".join(map(str, wrong.errors()[0]["loc"]))
            raise _failed(info, f"describes itself wrongly: {place}: {wrong.errors()[0]['msg']}") from None
    else:
        found = describe(load(info.package))
    return found.model_copy(update={"summary": info.manifest.summary})


def shown(info: AppInfo, result: Any) -> str:
    """A result, as the app returned it or in plain values, as the app itself shows it on a terminal."""
    if info.isolated:
        return str(_ask(info, ["show"], json.dumps(plain(result)), "shown"))
    app = load(info.package)
    return app.show(_revived(app, result))


def _ask(info: AppInfo, words: list[str], text: str, wanted: str) -> Any:
    """One answer of the child. Nothing of the folder the user is in gets in its way, nor of their environment."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    environment = {**kept, "PYTHONPATH": os.pathsep.join(map(str, info.path))}
    command = [sys.executable, "-P", "-m", "llmos.apps.system.describe", info.package, *words]
    try:
        ended = subprocess.run(
            command, input=text.encode(), env=environment, cwd="/", capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise AppFailed(f"{info.name} hangs when it is imported", hint=f"see {info.folder / 'app.py'}") from None
    try:
        answer = json.loads(ended.stdout)
        if "error" in answer:
            raise from_dict(answer["error"])
        return answer[wanted]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _failed(info, f"failed: {_last_words(ended)}") from None


def _last_words(ended: "subprocess.CompletedProcess[bytes]") -> str:
    """What the child said when it broke, or how it went."""
    lines = clean(ended.stderr.decode(errors="replace")).strip().splitlines()
    return lines[-1] if lines else f"it left with exit code {ended.returncode} when it was imported"


def _failed(info: AppInfo, how: str) -> AppFailed:
    return AppFailed(f"{info.name} {how}", hint=f"see {info.folder / 'app.py'}")


# -- inside the child --


def main() -> None:
    """Entry point of the child. What the app prints goes to standard error: the answer alone is ours."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        json.dump(_answer(sys.argv[1], show=sys.argv[2:] == ["show"]), answers)


def _answer(package: str, *, show: bool) -> dict[str, Any]:
    try:
        app = load(package)
        if show:
            return {"shown": app.show(_revived(app, json.load(sys.stdin.buffer)))}
        return {"described": describe(app).model_dump(mode="json")}
    except OSFault as fault:
        return {"error": fault.to_dict()}


def _revived(app: App, plain: Any) -> Any:
    """The result as ``main`` returned it, where its return type says what that was."""
    # Of the return type alone: the others may have names that only a type checker knows.
    said = types.SimpleNamespace(__annotations__={"return": app.main.__annotations__.get("return")})
    kind = typing.get_type_hints(said, vars(sys.modules[type(app).__module__]), dict(vars(type(app)))).get("return")
    is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
    return kind.model_validate(plain) if is_model and kind is not None and isinstance(plain, dict) else plain


if __name__ == "__main__":
    main()
