import ctypes
import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import pytest
from llmos.models import grammar
from llmos.models.digits import Bounds, integer, number
from llmos.models.faults import BadGrammar
from llmos.models.grammar import CallSpec
from pydantic import BaseModel, Field

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|\{\d+(?:,\d*)?\}|[a-zA-Z0-9-]+|[()|*?+])')
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}
_LETTERS = "aZ09 {}[],:/'é漢😀-"


def _characters(body: str) -> Iterator[str]:
    """Characters of a literal or a class, escapes resolved."""
    at = 0
    while at < len(body):
        width = {"x": 4, "u": 6, "U": 10}.get(body[at + 1], 2) if body[at] == "\\" else 1
        piece = body[at : at + width]
        yield chr(int(piece[2:], 16)) if width > 2 else _NAMED.get(piece[-1], piece[-1]) if width == 2 else piece
        at += width


class Walker:
    """A small interpreter of GBNF: writes random texts that a grammar accepts."""

    def __init__(self, text: str, seed: int = 0) -> None:
        self.dice = random.Random(seed)
        self.rules = {}
        for line in text.splitlines():
            name, body = line.split(" ::= ", 1)
            self.tokens = _TOKEN.findall(body)
            assert not _TOKEN.sub("", body).strip(), f"not GBNF: {body}"
            self.rules[name] = self._alternatives()
            assert not self.tokens, f"left over in {line!r}"

    def _alternatives(self) -> Any:
        options: list[list[Any]] = [[]]
        while self.tokens and self.tokens[0] != ")":
            token = self.tokens.pop(0)
            if token == "|":
                options.append([])
                continue
            item: Any = ("token", token)
            if token == "(":
                item = self._alternatives()
                assert self.tokens.pop(0) == ")"
            if self.tokens and self.tokens[0][0] in "*?+{":
                item = ("repeat", item, self._times(self.tokens.pop(0)))
            options[-1].append(item)
        return ("either", options)

    def _times(self, token: str) -> tuple[int, int]:
        if token[0] != "{":
            return {"*": (0, 3), "?": (0, 1), "+": (1, 4)}[token]
        least, _, most = token[1:-1].partition(",")
        return int(least), int(most) if most else int(least) + ("," in token) * 3

    def write(self, node: Any = None) -> str:
        match node or ("token", "root"):
            case ("either", options):
                return "".join(map(self.write, self.dice.choice(options)))
            case ("repeat", item, (least, most)):
                times = self.dice.choice([least, self.dice.randint(least, min(most, least + 4))])
                return "".join(self.write(item) for _ in range(times))
            case ("token", token):
                if token[0] == '"':
                    return "".join(_characters(token[1:-1]))
                return self._one_of(token[1:-1]) if token[0] == "[" else self.write(self.rules[token])
        raise AssertionError(node)

    def _one_of(self, body: str) -> str:
        negated = body.startswith("^")
        listed = list(_characters(body[negated:]))
        spans = []
        while listed:
            first = listed.pop(0)
            is_span = len(listed) > 1 and listed[0] == "-"
            spans.append((first, listed[1] if is_span else first))
            del listed[: 2 * is_span]
        if negated:
            return self.dice.choice([c for c in _LETTERS if not any(a <= c <= b for a, b in spans)])
        low, high = self.dice.choice(spans)
        return chr(self.dice.randint(ord(low), ord(high)))


def _walks(text: str, count: int) -> list[str]:
    walker = Walker(text)
    return [walker.write() for _ in range(count)]


class Colour(Enum):
    RED = "red"
    BLUE = 'blue "sky"'


class Item(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=12)]
    price: Annotated[float, Field(ge=0, lt=1000)]
    colour: Colour | None = None
    tags: Annotated[list[str], Field(max_length=3)] = []


class Tree(BaseModel):
    value: int
    children: list["Tree"] = []


class Chain(BaseModel):
    next: "Chain | None"


class Everything(BaseModel):
    items: Annotated[list[Item], Field(min_length=1, max_length=2)]
    pair: tuple[int, str]
    kind: Literal["a", "b", 3]
    when: date | datetime | time
    key: UUID
    counts: dict[str, int]
    anything: Any
    flag: bool = False
    tree: Tree | None = None
    small: Annotated[int, Field(gt=-17, le=1203)] = 0
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    path: Path = Path()


class Bill(BaseModel):
    total: Annotated[Decimal, Field(ge=0, le=500)]
    rebate: Decimal | None = None
    word: str | float = ""


@pytest.mark.parametrize("model", [Item, Tree, Chain, Everything, Bill])
def test_all_that_a_model_s_grammar_lets_through_is_valid(model: type[BaseModel]) -> None:
    judge = jsonschema.Draft202012Validator(model.model_json_schema())
    shapes = set()
    for text in _walks(grammar.from_model(model), 200):
        value = json.loads(text)
        judge.validate(value)
        model.model_validate_json(text)
        shapes.add(text)
    assert len(shapes) > 3


def test_of_a_number_or_any_string_the_number_is_written() -> None:
    """As pydantic writes a Decimal; its older versions add a pattern, which no grammar follows."""
    string = {"type": "string", "pattern": r"^\d+$", "title": "As text"}
    decimal: dict[str, Any] = {"anyOf": [{"type": "number", "minimum": 2}, string, {"type": "null"}]}
    found = [json.loads(text) for text in _walks(grammar.from_schema(decimal), 100)]
    assert {type(value) for value in found} == {int, float, type(None)}
    with pytest.raises(BadGrammar, match="pattern"):
        grammar.from_schema({"anyOf": [{"type": "integer"}, string]})


@pytest.mark.parametrize("kinds", [["string", "number"], ["integer", "string"]])
def test_a_string_that_was_asked_for_by_itself_stays(kinds: list[str]) -> None:
    text = grammar.from_schema({"anyOf": [{"type": kind} for kind in kinds]})
    assert any(written.startswith('"') for written in _walks(text, 50))


SCHEMAS: list[dict[str, Any]] = [
    {"type": "string"},
    {"type": "string", "minLength": 2, "maxLength": 3},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
    {"type": "array", "maxItems": 0},
    {"items": {"type": "integer", "exclusiveMaximum": 5, "minimum": 2}},
    {"type": "object", "properties": {}, "additionalProperties": False},
    {"type": "object", "properties": {'a "b"\n': {"const": {"x": [1, None]}}, "c": {}}, "required": ["c"]},
    {"type": "object", "additionalProperties": {"type": "number"}},
    {"type": ["string", "null", "integer"]},
    {"enum": ["ä", 1.5, None, [True]]},
    {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"enum": [1]}}},
    {"allOf": [{"type": "integer", "minimum": 10, "maximum": 20}], "description": "one"},
    {"type": "object", "properties": {"n": {"$ref": "#"}, "m": {"type": "null"}}},
    {"type": "object", "properties": {"a": False, "b": True}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_all_that_a_schema_s_grammar_lets_through_is_valid(schema: dict[str, Any]) -> None:
    judge = jsonschema.Draft202012Validator(schema)
    for text in _walks(grammar.from_schema(schema), 200):
        judge.validate(json.loads(text))


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string", "pattern": "a+"}, "pattern"),
        ({"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}}, "'value-x' uses uniqueItems"),
        ({"type": "string", "format": "email"}, "format 'email'"),
        ({"type": "integer", "multipleOf": 3}, "multipleOf"),
        ({"type": "number", "exclusiveMinimum": True}, "bounds must be numbers"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, r"no whole number lies within \[3, 2\]"),
        ({"allOf": [{"type": "string"}, {"maxLength": 3}]}, "allOf of several"),
        ({"not": {}}, "uses not"),
        ({"type": "any"}, "type 'any'"),
        ({"$ref": "other.json#/x"}, "ref to 'other.json#/x'"),
        ({"$ref": "#/$defs/none"}, "ref to '#/\\$defs/none'"),
        ({"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"]}, "contains itself without end"),
        ({"type": "object", "properties": {}, "required": ["n"]}, r"required \['n'\] has no schema"),
        ({"type": "array", "items": {}, "maxItems": 5000}, "5000 items"),
    ],
)
def test_names_what_it_cannot_follow(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadGrammar, match=reason) as caught:
        grammar.from_schema(schema)
    assert caught.value.hint


def _matches(expression: str) -> Callable[[str], bool]:
    """GBNF of digits, read as a regular expression."""
    pattern = re.compile(re.sub(r'"([^"]*)"', lambda m: re.escape(m[1]), expression).replace(" ", ""))
    return lambda text: pattern.fullmatch(text) is not None


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (0, 9), (7, 23), (-5, 5), (-120, -8), (99, 1001), (-1, 100), (38, 412)]
)
def test_whole_numbers_within_bounds_exactly(low: int, high: int) -> None:
    fits = _matches(integer(Bounds(low, high)))
    inside = _matches(integer(Bounds(low - 1, high + 1, True, True)))
    for value in range(-1100, 1100):
        assert fits(str(value)) == (low <= value <= high)
        assert inside(str(value)) == (low <= value <= high)
    assert not fits("-0")
    assert not fits("007")


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(0, 1),
        Bounds(0, 1, True, True),
        Bounds(-2, 3, False, True),
        Bounds(-1.5, 2.5),
        Bounds(-4, -2, True, True),
        Bounds(-1, 0, False, True),
    ],
)
def test_numbers_stay_within_bounds(bounds: Bounds) -> None:
    fits = _matches(number(bounds))
    accepted = 0
    for hundredths in range(-500, 501):
        for text in {f"{hundredths / 100:.2f}", f"{hundredths / 100:g}"}:
            value = float(text)
            inside = bounds.low <= value <= bounds.high
            inside &= not (bounds.open_low and value == bounds.low) and not (bounds.open_high and value == bounds.high)
            assert inside or not fits(text), text
            accepted += fits(text)
    assert accepted > 50


def test_literals_are_escaped() -> None:
    texts = ['"', "\\", "a\nb\r\t", "\x01\x7f", "[x]", "ä漢😀", "{}", "(|)", '\\"', " ::= "]
    for text in texts:
        assert _walks(f"root ::= {grammar.literal(text)}", 1) == [text]
    assert set(_walks(grammar.one_of(texts), 300)) == set(texts)
    with pytest.raises(BadGrammar, match="no model can write"):
        grammar.literal("a\0")


@pytest.mark.parametrize(("least", "most"), [(1, 1), (1, 3), (2, 3), (4, 4), (1, 9)])
def test_sentences_in_order_and_none_twice(least: int, most: int) -> None:
    texts = ["One.", "Two!", "One. Two.", 'Three "3".']
    expected = {
        " ".join(t for i, t in enumerate(texts) if chosen >> i & 1)
        for chosen in range(16)
        if least <= chosen.bit_count() <= most
    }
    assert set(_walks(grammar.sentences(texts, least, most), 600)) == expected


@pytest.mark.parametrize("arguments", [([], 1, 1), (["a", ""], 1, 1), (["a"], 2, 2), (["a", "a"], 2, 2), (["a"], 0, 1)])
def test_impossible_sentences(arguments: tuple[list[str], int, int]) -> None:
    with pytest.raises(BadGrammar):
        grammar.sentences(*arguments)


CALLS = [
    CallSpec("recall", "find", Everything.model_json_schema()),
    CallSpec("file.read", "read", {"type": "object", "properties": {"p": {"type": "string"}}, "required": ["p"]}),
    CallSpec("now", "the time", {"type": "object", "properties": {}}),
]


def test_calls_have_their_own_arguments() -> None:
    judges = {c.name: jsonschema.Draft202012Validator(c.schema) for c in CALLS}
    seen = set()
    for text in _walks(grammar.from_calls(CALLS), 200):
        step = json.loads(text)
        assert list(step) == ["call", "args"]
        judges[step["call"]].validate(step["args"])
        seen.add(step["call"])
    assert seen == set(judges)
    with pytest.raises(BadGrammar, match="no call"):
        grammar.from_calls([])


class Judge:
    """llama.cpp's own grammar sampler over the embedded model's vocabulary."""

    def __init__(self, path: Path) -> None:
        import llama_cpp
        import numpy as np

        self.lib, self.np = llama_cpp, np
        parameters = llama_cpp.llama_model_default_params()
        parameters.vocab_only = True
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)

    def accepts(self, text: str, constraint: str) -> bool:
        sampler = self.lib.llama_sampler_init_grammar(self.vocab, constraint.encode(), b"root")
        assert sampler, constraint
        try:
            for token in self._tokens(text):
                if not self._allowed(sampler, token):
                    return False
                self.lib.llama_sampler_accept(sampler, token)
            return self._allowed(sampler, self.lib.llama_vocab_eos(self.vocab))
        finally:
            self.lib.llama_sampler_free(sampler)

    def _tokens(self, text: str) -> list[int]:
        data = text.encode()
        buffer = (self.lib.llama_token * (len(data) + 8))()
        return list(buffer[: self.lib.llama_tokenize(self.vocab, data, len(data), buffer, len(buffer), False, False)])

    def _allowed(self, sampler: Any, token: int) -> bool:
        one = self.lib.llama_token_data(token, 0.0, 0.0)
        array = self.lib.llama_token_data_array(ctypes.pointer(one), 1, -1, False)
        self.lib.llama_sampler_apply(sampler, ctypes.byref(array))
        return bool(self.np.isfinite(one.logit))


@pytest.fixture(scope="module")
def judge(embedded: Path) -> Judge:
    return Judge(embedded)


@pytest.mark.model
def test_llama_cpp_reads_the_grammars_as_we_do(judge: Judge) -> None:
    texts = ["A b.", 'Say "c".', "x\\y\n"]
    grammars = [
        *(grammar.from_schema(s) for s in SCHEMAS),
        *(grammar.from_model(m) for m in (Item, Tree, Chain, Everything)),
        grammar.from_calls(CALLS),
        grammar.one_of(texts),
        grammar.sentences(texts, 1, 2),
        grammar.from_schema({"type": "string", "minLength": 3, "maxLength": 5000}),
    ]
    for text in grammars:
        for walk in _walks(text, 10):
            assert judge.accepts(walk, text), (walk, text)


@pytest.mark.model
@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        ({"type": "string"}, '"a\\nb"', '"a\nb"'),
        ({"type": "string"}, '""', '"a" '),
        ({"type": "string", "maxLength": 3000}, f'"{"ab" * 1400}"', f'"{"ab" * 1501}"'),
        ({"type": "integer", "maximum": 12}, "12", "13"),
        ({"type": "object", "properties": {"a": {"type": "null"}}}, '{"a":null}', '{"a": null}'),
        ({"type": "array", "items": {"const": 1}, "maxItems": 2}, "[1,1]", "[1,1,1]"),
        ({"type": "string", "format": "date"}, '"2024-02-29"', '"2023-02-29"'),
        ({"type": "string", "format": "date"}, '"2000-02-29"', '"1900-02-29"'),
    ],
)
def test_llama_cpp_refuses_what_the_schema_refuses(judge: Judge, schema: dict[str, Any], yes: str, no: str) -> None:
    text = grammar.from_schema(schema)
    assert judge.accepts(yes, text)
    assert not judge.accepts(no, text)
