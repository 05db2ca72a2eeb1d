"""An app's ``manifest.toml``: what it is called, what it may do, and how much of the machine it may use."""

import math
import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ...kernel.errors import BadInput
from ...kernel.limits import Limits
from ...syscalls.rights import check

FILE = "manifest.toml"
NAME = r"^[a-z][a-z0-9_-]{0,39}$"
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # kinds of characters that move a cursor, turn a line round or end it


def _limits(value: Any) -> Limits:
    if isinstance(value, Mapping):
        for name, number in value.items():
            if isinstance(number, float) and not math.isfinite(number):
                raise BadInput(f"limit {name} is {number}", hint="give a number; 0 means no limit")
        return Limits.from_dict(dict(value))
    raise BadInput("limits is no table", hint="write [limits] and below it, for example, tokens = 50000")


def _words(value: str) -> str:
    """What stands beside the question whether to grant rights must not be able to write over it."""
    for letter in value:
        if unicodedata.category(letter) in _STEERING:
            raise ValueError(f"holds the control character U+{ord(letter):04X}")
    return value


def _rights(value: list[str]) -> list[str]:
    return sorted(check(value))


class Manifest(BaseModel):
    """One manifest; an unknown key is refused, so that a misspelt limit never goes unnoticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME)
    version: Annotated[str, AfterValidator(_words)] = Field(min_length=1, max_length=40)
    summary: Annotated[str, AfterValidator(_words)] = Field(min_length=1, max_length=200)
    rights: Annotated[list[str], AfterValidator(_rights)] = []
    priority: Literal["interactive", "normal", "batch"] = "normal"
    adapter: str = Field("", description="the LoRA its model works with, a name of llmos model adapter list")
    adapter_scale: float | None = Field(None, description="how much the adapter counts; not said: 1")
    each: str | None = Field(None, description="list argument of which every element gets a process of its own")
    input: bool | None = Field(
        None,
        description="true: it works on what is piped in; false: that is left to others; not said: it gets what is"
        " there when it starts",
    )
    isolated: bool = Field(False, description="a child process even when shipped; other apps always are one")
    limits: Annotated[Limits, BeforeValidator(_limits)] = Limits()

    @property
    def adapting(self) -> str:
        """Its adapter with the scale that it asks for, as `Machine.adapter` takes it; "" for none."""
        scale = "" if self.adapter_scale is None else f"@{self.adapter_scale:g}"
        return self.adapter and self.adapter + scale


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the app in ``folder``; `BadInput` is one line that names the file and what is wrong in it."""
    path = folder / FILE
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BadInput(f"{path} is missing", hint="llmos app new writes one to begin with") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise BadInput(f"{path}: {problem}", hint="correct the file") from problem
    except ValidationError as wrong:
        raise BadInput(f"{path}: {validation_text(wrong)}", hint="correct the file") from None
    except BadInput as wrong:
        raise BadInput(f"{path}: {wrong.message}", hint=wrong.hint) from None


def validation_text(wrong: ValidationError) -> str:
    """All complaints of pydantic in one line: ``name: what is wrong``."""
    parts = []
    for error in wrong.errors(include_url=False, include_context=False):
        place = ".".join(map(str, error["loc"]))
        words = error["msg"].removeprefix("Value error, ")
        parts.append(f"{place}: {words}" if place else words)
    return "; ".join(parts)
