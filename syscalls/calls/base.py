"""What requests and replies share."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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
