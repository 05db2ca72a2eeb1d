"""Text: generate, choose, embed, count."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from .base import Reply, Request, Role


class Message(BaseModel):
    """One message of a conversation."""

    role: Role
    text: str


class Sentences(BaseModel):
    """An answer made of these texts only: from ``least`` to ``most`` of them, in this order, none twice."""

    texts: list[str] = Field(min_length=1, max_length=256)
    least: int = Field(1, ge=1)
    most: int = Field(1, ge=1)


class Generate(Request):
    """Let the model write. The prompt is the process's context, then ``messages``, then ``prompt``."""

    prompt: str | None = Field(None, description="a user message after the context")
    messages: list[Message] = Field([], description="messages between the context and the prompt, not kept")
    raw: str | None = Field(None, description="text to go on from as it stands: no context, messages or template")
    use_context: bool = Field(True, description="false: leave the process's context out")
    recall: int = Field(0, ge=0, le=100, description="most pages that are out and fit the prompt; they come back first")
    begin: str = Field("", description="text the answer begins with (not part of the reply)")
    max_tokens: int = Field(256, ge=1, description="most tokens of the answer")
    temperature: float = Field(0.0, ge=0, le=5, description="0 takes the likeliest token")
    top_k: int = Field(40, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    min_p: float = Field(0.0, ge=0, le=1)
    repeat_penalty: float = Field(1.0, gt=0, le=2)
    seed: int | None = Field(None, description="none: derived from the process")
    stop: list[str] = Field([], max_length=16, description="the answer ends before any of these")
    ignore_end: bool = Field(False, description="go on where the model would end, up to max_tokens")
    top: int | None = Field(None, ge=0, le=20, description="give the chances of each token, and of so many others")
    grammar: str | None = Field(None, description="GBNF, first rule root")
    json_schema: dict[str, Any] | None = Field(None, description="JSON schema; the answer is compact JSON of it")
    spans: Sentences | None = Field(None, description="the answer is made of these texts only")
    keep: bool = Field(False, description="add messages, prompt and answer to the process's context")
    show: bool = Field(False, description="also write the answer, as it comes, to the process's output")


class Likely(Reply):
    """A token that could have stood in a place."""

    token: str = Field(description="its text; broken characters replaced")
    bytes: list[int]
    logprob: float = Field(description="natural logarithm of its chance, before sampling and constraint")


class Chance(Likely):
    """A token of the answer, and the likeliest in its place."""

    top: list[Likely] = Field([], description="the likeliest first")


class Generated(Reply):
    """What the model wrote."""

    text: str
    finish: Literal["end", "stop", "length"]
    stopped: str | None = Field(None, description="the stop that was met")
    tokens_in: int = Field(description="tokens of the whole prompt")
    tokens_reused: int = Field(description="of these, tokens that were still in the engine's cache")
    tokens_out: int
    first_token_s: float = Field(description="from the call to the first token")
    seconds: float
    tokens: list[int] = Field([], description="the answer's tokens, by the model's vocabulary; a replay compares them")
    chances: list[Chance] = Field([], description="of each token, where `top` asked for them")


class Choose(Request):
    """Which option is the likeliest continuation, by log-likelihood under the model."""

    prompt: str | None = None
    messages: list[Message] = Field([], description="messages between the context and the prompt")
    use_context: bool = True
    begin: str = ""
    options: list[str] = Field(min_length=1, max_length=256)
    normalise: bool = Field(True, description="compare the mean log-likelihood per token, not the sum")


class Chosen(Reply):
    """The winner, and how each option scored."""

    index: int
    option: str
    scores: list[float] = Field(description="natural logarithms, in the order of the options")
    tokens_in: int


class Embed(Request):
    """Vectors of texts, by the machine's embedder."""

    texts: list[str] = Field(max_length=10_000)


class Embedded(Reply):
    """One unit vector for each text."""

    vectors: list[list[float]]
    embedder: str


class Count(Request):
    """How many tokens a text has, by the model's own tokenizer."""

    text: str


class Counted(Reply):
    """The count, and the window it has to fit into."""

    tokens: int
    window: int = Field(description="tokens that a context holds, answer included")


TEXTS = 10_000
"""Most texts of one call."""


class CountEach(Request):
    """The tokens of each of many texts."""

    texts: list[str] = Field(max_length=TEXTS)


class CountedEach(Reply):
    """Tokens by the model's own vocabulary, in the order of the texts."""

    tokens: list[int]
    window: int = Field(description="tokens that the model can see at a time, answer included")
