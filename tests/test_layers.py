"""Imports run downward only, and nothing heavy stands where boot or the command line would pay for it."""

import ast
import subprocess
import sys
from pathlib import Path

import llmos
import pytest

ROOT = Path(llmos.__file__).parent
MAY = {
    "models": {"models"},
    "memory": {"memory"},
    "kernel": {"kernel", "memory", "models"},
    "syscalls": {"syscalls", "kernel", "memory", "models"},
}
APPS = ("support", "summarize", "recommend", "chat")
SHARED = {("apps", "sentences"), ("apps", "markdown")}  # plain text helpers without a call
HEAVY = {"torch", "transformers", "ray", "sklearn", "peft", "model2vec", "openai", "llm"}


def imports(path: Path) -> set[tuple[str, ...]]:
    """Every module that a file imports from llmos, as names below it; relative imports resolved."""
    package = path.relative_to(ROOT).parent.parts
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = tuple((node.module or "").split(".")) if node.module else ()
            found |= {(*base, *module)} if module else {(*base, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "llmos":
            found.add(tuple((node.module or "").split(".")[1:]))
        elif isinstance(node, ast.Import):
            found |= {tuple(a.name.split(".")[1:]) for a in node.names if a.name.split(".")[0] == "llmos"}
    return found


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", sorted(MAY))
def test_a_folder_imports_only_what_lies_below(folder):
    wrong = [
        f"{path.relative_to(ROOT)} imports {'.'.join(name)}"
        for path in sources(folder)
        for name in imports(path)
        if name and name[0] not in MAY[folder]
    ]
    assert not wrong


@pytest.mark.parametrize("app", APPS)
def test_an_app_sees_the_api_alone(app):
    wrong = [
        f"{path.relative_to(ROOT)} imports {'.'.join(name)}"
        for path in sources(f"apps/{app}")
        for name in imports(path)
        if name[:2] != ("apps", app) and name != ("syscalls", "api") and name[:2] not in SHARED
    ]
    assert not wrong


def test_the_check_sees_every_form_of_import(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "x.py"
    file.write_text(
        "from ..kernel.machine import Machine\nfrom .. import syscalls\nimport llmos.apps.system\n"
        "from llmos.memory import pages\ndef f():\n    from .engine import Engine\n"
    )
    assert {n[0] for n in imports(file)} == {"kernel", "syscalls", "apps", "memory", "models"}


def test_inside_the_package_imports_are_relative():
    wrong = [
        str(path.relative_to(ROOT))
        for folder in (*MAY, "apps")
        for path in sources(folder)
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "llmos")
        or (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "llmos" for a in node.names))
    ]
    assert wrong == []


def test_optional_packages_are_imported_only_where_they_are_used():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in (*MAY, "apps")
        for path in sources(folder)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        if name.split(".")[0] in HEAVY and not (isinstance(node, ast.ImportFrom) and node.level)
    ]
    assert wrong == []


def loaded(code: str) -> set[str]:
    """Top-level packages in memory after running some code in a fresh interpreter."""
    script = f"{code}\nimport sys; print(*{{m.split('.')[0] for m in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.programs
def test_help_loads_nothing_heavy():
    code = "import llmos.apps.system.main, llmos.apps.system.cli"
    assert not loaded(code) & {"llama_cpp", "chromadb", "numpy", "tiktoken", "prompt_toolkit", "httpx", "jinja2"}


@pytest.mark.programs
def test_boot_loads_no_vector_database():
    assert not loaded("import llmos.apps.system.boot") & {"chromadb", "llama_cpp", "torch", "openai"}
