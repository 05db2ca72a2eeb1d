"""`llmos app new`: a package that runs at once and has a test that passes."""

import re
from pathlib import Path
from string import Template

from ...kernel.errors import BadInput
from ...kernel.translate import translated
from .manifest import NAME

_FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "llmos-$dashed"
version = "0.1.0"
description = "An app for llmos"
requires-python = ">=3.11"
dependencies = ["llmos"]

[project.entry-points."llmos.apps"]
$name = "$package"

[tool.setuptools]
packages = ["$package"]

[tool.setuptools.package-data]
$package = ["manifest.toml"]
""",
    "$package/__init__.py": '''\
"""The app $name."""
''',
    "$package/manifest.toml": """\
name = "$name"
version = "0.1.0"
summary = "Say a text in other words"
rights = ["model:use"]       # llmos app info $name explains them
priority = "normal"          # interactive, normal or batch
input = false                # true: it works on what is piped in, see Sys.input

[limits]
tokens = 20000
seconds = 300
""",
    "$package/app.py": '''\
"""$name: say a text in other words. Everything it does goes through `sys`."""

from typing import Annotated

from pydantic import BaseModel, Field

from llmos.syscalls.api import App, Positional, Sys


class $kind(App):
    """What llmos runs: `main` gets the arguments, and what it returns is the result."""

    class Args(BaseModel):
        text: Annotated[str, Positional] = Field(description="the text to say in other words")
        style: str = Field("friendly", description="how it should sound", json_schema_extra={"short": "s"})

    async def main(self, sys: Sys, args: Args) -> str:
        prompt = f"Rewrite this in a {args.style} tone, in one sentence: {args.text}"
        reply = await sys.generate(prompt, max_tokens=80)
        return reply.text.strip()
''',
    "tests/test_app.py": '''\
"""The app runs as llmos runs it, with a script in the place of the model."""

from pathlib import Path

from llmos.apps.system.testing import run_app

PACKAGE = Path(__file__).parents[1] / "$package"


def test_it_rewrites_the_text(tmp_path):
    prompts = []

    def script(prompt):
        prompts.append(prompt)
        return "Hello there!"

    ended = run_app(PACKAGE, {"text": "hi", "style": "formal"}, home=tmp_path, script=script)

    assert ended.error is None
    assert ended.result == "Hello there!"
    assert "formal tone" in prompts[0] and "hi" in prompts[0]


def test_a_text_is_needed(tmp_path):
    ended = run_app(PACKAGE, {}, home=tmp_path)

    assert ended.error is not None and "text" in ended.error.message
''',
    "README.md": """\
# $name

An app for llmos.

    llmos app install --link .      # shows the rights it asks for; a change in this folder counts at once
    llmos app run $name --help
    llmos app run $name "see you tomorrow" --style formal
    python -m pytest                # the test needs no model

`$package/app.py` is the app, `$package/manifest.toml` says what it may do.
""",
}


def write(name: str, into: Path) -> Path:
    """Write the package ``into / name``; raises `BadInput` for a name that will not do or a folder that is there."""
    package = f"llmos_{name}".replace("-", "_")
    folder = into / name
    if not re.fullmatch(NAME, name):
        raise BadInput(f"{name!r} is no name for an app", hint="small letters, digits, - and _, a letter first")
    if folder.exists():
        raise BadInput(f"{folder} is already there", hint="choose another name or folder")
    kind = "".join(part.capitalize() for part in name.replace("-", "_").split("_"))
    values = {"name": name, "package": package, "kind": kind, "dashed": name.replace("_", "-")}
    with translated():
        for path, text in _FILES.items():
            file = folder / Template(path).substitute(values)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(text).substitute(values), encoding="utf-8")
    return folder
