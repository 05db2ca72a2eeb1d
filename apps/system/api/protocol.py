"""The bodies of requests, field by field: what is understood, what is ignored, and what is refused by name.

Ignored (`IGNORED`): notes for a service that is not here, and hints that change no answer. Other fields of OpenAI's
that llmos does not have are taken where they say nothing (`NEUTRAL`: null, 0, false) and refused where they ask for it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from .errors import Refusal

IGNORED = {
    "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
    "parallel_tool_calls", "reasoning_effort", "verbosity", "prediction", "cache_prompt", "timings_per_token",
}  # fmt: skip
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,), "presence_penalty": (0,), "logit_bias": ({},), "modalities": (["text"],),
    "best_of": (1,), "suffix": ("",), "functions": ([],), "function_call": ("none", "auto"), "audio": (),
    "web_search_options": (),
}  # fmt: skip
MOST_CHOICES = 16

Texts = Annotated[list[str], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]
"""One text, or several."""


class Body(BaseModel):
    """What all bodies share."""

    model_config = ConfigDict(extra="forbid")

    model: str = ""
    user: str = Field("", max_length=512)

    @model_validator(mode="before")
    @classmethod
    def _leave_out(cls, data: Any) -> Any:
        """Fields that are null or ignored are as good as not given."""
        if not isinstance(data, dict):
            return data
        for name, neutral in NEUTRAL.items():
            if name in data and data[name] is not None and data[name] not in neutral:
                raise Refusal(400, f"{name} is not supported here", param=name, code="unsupported_parameter")
        return {k: v for k, v in data.items() if v is not None and k not in IGNORED and k not in NEUTRAL}


class StreamOptions(BaseModel):
    """How a stream is told."""

    include_usage: bool = False
    include_obfuscation: bool = False  # nobody listens in on loopback: never added


class Writing(Body):
    """What requests for text share. ``priority``, ``overflow``, ``ignore_eos`` and the last four are llmos's own."""

    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: Texts = Field([], max_length=16)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    temperature: float = Field(0.8, ge=0, le=2)
    top_p: float = Field(0.95, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    n: int = Field(1, ge=1, le=MOST_CHOICES)
    ignore_eos: bool = False
    priority: Literal["interactive", "normal", "batch"] | None = None
    top_k: int = Field(40, ge=0)
    min_p: float = Field(0.05, ge=0, le=1)
    repeat_penalty: float = Field(1.0, gt=0, le=2)

    @property
    def usage_wanted(self) -> bool:
        """Whether the stream ends with the counts."""
        return self.stream_options is not None and self.stream_options.include_usage


class TextPart(BaseModel):
    """A part of a content."""

    type: Literal["text"]
    text: str


def _parts(content: Any) -> Any:
    """A text is a content of one part."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [] if content is None else content


class FunctionCall(BaseModel):
    """What the model called."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    """A call as it stands in an assistant's message."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(BaseModel):
    """One message. What else clients send along (refusal, annotations, …) says nothing to the model."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[list[TextPart], BeforeValidator(_parts)] = []
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """The content in one piece."""
        return "\n".join(part.text for part in self.content)


class Function(BaseModel):
    """A tool that the client would carry out."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_.:-]{1,64}$")
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None  # arguments always follow the schema


class Tool(BaseModel):
    """A tool in its wrapping."""

    type: Literal["function"]
    function: Function


class Named(BaseModel):
    """The name of a function."""

    name: str


class ChosenTool(BaseModel):
    """The tool that is to be called."""

    type: Literal["function"]
    function: Named


class JsonSchema(BaseModel):
    """A schema in its wrapping."""

    name: str = ""
    description: str = ""
    schema_: dict[str, Any] = Field({}, alias="schema")
    strict: bool | None = None


class Format(BaseModel):
    """What the answer is to be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema(self) -> Format:
        if self.type == "json_schema" and self.json_schema is None:
            raise Refusal(400, "a format of type json_schema needs one", param="response_format.json_schema")
        return self


class ChatRequest(Writing):
    """``POST /v1/chat/completions``."""

    messages: list[ChatMessage] = Field(min_length=1)
    tools: list[Tool] = Field([], max_length=128)
    tool_choice: Literal["none", "auto", "required"] | ChosenTool = "auto"
    response_format: Format | None = None
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    overflow: Literal["refuse", "page"] = "refuse"

    @property
    def most(self) -> int | None:
        """Most tokens of the answer."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(Writing):
    """``POST /v1/completions``."""

    prompt: Texts = Field(min_length=1, max_length=MOST_CHOICES)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def most(self) -> int:
        """Most tokens of the answer; OpenAI's default."""
        return self.max_tokens or 16


class EmbeddingRequest(Body):
    """``POST /v1/embeddings``."""

    input: Texts = Field(min_length=1, max_length=2048)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)

    @property
    def packed(self) -> bool:
        """Whether vectors go as base64."""
        return self.encoding_format == "base64"


B = TypeVar("B", bound=Body)


def checked(kind: type[B], data: Any) -> B:
    """The body; raises `Refusal` that names the first field at fault."""
    try:
        return kind.model_validate(data)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        place = ".".join(str(step) for step in first["loc"] if step != "ChosenTool" and "[" not in str(step))
        if first["type"] == "extra_forbidden":
            raise Refusal(400, f"{place} is not supported here", param=place, code="unsupported_parameter") from None
        raise Refusal(400, f"{place or 'the body'}: {first['msg']}", param=place or None) from None
