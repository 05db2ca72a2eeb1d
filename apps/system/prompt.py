"""The shell on a terminal: a prompt with history and completion, and questions that apps ask."""

from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.shortcuts import CompleteStyle

from ...kernel.errors import Interrupted
from .completion import ShellCompleter
from .display import clean, out
from .shell import Shell


async def interact(shell: Shell) -> int:
    """Read lines and carry them out until `exit` or Ctrl-D; returns the exit code of the last one."""
    home = shell.jobs.seat.home
    lines: PromptSession[str] = PromptSession(
        history=FileHistory(str(home.history)),
        completer=ShellCompleter(shell.jobs),
        complete_style=CompleteStyle.READLINE_LIKE,
        complete_while_typing=False,
        auto_suggest=AutoSuggestFromHistory(),
        key_bindings=_keys(),
    )
    shell.ask = ask
    out().print(f"llmos on {shell.jobs.seat.model}. help teaches, exit leaves.", markup=False, highlight=False)
    warned = False
    with shell.signals():
        while True:
            try:
                with patch_stdout(raw=True):
                    text = await lines.prompt_async(_prompt(shell.jobs.status), handle_sigint=False)
            except KeyboardInterrupt:
                continue
            except EOFError:
                text = "exit"
            leaving = not await shell.lines(text)
            if leaving and (warned or not shell.jobs.ending()):
                break
            warned = leaving
            if leaving:
                out().print(f"{len(shell.jobs.ending())} jobs are not done; exit again ends them.")
        for job in shell.jobs.listed():
            await shell.jobs.end(job)
    return shell.jobs.status


def _keys() -> KeyBindings:
    """Ctrl-Z stops what runs; at the prompt nothing does, and it writes no letter."""
    keys = KeyBindings()
    keys.add("c-z")(lambda event: None)
    return keys


def _prompt(status: int) -> FormattedText:
    """The folder, and the exit code of a line that failed."""
    here = Path.cwd()
    name = "~" if here == Path.home() else here.name or "/"
    failed = [("ansired", f" {status}")] if status else []
    return FormattedText([("ansicyan bold", name), *failed, ("", " > ")])


async def ask(question: str, choices: list[str]) -> str:
    """An app's question, answered on the terminal; Ctrl-C and Ctrl-D break it off."""
    asking: PromptSession[str] = PromptSession()
    options = f" [{'/'.join(choices)}]" if choices else ""
    while True:
        try:
            answer = (await asking.prompt_async(f"{clean(question)}{options} ", handle_sigint=False)).strip()
        except (KeyboardInterrupt, EOFError):
            raise Interrupted("the question was not answered") from None
        if answer in choices or not choices:
            return answer
        out().print(f"please answer one of: {', '.join(choices)}", markup=False)
