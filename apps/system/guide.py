"""What `help` teaches."""

import difflib
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from ...kernel.errors import NotFound
from .display import rows_table
from .job import Builtin
from .registry import Registry

TOPICS = {
    "pipes": """\
What one command says becomes what the next one reads:

    cat report.txt | summarize --words 60 | chat "make this a friendly mail"

    < FILE     read a file instead            'a word'   as it stands, blanks and all
    > FILE     write what is said to a file   *.txt      all files that fit
    >> FILE    add it to the end              $?         exit code of the last line
    &          at the end: run it beside you  # ...      a remark
""",
    "jobs": """\
A line is a job while it runs. Ctrl-C interrupts it (twice: ends it), Ctrl-Z stops it and gives the prompt back.

    summarize book.txt &     runs beside you; what it says is shown when it is done
    jobs                     lists jobs that run or are stopped
    fg 1   bg 1              on with job 1, before your eyes or beside you
    kill %1   kill 7 8       ends job 1, or the processes with pid 7 and 8
    kill -STOP 7             sends another signal: INT, TERM, KILL, STOP or CONT

A job beside you that has a question says so and waits: fg brings it up.
""",
    "processes": """\
Every app that runs is a process, and all of them share one model. The table (ps, top) says:

    in, out    tokens of its prompts and answers      first   seconds to its first token
    pages      pages in its context window            faults  pages that had to be brought back
    state      ready, running, waiting, stopped, done

log 3 shows what process 3 asked for and got, call by call. In another terminal, llmos on the same home is a guest of
this one: what it runs is a process here too, and llmos attach 3 shows what process 3 writes.
What an app may ask for are its rights: help NAME.
""",
    "talk": """\
A line that begins with no command goes to the app chat, in your own words:

    what is a good title for a talk about bees?
    ? ls is what kind of word          (? before it, where the first word is a command)
    what does report.txt say about costs?      (it may look at files that you name)
    search my files for heating                (and at those of the folder you are in)
    remember my dog is called Rex              (it tells you again when you ask)
    new                                        (forget what was said, and begin another conversation)

The model is small: take its word for wording, not for facts. An app that quotes, like support, is another matter.
""",
    "files": """\
File names begin where you are (pwd, cd, ls). An app gets a copy of the files and folders you name, and can
change none of yours; only > and >> write, where you say. A name with blanks stands in quotes; Tab sees to that.

    exec -- python3 job.py      runs a program in the sandbox: no network, and only files that you name
""",
    "write": """\
Leave the shell and type

    llmos app new shout                writes a folder with an app, its manifest and a test
    llmos app install --link shout     shows the rights it asks for
    llmos app run shout "hello"

The app is one class with one method; what it may call stands in docs/syscalls.md.
""",
}


def topic(word: str, builtins: Mapping[str, Builtin], registry: Registry) -> RenderableType:
    """The page for a word; raises `NotFound` for one there is no page for."""
    if not word:
        return _overview(builtins, registry)
    if word in TOPICS:
        return Text(TOPICS[word].rstrip())
    if word in builtins:
        return Text(f"{word}: {builtins[word].__doc__}")
    near = difflib.get_close_matches(word, [*TOPICS, *builtins, *registry.names()], 1)
    hint = f"did you mean help {near[0]}?" if near else "help alone lists what there is"
    raise NotFound(f"no help on {word!r}", hint=hint)


def _overview(builtins: Mapping[str, Builtin], registry: Registry) -> RenderableType:
    apps = rows_table(("apps", ""), [(info.name, info.manifest.summary) for info in registry.apps()])
    own = rows_table(("commands", ""), [(name, (call.__doc__ or "").strip()) for name, call in builtins.items()])
    end = (
        f"\nAny other line goes to the model in your own words (help talk).\n"
        f"help NAME tells what an app takes; topics: {', '.join(TOPICS)}."
    )
    return Group(apps, Text(), own, Text(end))
