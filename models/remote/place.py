"""Where a remote model is, and what is known of its server."""

from __future__ import annotations

import os
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from ..faults import Refused

Kind = Literal["llama-server", "vllm", "ollama", "llmos", "other"]

GUESSED_WINDOW = 4096
"""Tokens that a prompt and its answer may have where neither the server nor the user says."""


class Place(BaseModel):
    """One model of one server, as the catalog keeps it. A key is never part of it, only where it is found."""

    model_config = ConfigDict(frozen=True)

    name: str
    url: str  # up to and with /v1
    model: str  # as the server calls it
    kind: Kind = "other"
    window: int = Field(GUESSED_WINDOW, ge=256)
    key_env: str = ""  # the environment variable that holds the key
    parallel: int = Field(8, ge=1, le=1024)  # requests under way at a time
    connect_s: float = Field(5.0, gt=0)
    first_token_s: float = Field(120.0, gt=0)  # from the request to the first token
    between_s: float = Field(30.0, gt=0)  # from one token to the next

    def __str__(self) -> str:
        return f"{self.name} ({self.model} on {self.kind} at {self.url})"

    @property
    def root(self) -> str:
        """The server's own address, where what is not OpenAI's stands."""
        return self.url.removesuffix("/v1")

    @property
    def near(self) -> bool:
        """Whether it is this machine."""
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")

    def headers(self) -> dict[str, str]:
        """What every request carries. Raises `Refused` where the key is not in the environment."""
        if not self.key_env:
            return {}
        key = os.environ.get(self.key_env, "")
        if not key:
            raise Refused(f"the key of {self.name} is not set", hint=f"export {self.key_env}=…")
        return {"Authorization": f"Bearer {key}"}


def address(url: str) -> str:
    """A URL as `Place` keeps it; raises `Refused` for one that cannot be asked."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment:
        raise Refused(f"{url!r} is no address of a server", hint="write it as http://HOST:PORT/v1")
    if parts.username or parts.password:
        raise Refused(
            "the address holds a name or a password", hint="put the key in a variable, and name it: --key-env"
        )
    bare = url.rstrip("/")
    return bare if bare.endswith("/v1") else f"{bare}/v1"
