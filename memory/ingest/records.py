"""JSON Lines and JSON: a record becomes "name: value" lines. JSON Lines are streamed."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from .blocks import Block, Document, Refused
from .plain import lines

RECORD = 2**22  # characters of one record
_TITLES = ("title", "name", "heading", "subject")
_DEEPEST = 50
_HEADING = 200


def read_lines(document: Document) -> Iterator[Block]:
    """A block for each line; lines that are no JSON are counted in a note, and the file is refused if none is."""
    bad: list[int] = []
    good = False
    for number, line in _whole(document):
        try:
            value = _parsed(line)
        except (ValueError, RecursionError):
            bad.append(number)
            continue
        good = True
        yield from _block(value, {"line": number})
    if bad and not good:
        raise Refused("damaged", f"no JSON Lines: line {bad[0]} is no JSON", "name it .txt to have it read as text")
    if bad:
        document.notes.append(f"{len(bad)} lines are no JSON and were left out, the first is line {bad[0]}")


def read_whole(document: Document) -> Iterator[Block]:
    """A block for each element of a list; else one for all."""
    try:
        value = _parsed(document.file.read().decode(document.encoding))
    except (ValueError, RecursionError) as problem:
        line = str(problem).splitlines()[0]
        raise Refused("damaged", f"no JSON: {line}", "name it .txt to have it read as text") from None
    records = value if isinstance(value, list) else [value]
    for number, record in enumerate(records, 1):
        yield from _block(record, {"record": number} if isinstance(value, list) else {})


def _parsed(text: str) -> Any:
    """Its numbers stay as they are written, however long."""
    return json.loads(text, parse_int=str, parse_float=str)


def _whole(document: Document) -> Iterator[tuple[int, str]]:
    """Lines put together again, those without an end refused."""
    held, number = "", 1
    for at, part in lines(document):
        if at != number and held:
            yield number, held
            held = ""
        number, held = at, held + part
        if len(held) > RECORD:
            raise Refused("damaged", f"line {at} has more than {RECORD:,} characters", "is it JSON Lines?")
    if held:
        yield number, held


def _block(value: Any, where: dict[str, int]) -> Iterable[Block]:
    heading: tuple[str, ...] = ()
    if isinstance(value, dict):
        title = next((value[key] for key in _TITLES if isinstance(value.get(key), str) and value[key].strip()), "")
        heading = (" ".join(title.split())[:_HEADING],) if title else ()
    text = "\n".join(_flat(value, "", 0))
    return [Block(text, heading, where, record=True)] if text.strip() else []


def _flat(value: Any, name: str, depth: int) -> Iterator[str]:
    """ "name: value" of all that is in it, names of nested values joined with dots."""
    if isinstance(value, dict) and depth < _DEEPEST:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list) and depth < _DEEPEST:
        if all(not isinstance(inner, dict | list) for inner in value):
            yield from _flat(", ".join(_said(inner) for inner in value), name, depth)
        else:
            for inner in value:
                yield from _flat(inner, name, depth + 1)
    elif said := _said(value):
        yield f"{name}: {said}" if name else said


def _said(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
