"""What is said before the command: which home, which model, how the engine runs."""

import getpass
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from ...kernel.errors import BadInput
from .handin import expanded
from .home import Home, home_path

SCRIPTED = "scripted"
"""The name of no model: prompts are said back."""

Way = Literal["exact", "exact-q8", "fast"]
"""Ways through the arithmetic, see `models/llama.py`."""


@dataclass
class Options:
    """The global options of one run of `llmos`."""

    home_folder: Path | None = None
    model: str | None = None
    streams: int = 16
    window: int = 4096
    way: Way | None = None  # as the model was tuned, or exact
    debug: bool = False

    @cached_property
    def home(self) -> Home:
        """The home, by --home, LLMOS_HOME or the platform's custom."""
        if self.home_folder:
            return Home(expanded(self.home_folder).absolute())
        try:
            return Home(home_path())
        except RuntimeError:  # ~somebody, and there is no such user
            raise BadInput("LLMOS_HOME names no folder", hint="the user after ~ has no home folder") from None


def user() -> str:
    """Who owns a process when nobody else is named: the user's login name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this uid, as in some containers
        return "user"
