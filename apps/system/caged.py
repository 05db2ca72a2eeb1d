"""`exec` in the shell: one program in the sandbox, with what is piped in, and what it says piped on."""

from collections.abc import Sequence
from pathlib import Path

from ...kernel.errors import BadInput
from .display import clean, err
from .job import Ended

_HINT = "for example exec --timeout 10 -- python3 job.py"
_OPTIONS = ("--timeout", "--memory", "--file")


async def execute(words: Sequence[str], text: str) -> Ended:
    """Run a program in the sandbox: exec [--timeout 5] [--memory 256M] [--file F] -- PROGRAM ..."""
    from ...kernel.sandbox import Sandbox, named_files
    from . import execute as own

    given, program = _read(words)
    timeout = given.get("--timeout", ["5"])[-1]
    try:
        seconds = float(timeout)
    except ValueError:
        raise BadInput(f"--timeout: {timeout!r} is no time", hint=_HINT) from None
    limits = own.limits_of(seconds, given.get("--memory", ["256M"])[-1])
    extra = [Path(name) for name in given.get("--file", [])]
    own.check_there(extra)
    argv, files = named_files(program, extra)
    outcome = await Sandbox().run(argv, files=files, stdin=text.encode(), limits=limits, collect=())
    if outcome.stderr:
        err().print(clean(outcome.stderr.decode(errors="replace")), end="", markup=False, soft_wrap=True)
    own.explain(outcome, limits)
    return Ended(outcome.stdout.decode(errors="replace"), own.exit_code_of(outcome))


def _read(words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Options before the program, each with its values, and the program with its own."""
    given: dict[str, list[str]] = {}
    left = list(words)
    while left and left[0].startswith("-"):
        name, equals, value = left.pop(0).partition("=")
        if name == "--":
            break
        if name not in _OPTIONS:
            raise BadInput(f"exec takes no {name} here", hint=f"{', '.join(_OPTIONS)}; llmos exec knows more")
        if not equals and not left:
            raise BadInput(f"{name} needs a value", hint=_HINT)
        given.setdefault(name, []).append(value if equals else left.pop(0))
    if not left:
        raise BadInput("no program named", hint=_HINT)
    return given, left
