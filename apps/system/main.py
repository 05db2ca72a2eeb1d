"""The program `llmos`: runs the command line, and turns whatever goes wrong into one line and an exit code.

Everything else is imported inside: a Ctrl-C that comes meanwhile is caught as well.
"""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from ...kernel.errors import OSFault

BUG = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
ENDED = 143
_BUG_HINT = "this is a bug of llmos; --debug before the command shows where"


def main() -> None:
    """Entry point."""
    try:
        signal.signal(signal.SIGINT, _interrupt)  # not Python's own: asyncio puts one that waits in its place
        signal.signal(signal.SIGTERM, _end)
        _complete_streams()
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: nothing may break off the tidying up
    try:
        sys.stdout.flush()
    except OSError:  # what is wrong with it has been said
        _drop_output()
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """At once, also in what blocks an event loop; where that may not be, `Ending` stands in for this."""
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(ENDED)


def _complete_streams() -> None:
    """A stream that is not open is /dev/null; a letter that the terminal's encoding lacks is shown escaped."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = _lenient(sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False))
    sys.stderr = _lenient(sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False))


def _lenient(stream: TextIO) -> TextIO:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return stream


def run(words: Sequence[str]) -> int:
    """Carry out a command line; returns the exit code. With --debug every error keeps its traceback."""
    import logging
    import traceback

    import typer

    from .cli import app
    from .options import Options

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
        _drop_output()
        return BROKEN_PIPE
    except SystemExit as leaving:
        if leaving.code != 1:
            raise
        _drop_output()  # typer shows its help with rich, which leaves so when its reader has gone
        return BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(words)
    except Exception as problem:  # noqa: BLE001 - the outermost edge of the program
        if options.debug:
            traceback.print_exc()
        return _explain(problem, words)


def _drop_output() -> None:
    """Whoever read has gone, or the disk is full. Python flushes again at exit: let that go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupted(words: Sequence[str]) -> int:
    from ...kernel.errors import Interrupted

    if sys.stderr.isatty():
        print(file=sys.stderr)  # the terminal has written ^C
    _say(Interrupted("interrupted"), words)
    return INTERRUPTED


def _explain(problem: Exception, words: Sequence[str]) -> int:
    import typer

    from ...kernel.errors import BadInput
    from ...kernel.translate import translate

    if isinstance(problem, typer.TyperException):
        from .arguments import words_of

        where = getattr(getattr(problem, "ctx", None), "command_path", "llmos")
        if message := words_of(problem):  # empty when typer has shown the help in its place
            _say(BadInput(message, hint=f"{where} --help tells what there is"), words)
        return BadInput.exit_code
    fault = translate(problem)
    if fault is None:
        from ...kernel.errors import AppFailed

        _say(AppFailed(f"{type(problem).__name__}: {problem}", hint=_BUG_HINT), words)
        return BUG
    _say(fault, words)
    return fault.exit_code


def _say(fault: "OSFault", words: Sequence[str]) -> None:
    """One line on standard error, and on standard output what ``--json`` promises: an object for the error too."""
    from .display import err, print_json
    from .output import fault_line

    err().print(fault_line(fault), soft_wrap=True)
    own = words[: words.index("--")] if "--" in words else words
    if "--json" in own:
        try:
            print_json({"error": fault.to_dict()})
        except OSError:
            _drop_output()


if __name__ == "__main__":
    main()
