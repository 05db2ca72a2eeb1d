"""Text: generate, choose, embed, count."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..kernel.errors import BadInput, LimitExceeded
from ..memory.context import Plan
from ..memory.pages import Page
from ..models.engine import Chance, Constraint, Sampling
from ..models.grammar import from_schema
from ..models.spans import Spans
from . import calls as c
from .context import add_all, best_pages, record

if TYPE_CHECKING:
    from .gate import Call


async def generate(call: Call, request: c.Generate) -> c.Generated:
    """Build the prompt from the context, let the engine write, keep what is to be kept."""
    process, parts = call.process, call.machine.parts
    reserve = min(request.max_tokens, parts.engine.info.window // 2)
    back = await best_pages(call, _query(request), request.recall) if request.recall and request.use_context else []
    prompt, plan = _prompt(call, request, reserve, back) if request.raw is None else (_raw(call, request), None)
    process.usage.tokens_in += len(prompt)
    written = await call.machine.scheduler.write(
        process, prompt, most=request.max_tokens, sampling=_sampling(call, request),
        constraint=_constraint(call, request), stops=request.stop, on_text=_sink(call, request.show),
        ignore_end=request.ignore_end, top=request.top,
    )  # fmt: skip
    process.usage.tokens_out += len(written.tokens)
    if plan is not None:
        process.context.apply(plan)
    if request.keep:
        asked = [] if request.prompt is None else [("user", request.prompt)]
        said = [(message.role, message.text) for message in request.messages]
        add_all(process, [*said, *asked, ("assistant", request.begin + written.text)])
    record(call)
    return c.Generated(
        text=written.text, finish=written.finish, stopped=written.stopped, tokens_in=len(prompt),
        tokens_reused=written.reused, tokens_out=len(written.tokens), first_token_s=written.first_token_s,
        seconds=written.seconds, tokens=written.tokens,
        chances=[_chance(call, chance) for chance in written.chances],
    )  # fmt: skip


async def choose(call: Call, request: c.Choose) -> c.Chosen:
    """Score every option after the same prompt; ties go to the earlier one."""
    encode = call.machine.parts.prompts.encode
    options = [encode(option) for option in request.options]
    if not all(options):
        raise BadInput("an option is empty", hint="give at least one character each")
    prompt, plan = _prompt(call, request, max(len(o) for o in options))
    call.process.usage.tokens_in += len(prompt)
    scores = await call.machine.scheduler.score(call.process, prompt, options)
    if plan is not None:
        call.process.context.apply(plan)
        record(call)
    totals = [sum(s) / len(s) if request.normalise else sum(s) for s in scores]
    best = max(range(len(totals)), key=lambda i: (totals[i], -i))
    return c.Chosen(index=best, option=request.options[best], scores=totals, tokens_in=len(prompt))


async def embed(call: Call, request: c.Embed) -> c.Embedded:
    """Vectors by the machine's embedder."""
    embedder = call.machine.parts.embedder
    vectors = await call.machine.worker(embedder.embed, request.texts)
    return c.Embedded(vectors=vectors.tolist(), embedder=embedder.name)


async def count(call: Call, request: c.Count) -> c.Counted:
    """Tokens of the text, control tokens read as plain text."""
    parts = call.machine.parts
    return c.Counted(tokens=parts.prompts.count(request.text), window=parts.engine.info.window)


async def count_each(call: Call, request: c.CountEach) -> c.CountedEach:
    """As `count`, off the event loop."""
    parts = call.machine.parts
    tokens = await call.machine.worker(lambda: [parts.prompts.count(text) for text in request.texts])
    return c.CountedEach(tokens=tokens, window=parts.engine.info.window)


def _query(request: c.Generate) -> str:
    """What is asked: the prompt, or else the last message."""
    return request.prompt or (request.messages[-1].text if request.messages else "")


def _prompt(
    call: Call, request: c.Generate | c.Choose, reserve: int, back: Sequence[Page] = ()
) -> tuple[list[int], Plan | None]:
    """The tokens, and what is to move in the context once the call has come to its end."""
    parts, process = call.machine.parts, call.process
    extra = [(m.role, m.text) for m in request.messages]
    if request.prompt is not None:
        extra.append(("user", request.prompt))
    begin = parts.prompts.count(request.begin) if request.begin else 0
    plan = process.context.plan(reserve + begin, extra, back) if request.use_context else None
    messages = extra if plan is None else plan.messages
    if not messages:
        raise BadInput("there is nothing to go on from", hint="give a prompt, messages, or add to the context first")
    process.usage.shown = max(process.usage.shown, len(messages))
    return _fitting(call, parts.prompts.tokens(messages, request.begin)), plan


def _raw(call: Call, request: c.Generate) -> list[int]:
    """The tokens of a text to go on from; it is all that the model sees."""
    if request.prompt is not None or request.messages or request.recall or request.keep:
        raise BadInput("raw excludes prompt, messages, recall and keep", hint="put all of it into the one text")
    prompt = call.machine.parts.prompts.encode(f"{request.raw}{request.begin}")
    if not prompt:
        raise BadInput("there is nothing to go on from", hint="give at least one character")
    return _fitting(call, prompt)


def _fitting(call: Call, prompt: list[int]) -> list[int]:
    """The prompt; raises `LimitExceeded` with the counts where it leaves no room for a token."""
    window = call.machine.parts.engine.info.window
    if len(prompt) >= window:
        raise LimitExceeded(
            f"a prompt of {len(prompt)} tokens does not fit into a window of {window}",
            hint=f"shorten it by at least {len(prompt) - window + 1} tokens", tokens=len(prompt), window=window,
        )  # fmt: skip
    return prompt


def _chance(call: Call, chance: Chance) -> c.Chance:
    """In plain values; a token may be a part of a character, so its bytes go with it."""
    piece = call.machine.parts.engine.piece
    first = _likely(piece(chance.token), chance.logprob)
    return c.Chance(**first, top=[c.Likely(**_likely(piece(token), logprob)) for token, logprob in chance.top])


def _likely(piece: bytes, logprob: float) -> dict[str, Any]:
    return {"token": piece.decode(errors="replace"), "bytes": list(piece), "logprob": logprob}


def _sampling(call: Call, request: c.Generate) -> Sampling:
    seed, process = request.seed, call.process
    if seed is None:
        # From the process's own inputs only, so that the same run draws the same tokens whatever its pid.
        own = json.dumps([process.app, process.args, call.number], sort_keys=True, default=str)
        seed = zlib.crc32(own.encode())
    return Sampling(request.temperature, request.top_k, request.top_p, request.min_p, request.repeat_penalty, seed)


def _constraint(call: Call, request: c.Generate) -> Constraint | None:
    given = [x for x in (request.grammar, request.json_schema, request.spans) if x is not None]
    if len(given) > 1:
        raise BadInput("grammar, json_schema and spans exclude one another", hint="give one of them")
    if request.spans is not None:
        return _spans(call, request.spans)
    if request.json_schema is not None:
        return from_schema(request.json_schema)
    return request.grammar


def _spans(call: Call, sentences: c.Sentences) -> Spans:
    encode, end = call.machine.parts.prompts.encode, call.machine.parts.engine.info.end
    texts = [" ".join(t.split()) for t in sentences.texts]
    if not all(texts) or sentences.least > min(sentences.most, len(texts)):
        raise BadInput("spans need texts with words in them, and least <= most <= their number")
    first = tuple(tuple(encode(t)) for t in texts)
    later = tuple(tuple(encode(" " + t)) for t in texts)
    return Spans(first, later, end, sentences.least, sentences.most)


def _sink(call: Call, show: bool) -> Callable[[str], None] | None:
    if not show:
        return call.on_text
    also, write = call.on_text, call.process.output.write

    def both(text: str) -> None:
        write(text)
        if also is not None:
            also(text)

    return both
