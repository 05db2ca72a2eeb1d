"""Text: generate, choose, embed, count."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..kernel.cores.core import Core, Prompt, Writing
from ..kernel.errors import BadInput, LimitExceeded
from ..memory.context import Plan
from ..memory.pages import Page
from ..models.engine import Chance, Sampling
from ..models.shape import Sentences, Shape
from . import calls as c
from .context import add_all, best_pages, record

if TYPE_CHECKING:
    from .gate import Call


async def generate(call: Call, request: c.Generate) -> c.Generated:
    """Build the prompt from the context, let the engine write, keep what is to be kept."""
    process = call.process
    reserve = min(request.max_tokens, process.core.window // 2)
    back = await best_pages(call, _query(request), request.recall) if request.recall and request.use_context else []
    prompt, plan = _prompt(call, request, reserve, back) if request.raw is None else (_raw(call, request), None)
    process.usage.tokens_in += prompt.size
    core = call.machine.cores.settle(process, prompt, call.machine.table.living)
    how = Writing(
        request.max_tokens, _sampling(call, request), _shape(request), request.stop, _sink(call, request.show),
        ignore_end=request.ignore_end, top=request.top,
    )  # fmt: skip
    written = await core.write(process, prompt, how)
    process.usage.tokens_out += written.size
    if plan is not None:
        process.context.apply(plan)
    if request.keep:
        asked = [] if request.prompt is None else [("user", request.prompt)]
        said = [(message.role, message.text) for message in request.messages]
        add_all(process, [*said, *asked, ("assistant", request.begin + written.text)])
    record(call)
    return c.Generated(
        text=written.text, finish=written.finish, stopped=written.stopped, tokens_in=prompt.size,
        tokens_reused=written.reused, tokens_out=written.size, first_token_s=written.first_token_s,
        seconds=written.seconds, tokens=written.tokens, chances=[_chance(chance, core) for chance in written.chances],
    )  # fmt: skip


async def choose(call: Call, request: c.Choose) -> c.Chosen:
    """Score every option after the same prompt; ties go to the earlier one."""
    core, options = call.process.core, request.options
    if not all(options):
        raise BadInput("an option is empty", hint="give at least one character each")
    prompt, plan = _prompt(call, request, max(core.count(option) for option in options))
    call.process.usage.tokens_in += prompt.size
    core = call.machine.cores.settle(call.process, prompt, call.machine.table.living)
    judged = await core.choose(call.process, prompt, options, normalise=request.normalise)
    if plan is not None:
        call.process.context.apply(plan)
        record(call)
    return c.Chosen(index=judged.best, option=options[judged.best], scores=judged.scores, tokens_in=prompt.size)


async def embed(call: Call, request: c.Embed) -> c.Embedded:
    """Vectors by the machine's embedder."""
    embedder = call.machine.parts.embedder
    vectors = await call.machine.worker(embedder.embed, request.texts)
    return c.Embedded(vectors=vectors.tolist(), embedder=embedder.name)


async def count(call: Call, request: c.Count) -> c.Counted:
    """Tokens of the text, control tokens read as plain text."""
    core = call.process.core
    return c.Counted(tokens=(await core.counted([request.text]))[0], window=core.window)


async def count_each(call: Call, request: c.CountEach) -> c.CountedEach:
    """As `count`, for each."""
    core = call.process.core
    return c.CountedEach(tokens=await core.counted(request.texts), window=core.window)


def _query(request: c.Generate) -> str:
    """What is asked: the prompt, or else the last message."""
    return request.prompt or (request.messages[-1].text if request.messages else "")


def _prompt(
    call: Call, request: c.Generate | c.Choose, reserve: int, back: Sequence[Page] = ()
) -> tuple[Prompt, Plan | None]:
    """What the model is shown, and what is to move in the context once the call has come to its end."""
    process, core = call.process, call.process.core
    extra = [(m.role, m.text) for m in request.messages]
    if request.prompt is not None:
        extra.append(("user", request.prompt))
    begin = core.count(request.begin) if request.begin else 0
    plan = process.context.plan(reserve + begin, extra, back) if request.use_context else None
    messages = extra if plan is None else plan.messages
    if not messages:
        raise BadInput("there is nothing to go on from", hint="give a prompt, messages, or add to the context first")
    process.usage.shown = max(process.usage.shown, len(messages))
    return _fitting(core, core.prompt(messages, request.begin)), plan


def _raw(call: Call, request: c.Generate) -> Prompt:
    """A text to go on from; it is all that the model sees."""
    if request.prompt is not None or request.messages or request.recall or request.keep:
        raise BadInput("raw excludes prompt, messages, recall and keep", hint="put all of it into the one text")
    core = call.process.core
    prompt = core.raw(f"{request.raw}{request.begin}")
    if not prompt.size:
        raise BadInput("there is nothing to go on from", hint="give at least one character")
    return _fitting(core, prompt)


def _fitting(core: Core, prompt: Prompt) -> Prompt:
    """The prompt; raises `LimitExceeded` with the counts where it leaves no room for a token."""
    if prompt.size >= core.window:
        raise LimitExceeded(
            f"a prompt of {prompt.size} tokens does not fit into a window of {core.window}",
            hint=f"shorten it by at least {prompt.size - core.window + 1} tokens",
            tokens=prompt.size, window=core.window,
        )  # fmt: skip
    return prompt


def _chance(chance: Chance, core: Core) -> c.Chance:
    """In plain values; a token may be a part of a character, so its bytes go with it."""
    piece = core.piece
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


def _shape(request: c.Generate) -> Shape:
    given = [x for x in (request.grammar, request.json_schema, request.spans) if x is not None]
    if len(given) > 1:
        raise BadInput("grammar, json_schema and spans exclude one another", hint="give one of them")
    sentences = None if request.spans is None else _sentences(request.spans)
    return Shape(request.grammar, request.json_schema, sentences)


def _sentences(spans: c.Sentences) -> Sentences:
    texts = tuple(" ".join(text.split()) for text in spans.texts)
    if not all(texts) or spans.least > min(spans.most, len(texts)):
        raise BadInput("spans need texts with words in them, and least <= most <= their number")
    return Sentences(texts, spans.least, spans.most)


def _sink(call: Call, show: bool) -> Callable[[str], None] | None:
    if not show:
        return call.on_text
    also, write = call.on_text, call.process.output.write

    def both(text: str) -> None:
        write(text)
        if also is not None:
            also(text)

    return both
