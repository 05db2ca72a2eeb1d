"""Which apps there are. Finding one never runs its code: entry points and folders are looked at, not imported.

Shipped apps are trusted and run inside llmos. All others come from outside: they run as child processes, and
only after their rights were shown and a yes was given, which is kept in HOME/apps/grants.json.
"""

import difflib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Literal

from ...kernel.errors import BadInput, Denied, NotFound
from .home import Home
from .manifest import FILE, Manifest, read_manifest

GROUP = "llmos.apps"
_SHIPPED = Path(__file__).resolve().parent.parent

Origin = Literal["shipped", "package", "folder"]


@dataclass(frozen=True)
class AppInfo:
    """One app that can be found, whether or not it may run."""

    name: str
    manifest: Manifest
    folder: Path  # holds manifest.toml and app.py
    package: str  # its ``app`` module is imported where it runs
    origin: Origin
    path: tuple[Path, ...] = ()  # places in front of sys.path that the package needs
    granted: bool = True  # the user said yes to every right in the manifest

    @property
    def isolated(self) -> bool:
        """Whether it runs as a child process rather than as a coroutine of llmos."""
        return self.manifest.isolated or self.origin != "shipped"


@dataclass(frozen=True)
class Candidate:
    """Something that says it is an app; its manifest has not been read."""

    name: str
    folder: Path
    package: str
    origin: Origin
    path: tuple[Path, ...] = ()


class Registry:
    """All apps of one home and of the Python environment; looks when it is first asked, and after `renew`."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._looked: list[int] | None = None  # how the home was when it was looked at

    def apps(self) -> list[AppInfo]:
        """All sound apps by name."""
        return sorted(self._found[0].values(), key=lambda info: info.name)

    def names(self) -> list[str]:
        """Names of all sound apps."""
        return sorted(self._found[0])

    def broken(self) -> dict[str, BadInput]:
        """What is wrong with each app whose package or manifest is not as it should be."""
        return self._found[1]

    def look(self, name: str) -> AppInfo:
        """What is known of an app, granted or not; raises `NotFound`, or `BadInput` for a broken one."""
        sound, broken = self._found
        if name in sound:
            return sound[name]
        if name in broken:
            raise broken[name]
        near = difflib.get_close_matches(name, sound, 1)
        hint = f"did you mean {near[0]}?" if near else "llmos app list shows the apps there are"
        raise NotFound(f"no app {name!r}", hint=hint, app=name)

    def get(self, name: str) -> AppInfo:
        """An app that may run; raises `Denied` as long as nobody said yes to its rights."""
        info = self.look(name)
        if not info.granted:
            hint = f"llmos app install {name} shows them and asks"
            raise Denied(f"{name} asks for rights that nobody has granted", hint=hint, app=name)
        return info

    def renew(self) -> None:
        """Look again when next asked, if something was installed or removed in the meantime."""
        if self._looked not in (None, self._state()):
            self.__dict__.pop("_found", None)

    def _state(self) -> list[int]:
        """Changes with every installation and removal."""
        places = (self.home.apps, self.home.apps / "grants.json", self.home.site)
        return [place.stat().st_mtime_ns if place.exists() else 0 for place in places]

    @cached_property
    def _found(self) -> tuple[dict[str, AppInfo], dict[str, BadInput]]:
        self._looked = self._state()
        grants = read_grants(self.home)
        sound: dict[str, AppInfo] = {}
        broken: dict[str, BadInput] = {}
        for candidate in self._candidates():
            if candidate.name in sound or candidate.name in broken:
                continue  # shipped ones come first: nobody takes their names
            try:
                sound[candidate.name] = _checked(candidate, grants)
            except BadInput as problem:
                broken[candidate.name] = problem
        return sound, broken

    def _candidates(self) -> Iterator[Candidate]:
        """Every app there may be: shipped ones, then this environment's, then those of the home."""
        here = list(candidates(None))
        yield from sorted(here, key=lambda candidate: candidate.origin != "shipped")
        yield from candidates(self.home.site)
        for manifest in sorted(self.home.apps.glob(f"*/*/{FILE}")):
            folder = manifest.parent
            yield Candidate(folder.parent.name, folder, folder.name, "folder", (folder.parent, self.home.site))


def candidates(site: Path | None) -> Iterator[Candidate]:
    """Apps by entry point, of the packages in ``site`` or of this Python environment."""
    for dist in distributions() if site is None else distributions(path=[str(site)]):
        for point in dist.entry_points.select(group=GROUP):
            folder = _folder(point, site)
            shipped = folder.resolve().parent == _SHIPPED
            package = point.value.partition(":")[0]
            yield Candidate(
                point.name, folder, package, "shipped" if shipped else "package", () if site is None else (site,)
            )


def _folder(point: EntryPoint, site: Path | None) -> Path:
    """Where an entry point's package lies; looked up by its first name alone, so that nothing is imported."""
    first, *rest = point.value.partition(":")[0].split(".")
    spec = importlib.util.find_spec(first) if site is None else PathFinder.find_spec(first, [str(site)])
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0], *rest) if places else Path(first, *rest)


def _checked(candidate: Candidate, grants: dict[str, list[str]]) -> AppInfo:
    manifest = read_manifest(candidate.folder)
    if manifest.name != candidate.name:
        raise BadInput(
            f"{candidate.folder / FILE} says {manifest.name!r}, but the app is installed as {candidate.name!r}",
            hint="make the two names the same",
        )
    if not (candidate.folder / "app.py").is_file():
        raise BadInput(f"{candidate.folder} holds no app.py", hint="llmos app new writes one to begin with")
    name = manifest.name
    granted = candidate.origin == "shipped" or (name in grants and set(manifest.rights) <= set(grants[name]))
    return AppInfo(name, manifest, candidate.folder, candidate.package, candidate.origin, candidate.path, granted)


def read_grants(home: Home) -> dict[str, list[str]]:
    """The rights that the user has granted, by app; a file that cannot be read grants nothing."""
    try:
        found = json.loads((home.apps / "grants.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_grants(home: Home, grants: dict[str, list[str]]) -> None:
    """Put the grants on disk as a whole."""
    fresh = home.apps / ".grants.json"
    fresh.write_text(json.dumps(grants, indent=1, sort_keys=True), encoding="utf-8")
    fresh.replace(home.apps / "grants.json")
