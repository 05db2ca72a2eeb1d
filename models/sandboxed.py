"""Chat templates are programs from strangers: jinja2's sandbox, with limits on time and size.

The surroundings are those that templates are written for: blocks are trimmed, ``raise_exception``,
``strftime_now`` and ``tojson`` exist, ``{% generation %}`` may stand around an answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import date
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .faults import BadTemplate

_LONGEST = 2**18  # characters, of a source and of what it renders to: contents are not in it, only their places
_SECONDS = 2.0
_HINT = "name another template, or a model whose file has a sound one"

_MISUSE = (
    TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError, MemoryError,
)  # fmt: skip
"""What Python raises when a template misuses a value."""

Render = Callable[..., str]


class _Generation(Extension):
    """``{% generation %}...{% endgeneration %}`` marks what a model learns from; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 - the attribute is jinja2's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    """Looks at the clock at every call and every attribute, so that hardly a loop escapes it."""

    intercepted_binops = frozenset(["*", "**", "%"])  # what makes much out of little
    deadline = float("inf")

    def _check(self) -> None:
        if time.monotonic() > self.deadline:
            raise TemplateError(f"it takes more than {_SECONDS:g} s")

    def call(self, *args: Any, **named: Any) -> Any:
        self._check()
        return super().call(*args, **named)

    def getattr(self, obj: Any, attribute: str) -> Any:
        self._check()
        found = super().getattr(obj, attribute)
        if isinstance(found, str) and len(found) > _LONGEST:  # grown in a namespace, by doubling
            raise TemplateError(f"it makes more than {_LONGEST} characters")
        return found

    def getitem(self, obj: Any, argument: Any) -> Any:
        self._check()
        return super().getitem(obj, argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if not numbers or operator == "**" or max(abs(left), abs(right)) > 2**31:
            raise TemplateError(f"{operator!r} is for small numbers only")
        return super().call_binop(context, operator, left, right)


def compiled(source: str, today: date) -> Render:
    """A function that renders the template with the variables given; both raise `BadTemplate`."""
    if len(source) > _LONGEST:
        raise BadTemplate(f"the chat template has {len(source)} characters", hint=_HINT)
    environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": today.strftime}
    try:
        template = environment.from_string(source)
    except (TemplateError, RecursionError) as problem:
        raise BadTemplate(f"the chat template is no jinja: {problem}", hint=_HINT) from problem

    def render(**variables: object) -> str:
        environment.deadline = time.monotonic() + _SECONDS
        pieces, length = [], 0
        try:
            for piece in template.generate(**variables):
                pieces.append(piece)
                length += len(piece)
                if length > _LONGEST:
                    raise TemplateError(f"it makes more than {_LONGEST} characters")
        # A template can misuse any value: these are all the ways in which Python says so.
        except (
            TemplateError,
            TypeError,
            ValueError,
            LookupError,
            ArithmeticError,
            AttributeError,
            RecursionError,
        ) as e:
            raise BadTemplate(f"the chat template fails: {_line(e)}", hint=_HINT) from e
        return "".join(pieces)

    return render


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:200]


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise TemplateError(message)
