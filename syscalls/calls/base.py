"""What requests and replies share."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...kernel.errors import BadInput

Role = Literal["system", "user", "assistant", "tool"]
Label = Literal["trusted", "untrusted"]


class Request(BaseModel):
    """What every request shares."""

    model_config = ConfigDict(extra="forbid")

    timeout: float | None = Field(None, gt=0, description="seconds until the call ends with TimedOut; none: no limit")


class Reply(BaseModel):
    """What every reply shares: nothing."""

    model_config = ConfigDict(extra="forbid")


class Nothing(Reply):
    """The call was carried out; there is nothing to say."""


def unwritable(request: BaseModel) -> BadInput:
    """The error for a request that is no plain JSON."""
    return BadInput(
        f"{type(request).__name__.lower()} holds something that is no plain value, or text that is no Unicode",
        hint="give strings, numbers, lists and dictionaries",
    )


def said(wrong: ValidationError) -> str:
    """What does not fit, field by field, in one line."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in wrong.errors())
