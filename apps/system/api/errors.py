"""What a client is told when a request fails: OpenAI's form, with the right status.

{"error": {"message": "…", "type": "invalid_request_error", "param": "messages.0.role", "code": null}}
"""

from __future__ import annotations

import math
from typing import Any

import orjson
from starlette.responses import Response

from ....kernel.errors import (
    BadInput,
    Denied,
    Interrupted,
    LimitExceeded,
    NotFound,
    OSFault,
    Storage,
    Terminated,
    TimedOut,
    Unavailable,
)

INVALID = "invalid_request_error"
RETRY = 1.0  # seconds, where nobody knows better


class Refusal(Exception):
    """A request that gets an error for an answer. ``param`` names the field at fault, ``retry`` is in seconds."""

    def __init__(
        self, status: int, message: str, *, kind: str = INVALID, param: str | None = None, code: str | None = None,
        retry: float | None = None, headers: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        self.headers = dict(headers or {})
        if retry is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry)))

    def response(self) -> Response:
        """The whole answer."""
        return Response(orjson.dumps(self.body), self.status, self.headers, media_type="application/json")


_STATUS: tuple[tuple[type[OSFault], int, str], ...] = (  # the first that fits
    (NotFound, 404, INVALID),
    (BadInput, 400, INVALID),
    (LimitExceeded, 429, "rate_limit_error"),
    (Denied, 403, "permission_error"),
    (TimedOut, 504, "server_error"),
    (Terminated, 503, "server_error"),
    (Interrupted, 503, "server_error"),
    (Storage, 507, "server_error"),
    (Unavailable, 503, "server_error"),
)


def refusal(problem: BaseException) -> Refusal:
    """The answer to a request that failed so; a bug says nothing of its inside."""
    if isinstance(problem, Refusal):
        return problem
    if not isinstance(problem, OSFault):
        return Refusal(500, "llmos failed; its log has the reason", kind="server_error", code="bug")
    details = problem.details
    if isinstance(problem, LimitExceeded) and "tokens" in details and "window" in details:
        return too_long(details["tokens"], details["window"])
    if isinstance(problem, LimitExceeded) and "limit" not in details:  # a message by itself is too long for its page
        return Refusal(400, str(problem), param="messages", code="context_length_exceeded")
    if problem.code == "overloaded":
        retry = float(details.get("retry_after", RETRY))
        return Refusal(429, str(problem), kind="rate_limit_error", code="rate_limit_exceeded", retry=retry)
    status, kind = next(((s, k) for fault, s, k in _STATUS if isinstance(problem, fault)), (500, "server_error"))
    return Refusal(status, str(problem), kind=kind, code=problem.code)


def too_long(tokens: int, window: int) -> Refusal:
    """A prompt that the context does not take: at least one token of it is for the answer."""
    return Refusal(
        400,
        f"the messages have {tokens:,} tokens, the context takes {window - 1:,} and an answer: {tokens - window + 1:,} "
        'too many (shorten them, or give "overflow": "page" to have the oldest paged out)',
        param="messages",
        code="context_length_exceeded",
    )
