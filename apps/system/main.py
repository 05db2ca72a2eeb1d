"""The program `llmos`: runs the command line, and turns whatever goes wrong into one line and an exit code."""

import logging
import os
import sys
import traceback
from collections.abc import Sequence

import typer

from ...kernel.errors import OSFault
from .options import Options

BUG = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
_BUG_HINT = "this is a bug of llmos; --debug before the command shows where"


def main() -> None:
    """Entry point."""
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Carry out a command line; returns the exit code. With --debug every error keeps its traceback."""
    from .cli import app

    options = Options()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    command = typer.main.get_command(app)
    try:
        # Not command.main(): that has its own ideas of interrupts and broken pipes.
        with command.make_context("llmos", list(words), obj=options) as context:
            code = command.invoke(context)
        sys.stdout.flush()
        return int(code or 0)
    except typer.Exit as leaving:
        return leaving.exit_code
    except BrokenPipeError:
        # Whoever read has gone. Python flushes again at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        if sys.stderr.isatty():
            print(file=sys.stderr)  # the terminal has written ^C
        say("interrupted")
        return INTERRUPTED
    except Exception as problem:  # noqa: BLE001 - the outermost edge of the program
        if options.debug:
            traceback.print_exc()
        return _explain(problem)


def _explain(problem: Exception) -> int:
    if isinstance(problem, typer.TyperException):
        from .arguments import words_of

        where = getattr(getattr(problem, "ctx", None), "command_path", "llmos")
        if message := words_of(problem):  # empty when typer has shown the help in its place
            say(message, f"{where} --help tells what there is")
        return 2
    from ...kernel.translate import translate

    fault = translate(problem)
    if fault is None:
        say(f"{type(problem).__name__}: {problem}", _BUG_HINT)
        return BUG
    say(fault.message, fault.hint)
    return fault.exit_code


def say(message: str, hint: str = "") -> None:
    """One line on standard error."""
    from .display import err
    from .output import fault_line

    err().print(fault_line(OSFault(message, hint=hint)), soft_wrap=True)


if __name__ == "__main__":
    main()
