"""For the tests of apps: run one as llmos runs it, with a script where the model would be."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...kernel.errors import Denied, OSFault
from ...models.scripted import Script, ScriptedEngine, echo
from .boot import boot
from .home import Home
from .install import propose


@dataclass(frozen=True)
class Ended:
    """How a run ended: a result or an error, and everything that was written on the way."""

    result: Any
    error: OSFault | None
    exit_code: int
    written: str


class Written:
    """An output that keeps what a process writes and answers its questions from a list."""

    def __init__(self, answers: list[str] | None = None) -> None:
        self.text = ""
        self.answers = answers or []

    def write(self, text: str) -> None:
        """Keep it."""
        self.text += text

    async def room(self) -> None:
        """There is always some."""

    def progress(self, done: float, total: float, what: str) -> None:
        """Nobody watches."""

    async def ask(self, question: str, choices: list[str]) -> str:
        """The next answer of the list."""
        if not self.answers:
            raise Denied(f"nobody is there to answer {question!r}", hint="give answers= to the test")
        return self.answers.pop(0)


def run_app(
    package: Path,
    args: Mapping[str, Any],
    *,
    home: Path,
    script: Script = echo,
    stdin: str = "",
    handed: Mapping[str, Path] | None = None,
    answers: list[str] | None = None,
) -> Ended:
    """Install the app of a folder into an empty ``home`` and run it once; ``script`` maps a prompt to the answer.

    ``handed`` maps paths below ``in/`` to files, ``answers`` are what the human says, one for each question.
    """
    return asyncio.run(_run(package, dict(args), Home(home), script, stdin, dict(handed or {}), answers))


async def _run(
    package: Path, args: dict[str, Any], home: Home, script: Script, stdin: str, handed: dict[str, Path],
    answers: list[str] | None,
) -> Ended:  # fmt: skip
    proposal = propose(home, str(package), link=True)
    proposal.accept()
    output = Written(answers)
    async with boot(home, engine=ScriptedEngine(script)) as running:
        process = running.launcher.launch(
            proposal.manifest.name, args, owner="tester", output=output, stdin=stdin, handed=handed
        )
        await process.ended.wait()
    return Ended(process.result, process.error, process.exit_code or 0, output.text)
