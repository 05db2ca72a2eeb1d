"""What is asked of a server, in the words that it understands. What it does not do is refused, never left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engine import Sampling
from ..faults import Refused
from ..shape import Shape
from .place import Place
from .sentences import sentences_grammar

_SAMPLES = ("llama-server", "vllm", "llmos")  # take more of how a token is drawn than OpenAI's protocol has
_GOES_ON = ("llama-server", "vllm", "ollama")  # let the last message be the beginning of the answer


@dataclass(frozen=True)
class Asked:
    """One answer to be written. Roles are those of chat completions."""

    messages: Sequence[tuple[str, str]]
    begin: str = ""  # of the answer
    most: int = 256
    sampling: Sampling = field(default_factory=Sampling)
    stops: Sequence[str] = ()
    shape: Shape = field(default_factory=Shape)


def body(place: Place, asked: Asked) -> dict[str, Any]:
    """The JSON of a request for a chat completion; raises `Refused`."""
    sampling = asked.sampling
    fields: dict[str, Any] = {
        "model": place.model, "messages": [_message(role, text) for role, text in asked.messages],
        "max_tokens": asked.most, "temperature": sampling.temperature, "top_p": sampling.top_p,
        "seed": sampling.seed, "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    if asked.stops:
        fields["stop"] = list(asked.stops)
    if asked.begin:
        fields["messages"].append({"role": "assistant", "content": asked.begin})
        fields |= _going_on(place)
    return fields | _drawn(place, sampling) | _shaped(place, asked.shape)


def _message(role: str, text: str) -> dict[str, str]:
    """Results of tools are data of the user's here: the role ``tool`` would want the numbers of calls."""
    return {"role": "user" if role == "tool" else role, "content": text}


def _going_on(place: Place) -> dict[str, Any]:
    if place.kind not in _GOES_ON:
        raise Refused(
            f"{place.name} cannot go on from the beginning of an answer ({place.kind})",
            hint="leave begin out, or use a local model",
        )
    return {"continue_final_message": True, "add_generation_prompt": False} if place.kind == "vllm" else {}


def _drawn(place: Place, sampling: Sampling) -> dict[str, Any]:
    if place.kind in _SAMPLES:
        name = "repetition_penalty" if place.kind == "vllm" else "repeat_penalty"
        ends = {} if sampling.ends else {"ignore_eos": True}
        return {"top_k": sampling.top_k, "min_p": sampling.min_p, name: sampling.repeat_penalty, **ends}
    if not sampling.ends or sampling.repeat_penalty != 1 or (sampling.temperature and sampling.min_p):
        raise Refused(
            f"{place.name} takes neither min_p, repeat_penalty nor an answer without end ({place.kind})",
            hint="leave them out, or use a local model",
        )
    return {}


def _shaped(place: Place, shape: Shape) -> dict[str, Any]:
    if shape.schema is not None:
        named = {"name": "answer", "strict": True, "schema": shape.schema}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    grammar = shape.grammar
    if shape.sentences is not None:
        one = shape.sentences
        grammar = sentences_grammar(one.texts, one.least, one.most)
    if grammar is None:
        return {}
    if place.kind != "llama-server":
        raise Refused(
            f"{place.name} takes no grammar ({place.kind})", hint="give a json_schema instead, or use a local model"
        )
    return {"grammar": grammar}


def one_of(options: Sequence[str]) -> dict[str, Any]:
    """A schema that every server knows, for a choice among texts; see `chosen`."""
    return {
        "type": "object", "properties": {"option": {"type": "string", "enum": list(options)}},
        "required": ["option"], "additionalProperties": False,
    }  # fmt: skip


def chosen(text: str, options: Sequence[str]) -> int | None:
    """Which option an answer to `one_of` names; None where it names none."""
    try:
        return options.index(json.loads(text)["option"])
    except (ValueError, KeyError, TypeError):
        return None
