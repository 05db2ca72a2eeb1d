"""All errors that a user or an app can meet: one small tree.

    OSFault                      code          exit   meaning
    ├── BadInput                 bad_input     2      what was given cannot be used as it is
    │   └── NotFound             not_found     2      no such app, process, file, model, user
    ├── Denied                   denied        77     the right is missing, or a human said no
    ├── LimitExceeded            limit         75     a limit of the process tree was reached
    ├── TimedOut                 timeout       75     no reply within the time given
    ├── Unavailable              unavailable   69     a part of the machine is missing, busy or broken
    │   ├── HomeHeld             home_held     69     another llmos writes this LLMOS_HOME
    │   ├── Overloaded           overloaded    75     too much waits already; ``retry_after`` says when to come again
    │   ├── ModelUnusable        model         69     a model file is damaged, unsupported or too large
    │   ├── OutcomeUnknown       unknown       69     llmos died during the call, and nobody knows if it took effect
    │   └── NoSandbox            no_sandbox    69     too few layers of isolation on this machine
    ├── Storage                  storage       74     the disk is full, read-only or damaged
    ├── Interrupted              interrupted   130    signal INT reached the process during a call
    ├── Terminated               terminated    143    signal TERM or KILL ended the process
    └── AppFailed                app_failed    70     an app broke its side of the contract (crash, bad reply)
        └── Diverged             diverged      70     its code does something else than its journal says

Every error carries a stable ``code``, its own values (``details``) and a ``hint`` of what to do.
Anything else that is raised is a bug, and is let through.
"""

from typing import Any, ClassVar


class OSFault(Exception):
    """Base of all errors that cross the gate; ``str()`` is one line for a human.

    ``details`` holds plain JSON values only, so an error can cross a socket and come out equal.
    """

    code: ClassVar[str] = "fault"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def to_dict(self) -> dict[str, Any]:
        """Plain form: ``{"code", "message", "hint", "details"}``; `from_dict` is its inverse."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "details": self.details}


class BadInput(OSFault):
    """What was given cannot be used as it is."""

    code = "bad_input"
    exit_code = 2


class NotFound(BadInput):
    """No such app, process, file, model or user."""

    code = "not_found"


class Denied(OSFault):
    """The right is missing, or a human said no."""

    code = "denied"
    exit_code = 77


class LimitExceeded(OSFault):
    """A limit of the process tree was reached."""

    code = "limit"
    exit_code = 75


class TimedOut(OSFault):
    """No reply within the time given."""

    code = "timeout"
    exit_code = 75


class Unavailable(OSFault):
    """A part of the machine is missing, busy or broken."""

    code = "unavailable"
    exit_code = 69


class HomeHeld(Unavailable):
    """Another llmos writes this LLMOS_HOME."""

    code = "home_held"


class Overloaded(Unavailable):
    """Too much waits already. ``details["retry_after"]``: the seconds after which it is worth asking again."""

    code = "overloaded"
    exit_code = 75


class ModelUnusable(Unavailable):
    """A model file is damaged, unsupported or too large for this machine."""

    code = "model"


class OutcomeUnknown(Unavailable):
    """llmos died during this call to a tool, and nobody knows whether it took effect."""

    code = "unknown"


class NoSandbox(Unavailable):
    """Too few layers of isolation on this machine to run foreign code."""

    code = "no_sandbox"


class Storage(OSFault):
    """The disk is full, read-only or damaged."""

    code = "storage"
    exit_code = 74


class Interrupted(OSFault):
    """Signal INT reached the process during this call; the process may go on."""

    code = "interrupted"
    exit_code = 130


class Terminated(OSFault):
    """Signal TERM or KILL ended the process."""

    code = "terminated"
    exit_code = 143


class AppFailed(OSFault):
    """An app broke its side of the contract: it crashed, or replied with something else than it promised."""

    code = "app_failed"
    exit_code = 70


class Diverged(AppFailed):
    """A process that came back does something else than its journal says: the app was changed."""

    code = "diverged"


def _tree(root: type[OSFault]) -> dict[str, type[OSFault]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: dict[str, type[OSFault]] = _tree(OSFault)


def from_dict(data: dict[str, Any]) -> OSFault:
    """Rebuild an error from `OSFault.to_dict`; an unknown code becomes a plain `OSFault`."""
    kind = BY_CODE.get(str(data.get("code")), OSFault)
    return kind(str(data.get("message", "")), hint=str(data.get("hint", "")), **dict(data.get("details") or {}))
