"""From JSON Schema to grammar. What the grammar lets through is JSON that the schema accepts.

The other way round it is narrower, so that a small model cannot lose itself: no whitespace, properties in the
schema's order, no exponents, recursion to a fixed depth, of "number or string" (pydantic's Decimal) the number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .digits import Bounds, integer, number
from .faults import BadGrammar
from .gbnf import Rules, literal, repeated

Schema = Mapping[str, Any]

_DEPTH = 3  # how often a definition may contain itself
_ANY_DEPTH = 2  # nesting of values that the schema says nothing about
_BLOCK = 256  # llama.cpp refuses long repetitions, so long strings are made of blocks
_LONGEST = 1024

_NOTES = {
    "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "discriminator",
    "$schema", "$id", "$comment", "$defs", "definitions",
}  # fmt: skip
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_KEYWORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "format"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"},
    "boolean": set[str](),
    "null": set[str](),
}
_CHARACTER = r'[^"\\\x00-\x1F\x7F\uD800-\uDFFF] | "\\" ["\\/bfnrt]'
_LEAP = '[12] [0-9] ("0" [48] | [2468] [048] | [13579] [26]) | ("12" | "16" | "20" | "24" | "28") "00"'
_DAYS = (
    '"-" (("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])'
    ' | ("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))'
)


class SchemaRules:
    """Adds the rules for schemas to a grammar. An expression of None means that no value is possible."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._root: Schema = {}
        self._path: dict[str, int] = {}  # definitions that the walk is inside of, and how often

    def add(self, schema: Schema, name: str = "value") -> str:
        """The rule for a whole schema; raises `BadGrammar` naming the keyword that is not supported."""
        self._root, self._path = schema, {}
        rule = self._value(schema, name)
        if rule is None:
            raise BadGrammar(f"the schema of {name!r} contains itself without end", hint="make the inner part optional")
        return rule

    def _value(self, schema: Schema | bool, name: str) -> str | None:
        if schema is False:
            return None
        if schema is True or not set(schema) - _NOTES:
            return self._any(_ANY_DEPTH)
        if "$ref" in schema:
            return self._reference(schema, name)
        if "const" in schema or "enum" in schema:
            self._only(schema, name, {"const", "enum", "type"})
            values = [schema["const"]] if "const" in schema else schema["enum"]
            return self._either(name, [literal(_json(v)) for v in values])
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema:
                self._only(schema, name, {keyword})
                if keyword == "allOf" and len(schema[keyword]) > 1:
                    raise _unsupported("allOf of several schemas", name)
                options = _without_twins(schema[keyword]) if keyword == "anyOf" else schema[keyword]
                return self._either(name, [self._value(s, f"{name}-{i}") for i, s in enumerate(options)])
        kinds = schema.get("type", _guess(schema))
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if any(k not in _TYPES for k in kinds):
            raise _unsupported(f"type {schema['type']!r}", name)
        self._only(schema, name, {"type"}.union(*(_KEYWORDS[k] for k in kinds)) if kinds else set())
        return self._either(name, [self._typed(kind, schema, name) for kind in kinds])

    def _typed(self, kind: str, schema: Schema, name: str) -> str | None:
        match kind:
            case "object":
                return self._object(schema, name)
            case "array":
                return self._array(schema, name)
            case "string":
                return self._string(schema, name)
            case "integer":
                return self._rules.add("integer", integer(_bounds(schema)))
            case "number":
                return self._rules.add("number", number(_bounds(schema)))
            case "boolean":
                return self._rules.add("boolean", '"true" | "false"')
        return '"null"'

    def _either(self, name: str, options: Sequence[str | None]) -> str | None:
        possible = list(dict.fromkeys(o for o in options if o is not None))
        return possible[0] if len(possible) == 1 else self._rules.add(name, " | ".join(possible)) if possible else None

    def _reference(self, schema: Schema, name: str) -> str | None:
        """A definition by its path. Inside of itself it is unrolled, `_DEPTH` times at most."""
        self._only(schema, name, {"$ref"})
        path: str = schema["$ref"]
        target: Any = self._root
        for step in path.removeprefix("#").strip("/").split("/") if path != "#" else []:
            target = target.get(step) if isinstance(target, Mapping) else None
        if not path.startswith("#") or not isinstance(target, Mapping):
            raise _unsupported(f"$ref to {path!r}", name)
        depth = self._path.get(path, 0)
        if depth > _DEPTH:
            return None
        self._path[path] = depth + 1
        rule = self._value(target, path.rsplit("/", 1)[-1])
        self._path[path] = depth
        return rule

    # -- containers --

    def _object(self, schema: Schema, name: str) -> str | None:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = set(schema.get("required", ()))
        if required - set(properties):
            raise BadGrammar(f"{name}: required {sorted(required - set(properties))} has no schema", hint="describe it")
        if "properties" not in schema:
            return self._map(schema.get("additionalProperties", True), name)
        # From the last to the first: what may follow when something stands before it, and when nothing does.
        after, begin = '"}"', '"}"'
        for key, inner in reversed(list(properties.items())):
            value = self._value(inner, f"{name}-{key}")
            if value is None and key in required:
                return None
            if value is None:
                continue
            pair = f"{literal(_json(key) + ':')} {value}"
            optional = key not in required
            begin = self._rules.add(f"{name}-from-{key}", f"{pair} {after}" + (f" | {begin}" if optional else ""))
            after = self._rules.add(f"{name}-then-{key}", f'"," {pair} {after}' + (f" | {after}" if optional else ""))
        return self._rules.add(name, f'"{{" {begin}')

    def _map(self, inner: Schema | bool, name: str) -> str | None:
        """An object with any keys."""
        value = self._any(_ANY_DEPTH - 1) if inner is True else self._value(inner, f"{name}-value")
        if value is None:
            return '"{}"'
        pair = self._rules.add(f"{name}-pair", f'{self._string({}, name)} ":" {value}')
        return self._rules.add(name, f'"{{" ({pair} ("," {pair})*)? "}}"')

    def _array(self, schema: Schema, name: str) -> str | None:
        least, most = int(schema.get("minItems", 0)), schema.get("maxItems")
        first = [self._value(s, f"{name}-{i}") for i, s in enumerate(schema.get("prefixItems", ()))]
        if first:
            if ("items" in schema and schema["items"] is not False) or most not in (None, len(first)):
                raise _unsupported("items after prefixItems", name)
            if None in first:
                return None
            return self._rules.add(name, '"[" ' + ' "," '.join(f for f in first if f) + ' "]"')
        item = self._value(schema.get("items", True), f"{name}-item")
        if item is None or most == 0:
            return None if least else '"[]"'
        if (most is not None and (most < least or most > _LONGEST)) or least > _LONGEST:
            raise BadGrammar(f"{name}: {least} to {most} items", hint=f"at most {_LONGEST} can be asked for")
        more = repeated(f'("," {item})', max(least - 1, 0), None if most is None else most - 1)
        inner = f"{item} {more}"
        return self._rules.add(name, f'"[" {inner} "]"' if least else f'"[" ({inner})? "]"')

    def _any(self, depth: int) -> str:
        """Any JSON value, nested ``depth`` deep at most."""
        scalars = [self._typed(kind, {}, kind) for kind in _TYPES[2:] if kind != "integer"]
        options = [s for s in scalars if s is not None]
        if depth:
            value = self._any(depth - 1)
            pair = self._rules.add("any-pair", f'{self._string({}, "any")} ":" {value}')
            options.append(self._rules.add("any-object", f'"{{" ({pair} ("," {pair})*)? "}}"'))
            options.append(self._rules.add("any-array", f'"[" ({value} ("," {value})*)? "]"'))
        return self._rules.add("any", " | ".join(options))

    # -- strings --

    def _string(self, schema: Schema, name: str) -> str:
        form = schema.get("format")
        if form not in (None, "path", "password"):
            return self._formatted(form, name)
        character = self._rules.add("character", _CHARACTER)
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        if least > _LONGEST or (most is not None and most < least):
            raise BadGrammar(f"{name}: a string of {least} to {most} characters", hint="correct minLength, maxLength")
        if most is not None and most > _LONGEST:
            # Whole blocks, then less than a block: unlike one long repetition it keeps few states alive.
            block = self._rules.add("block", f"{character}{{{_BLOCK}}}")
            lead = f"{character}{{{least}}} " if least else ""
            blocks = (most - least + 1) // _BLOCK - 1
            body = f"{lead}{block}{{0,{blocks}}} {character}{{0,{_BLOCK - 1}}}"
        else:
            body = repeated(character, least, most)
        return self._rules.add("string", rf'"\"" {body} "\""')

    def _formatted(self, form: object, name: str) -> str:
        match form:
            case "date":
                body = self._date()
            case "time":
                body = f'{self._time()} "Z"'
            case "date-time":
                body = f'{self._date()} "T" {self._time()} "Z"'
            case "uuid":
                body = "[0-9a-f]{8}" + ' "-" [0-9a-f]{4}' * 3 + ' "-" [0-9a-f]{12}'
            case _:
                raise _unsupported(f"format {form!r}", name)
        return self._rules.add(str(form), rf'"\"" {body} "\""')

    def _date(self) -> str:
        return self._rules.add("day", f'[12] [0-9]{{3}} {_DAYS} | ({_LEAP}) "-02-29"')

    def _time(self) -> str:
        return self._rules.add("clock", '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9]')

    def _only(self, schema: Schema, name: str, known: set[str]) -> None:
        strange = set(schema) - known - _NOTES
        if strange:
            raise _unsupported(", ".join(sorted(strange)), name)


def _guess(schema: Schema) -> list[str]:
    """The type of a schema that does not say it: the one its keywords belong to."""
    return next(([kind] for kind in ("object", "array") if _KEYWORDS[kind] & set(schema)), [])


def _without_twins(options: Sequence[Schema | bool]) -> list[Schema | bool]:
    """Without each plain string that follows a number at once: so pydantic writes a Decimal.

    The string may be any as far as the schema says, but the Decimal refuses most. ``str | float`` keeps both.
    """
    kept: list[Schema | bool] = []
    after_number = False
    for option in options:
        kind = option.get("type") if isinstance(option, Mapping) else None
        plain = isinstance(option, Mapping) and set(option) <= {"type", "pattern"} | _NOTES
        if not (after_number and kind == "string" and plain):
            kept.append(option)
        after_number = kind == "number"
    return kept


def _bounds(schema: Schema) -> Bounds:
    wide = Bounds()
    lows = [(schema[k], k != "minimum") for k in ("minimum", "exclusiveMinimum") if k in schema]
    highs = [(schema[k], k == "maximum") for k in ("maximum", "exclusiveMaximum") if k in schema]
    if any(isinstance(bound, bool) or not isinstance(bound, int | float) for bound, _ in lows + highs):
        raise BadGrammar(f"bounds must be numbers: {dict(schema)}", hint="write exclusiveMinimum as a number")
    low, open_low = max(lows, default=(wide.low, False))
    high, closed_high = min(highs, default=(wide.high, True))
    return Bounds(low, high, open_low, not closed_high)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _unsupported(what: str, name: str) -> BadGrammar:
    return BadGrammar(f"the schema of {name!r} uses {what}, which no grammar is made for", hint="leave it out")
