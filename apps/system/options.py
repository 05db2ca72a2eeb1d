"""What is said before the command: which home, which model, how the engine runs."""

import getpass
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .home import Home, home_path

SCRIPTED = "scripted"
"""The name of no model: prompts are said back."""


@dataclass
class Options:
    """The global options of one run of `llmos`."""

    home_folder: Path | None = None
    model: str | None = None
    streams: int = 16
    window: int = 4096
    way: str = "exact"
    debug: bool = False

    @cached_property
    def home(self) -> Home:
        """The home, by --home, LLMOS_HOME or the platform's custom."""
        named = self.home_folder
        return Home(named.expanduser().absolute() if named else home_path())


def user() -> str:
    """Who owns a process when nobody else is named: the user's login name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this uid, as in some containers
        return "user"
