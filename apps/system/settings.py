"""What a user sets for good: HOME/config.toml, and the environment before it.

    [retention]              # finished processes are kept as long as all of these let them
    days = 90                # LLMOS_RETENTION_DAYS
    processes = 10000        # LLMOS_RETENTION_PROCESSES
    size = "1G"              # LLMOS_RETENTION_SIZE: their records and journals
    file_days = 30           # LLMOS_RETENTION_FILE_DAYS: versions of files, and deleted files,
    file_versions = 10       # LLMOS_RETENTION_FILE_VERSIONS: and after that the newest so many of each

    [states]                 # of processes that wait, and of what prompts begin with: kept, not computed again
    ram = "2G"               # LLMOS_STATES_RAM: in memory; where it is not set, a quarter of what is free, 2G at most
    disk = "8G"              # LLMOS_STATES_DISK: beyond that in HOME/swap; a quarter of what is free, 8G at most

"none" takes a limit of retention away.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings import PydanticBaseSettingsSource as Source

from ...kernel.errors import BadInput
from ...memory.retention import Keep
from .home import Home
from .sizes import size

FILE = "config.toml"


def _limit(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


def _bytes(value: Any) -> Any:
    value = _limit(value)
    return size(value) if isinstance(value, str) else value


class Retention(BaseModel):
    """How long finished processes and versions of files are kept."""

    model_config = ConfigDict(extra="forbid")

    days: Annotated[NonNegativeFloat | None, BeforeValidator(_limit)] = 90.0
    processes: Annotated[NonNegativeInt | None, BeforeValidator(_limit)] = 10_000
    size: Annotated[NonNegativeInt | None, BeforeValidator(_bytes)] = 2**30
    file_days: NonNegativeFloat = 30.0
    file_versions: PositiveInt = 10

    @property
    def keep(self) -> Keep:
        """The same for `memory.retention`."""
        return Keep(self.days, self.processes, self.size)


class States(BaseModel):
    """Bytes for states that are in no stream; None takes what suits the machine."""

    model_config = ConfigDict(extra="forbid")

    ram: Annotated[NonNegativeInt | None, BeforeValidator(_bytes)] = None
    disk: Annotated[NonNegativeInt | None, BeforeValidator(_bytes)] = None


class Settings(BaseSettings):
    """All sections."""

    model_config = SettingsConfigDict(
        env_prefix="LLMOS_", env_nested_delimiter="_", env_nested_max_split=1, extra="ignore"
    )

    retention: Retention = Retention()
    states: States = States()


def settings(home: Home) -> Settings:
    """The settings of a home; raises `BadInput` that names the file, or the place in it."""
    path = home.root / FILE

    class OfHome(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: Source,
            env_settings: Source,
            dotenv_settings: Source,
            file_secret_settings: Source,
        ) -> tuple[Source, ...]:
            return env_settings, TomlConfigSettingsSource(settings_cls, path)

    try:
        return OfHome()
    except ValidationError as wrong:
        first = wrong.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadInput(f"{place}: {first['msg']}", hint=_where(path, place)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise BadInput(f"{path}: {wrong}", hint="mend it, or move it away") from None


def _where(path: Path, place: str) -> str:
    return f"see {path}, or LLMOS_{place.upper().replace('.', '_')}"
