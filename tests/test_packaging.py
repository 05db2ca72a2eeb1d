"""What is built is what was written: nothing is forgotten in the wheel, nothing slips in."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import llmos
import pytest

ROOT = Path(llmos.__file__).parent
FOLDERS = ("models", "memory", "kernel", "syscalls", "apps")


def listed() -> set[str]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return set(config["tool"]["setuptools"]["packages"])


def test_every_package_is_listed():
    """A forgotten one works when installed editable, and is missing from the wheel."""
    found = {
        ".".join(("llmos", *path.parent.relative_to(ROOT).parts))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found | {"llmos"} == listed()


def test_every_folder_with_code_is_a_package():
    bare = {
        path.parent.relative_to(ROOT)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert bare == set()


def test_nothing_but_the_package_lies_at_the_root():
    assert [p.name for p in ROOT.glob("*.py")] == ["__init__.py"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)], check=True
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.packaging
def test_the_wheel_holds_every_module_and_every_file_it_needs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {
        f"llmos/{path.relative_to(ROOT)}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".toml", ".txt", ".npz", ".md") and "__pycache__" not in path.parts
    }
    assert code - names == set()
    assert not [n for n in names if n.startswith(("llmos/tests", "llmos/examples", "llmos/docs", "llmos/.venv"))]


@pytest.mark.packaging
@pytest.mark.model
def test_the_wheel_in_an_empty_environment_elsewhere_summarises(wheel, tmp_path):
    """The dependencies come from this environment through a .pth file; llmos itself from the wheel alone."""
    environment = tmp_path / "elsewhere"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(dependencies(tmp_path / "linked"))
    text = tmp_path / "note.txt"
    text.write_text(
        "The council met on Monday. It decided to plant 40 trees along the river. The work begins in March. "
        "Residents may choose the kinds of tree until the end of January. The cost is 12,000 euros."
    )
    run = subprocess.run(
        [str(environment / "bin" / "llmos"), "app", "run", "summarize", "note.txt", "--words", "20"],
        cwd=tmp_path, env={**os.environ, "LLMOS_HOME": str(tmp_path / "home")}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.split()) >= 5
    where = subprocess.run(
        [str(environment / "bin" / "python"), "-c", "import llmos; print(llmos.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(environment))


def dependencies(folder: Path) -> str:
    """A folder with links to all installed packages but llmos itself."""
    folder.mkdir()
    import numpy

    site = Path(numpy.__file__).parents[1]
    for entry in site.iterdir():
        if "llmos" not in entry.name.lower() and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    return str(folder)
