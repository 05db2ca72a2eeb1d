"""Grammars (GBNF) that bind what a model may write: choices, sentences, JSON by schema, system calls.

Every function returns a whole grammar with the rule ``root``, except `literal`, which returns an expression.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .faults import BadGrammar
from .gbnf import Rules, literal
from .schemas import Schema, SchemaRules

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["CallSpec", "from_calls", "from_model", "from_schema", "literal", "one_of", "sentences"]


@dataclass(frozen=True)
class CallSpec:
    """A call that a model may spell: its name, what it does in a sentence, and the JSON Schema of its arguments."""

    name: str
    description: str
    schema: Schema


def one_of(texts: Sequence[str]) -> str:
    """Just one of the texts."""
    return Rules().text(" | ".join(literal(t) for t in _distinct(texts)))


def sentences(texts: Sequence[str], least: int = 1, most: int = 3) -> str:
    """From ``least`` to ``most`` of the texts in their order, none twice, a space between them."""
    distinct = _distinct(texts)
    count = len(distinct)
    if not 1 <= least <= most or least > count:
        raise BadGrammar(f"cannot take {least} to {most} of {count} sentences", hint="correct the numbers")
    rules = Rules()
    names = [rules.add(f"s{i}", literal(text)) for i, text in enumerate(distinct)]
    # pick[taken] begins with one of the sentences from i on; it is None where too few of them are left.
    pick: list[str | None] = [None] * (most + 1)
    for i in reversed(range(count)):
        now: list[str | None] = [None] * (most + 1)
        for taken in range(most):
            further = pick[taken + 1]
            ends, goes_on = taken + 1 >= least, further is not None
            tail = f' (" " {further})' + "?" * ends if goes_on else ""
            options = [names[i] + tail] if ends or goes_on else []
            options += [skipped] if (skipped := pick[taken]) else []
            now[taken] = rules.add(f"from-{i}-{taken}", " | ".join(options)) if options else None
        pick = now
    return rules.text(pick[0] or "")


def from_schema(schema: Schema) -> str:
    """JSON that the schema accepts; raises `BadGrammar` naming a keyword that it cannot follow."""
    rules = Rules()
    return rules.text(SchemaRules(rules).add(schema))


def from_model(model: type[BaseModel]) -> str:
    """JSON that the pydantic model accepts."""
    return from_schema(model.model_json_schema())


def from_calls(calls: Sequence[CallSpec], keys: tuple[str, str] = ("call", "args")) -> str:
    """One step of the instruction cycle: ``{"call":NAME,"args":{...}}`` with the arguments of just that call."""
    if not calls:
        raise BadGrammar("there is no call to choose", hint="grant the process a right")
    rules = Rules()
    schemas = SchemaRules(rules)
    options = []
    for call in calls:
        head = literal(f'{{"{keys[0]}":{json.dumps(call.name)},"{keys[1]}":')
        options.append(rules.add(f"call-{call.name}", f'{head} {schemas.add(call.schema, call.name)} "}}"'))
    return rules.text(" | ".join(options))


def _distinct(texts: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(texts))
    if not distinct or "" in distinct:
        raise BadGrammar("a choice needs at least one text, and none may be empty", hint="leave empty texts out")
    return distinct
