"""Bringing apps in and taking them out. Nothing of an app runs before its rights were shown and granted.

A folder is copied (or linked) to HOME/apps/NAME; a wheel or a package of an index goes to HOME/site. From
an index only wheels are taken, for building anything else would run its code before the yes.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

from ...kernel.errors import BadInput, Denied, NotFound, Unavailable
from ...kernel.translate import translated
from .handin import expanded
from .home import Home
from .manifest import FILE, Manifest, read_manifest
from .registry import GROUP, Registry, candidates, read_grants, write_grants

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PIP = ("-P", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-warn-conflicts")


@dataclass(frozen=True)
class Proposal:
    """An app that could be installed; only `accept` changes anything that lasts."""

    manifest: Manifest
    origin: str  # where it comes from, for a human
    home: Home
    _put: Callable[[], None]

    def accept(self) -> None:
        """Install it and grant the rights of its manifest."""
        with translated():
            self._put()
            grants = read_grants(self.home)
            write_grants(self.home, {**grants, self.manifest.name: self.manifest.rights})


def propose(home: Home, source: str, *, link: bool = False) -> Proposal:
    """Look at a folder, a wheel, a package of an index, or an app that is there but not granted.

    Raises `BadInput` for what is no app, `Denied` for the name of a shipped one.
    """
    home.create()
    registry = Registry(home)
    folder = expanded(Path(source))
    if folder.is_dir():
        proposal = _of_folder(home, folder.resolve(), link)
    elif source in registry.names():
        info = registry.look(source)
        proposal = Proposal(info.manifest, str(info.folder), home, lambda: None)
    elif folder.suffix == ".whl" and folder.is_file():
        proposal = _of_package(home, str(folder.resolve()))
    elif _NAME.fullmatch(source.partition("=")[0]) and folder.suffix != ".whl":
        proposal = _of_package(home, source)
    else:
        raise NotFound(f"no folder, wheel or package {source!r}", hint="name a folder with a manifest.toml")
    shipped = {info.name for info in registry.apps() if info.origin == "shipped"}
    if proposal.manifest.name in shipped:
        raise Denied(f"{proposal.manifest.name} is an app of llmos itself", hint="give yours another name")
    return proposal


# -- folders --


def _of_folder(home: Home, folder: Path, link: bool) -> Proposal:
    package = package_folder(folder)
    manifest = read_manifest(package)
    if not package.name.isidentifier():
        raise BadInput(f"the folder {package.name!r} cannot be imported", hint="use letters, digits and _")
    needs = _missing(_dependencies(folder))

    def put() -> None:
        if needs:
            _pip(["--target", str(home.site), *needs])
        _place(home, manifest.name, package, link)

    return Proposal(manifest, str(package), home, put)


def package_folder(folder: Path) -> Path:
    """The one folder with a manifest: this one, one below it, or one below its ``src``."""
    if (folder / FILE).is_file():
        return folder
    found = [path.parent for pattern in (f"*/{FILE}", f"src/*/{FILE}") for path in sorted(folder.glob(pattern))]
    if len(found) != 1:
        what = "no" if not found else f"{len(found)}"
        raise BadInput(f"{folder} holds {what} folders with a {FILE}", hint="name the folder of one app")
    return found[0]


def _place(home: Home, name: str, package: Path, link: bool) -> None:
    """Copy or link; the old one is taken away only when the new one is complete."""
    final = home.apps / name
    with _staging(home) as fresh:
        if link:
            (fresh / package.name).symlink_to(package)
        else:
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(package, fresh / package.name, ignore=ignored)
        if final.exists():
            shutil.rmtree(final)
        fresh.rename(final)


@contextmanager
def _staging(home: Home) -> Iterator[Path]:
    """A folder in which something can become complete; it goes with the block unless it was renamed."""
    folder = Path(tempfile.mkdtemp(prefix=".install-", dir=home.root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _dependencies(folder: Path) -> list[str]:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except FileNotFoundError:
        return []
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise BadInput(f"{folder / 'pyproject.toml'}: {wrong}", hint="correct the file") from wrong
    return [str(need) for need in project.get("dependencies", [])]


# -- packages --


def _of_package(home: Home, source: str) -> Proposal:
    wheel = ["--no-deps", "--only-binary", ":all:", source]
    with _staging(home) as staging:
        _pip(["--target", str(staging), *wheel])
        found = list(candidates(staging))
        if len(found) != 1:
            raise BadInput(f"{source} holds {len(found)} apps", hint=f"an app has one entry point in group {GROUP}")
        manifest = read_manifest(found[0].folder)
        needs = _missing(need for dist in distributions(path=[str(staging)]) for need in dist.requires or [])
        version = next(dist.version for dist in distributions(path=[str(staging)]))
        if not source.endswith(".whl"):
            wheel[-1] = f"{source.partition('=')[0]}=={version}"  # what was looked at, and nothing newer

    def put() -> None:
        with _staging(home) as fresh:
            _pip(["--target", str(fresh), *wheel])
            if needs:
                _pip(["--target", str(fresh), *needs])
            _take_out(home, manifest.name)
            shutil.copytree(fresh, home.site, dirs_exist_ok=True)

    return Proposal(manifest, source, home, put)


def _missing(needs: Iterable[str]) -> list[str]:
    """Requirements that this environment does not have; llmos itself, and extras, are not among them."""
    return [need for need in needs if "extra ==" not in need and not _installed(need)]


def _installed(need: str) -> bool:
    name = _NAME.match(need)
    if name is None or name[0].lower() == "llmos":
        return True
    try:
        distribution(name[0])
    except PackageNotFoundError:
        return False
    return True


def _pip(words: list[str]) -> None:
    ended = subprocess.run([sys.executable, *_PIP, *words], capture_output=True, text=True, check=False)
    if ended.returncode == 0:
        return
    if "No module named pip" in ended.stderr:
        raise Unavailable("this Python has no pip", hint=f"{sys.executable} -m ensurepip")
    lines = [line for line in ended.stderr.splitlines() if line.startswith("ERROR:")] or ["ERROR: it failed"]
    raise BadInput(f"pip: {lines[-1].removeprefix('ERROR:').strip()}", hint="check the name and the network")


# -- taking out --


def remove(home: Home, name: str) -> None:
    """Take an app out of this home. Raises `NotFound`, and `Denied` for one that is not the home's to remove."""
    registry = Registry(home)
    if name not in registry.broken():
        info = registry.look(name)
        if info.origin == "shipped":
            raise Denied(f"{name} is an app of llmos itself", hint="only installed apps can be removed")
        if info.origin == "package" and not info.path:
            raise Denied(f"{name} belongs to this Python environment", hint="pip uninstall removes its package")
    with translated():
        _take_out(home, name)
        write_grants(home, {app: rights for app, rights in read_grants(home).items() if app != name})


def _take_out(home: Home, name: str) -> None:
    """Remove the folder of an app, and the files of its package in the home's site."""
    shutil.rmtree(home.apps / name, ignore_errors=True)
    for dist in distributions(path=[str(home.site)]):
        if any(point.name == name for point in dist.entry_points.select(group=GROUP)):
            _remove_files(home.site, [Path(str(dist.locate_file(file))) for file in dist.files or []])


def _remove_files(site: Path, files: list[Path]) -> None:
    inside = [file for file in files if file.resolve().is_relative_to(site.resolve())]
    for file in inside:
        file.unlink(missing_ok=True)
    for folder in sorted({parent for file in inside for parent in file.parents}, reverse=True):
        if folder != site and folder.is_relative_to(site):
            shutil.rmtree(folder / "__pycache__", ignore_errors=True)
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
