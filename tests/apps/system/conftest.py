import sys
import types
from contextlib import suppress
from typing import Annotated

import pytest
from llmos.apps.system.boot import boot
from llmos.apps.system.home import Home
from llmos.apps.system.manifest import Manifest
from llmos.apps.system.registry import AppInfo
from llmos.models.scripted import ScriptedEngine
from llmos.syscalls.api import App, HandedIn, Interrupted, Positional
from pydantic import BaseModel, Field


class Nothing(BaseModel):
    pass


class Said(BaseModel):
    words: str
    count: int


class Echo(App):
    """Say it again."""

    class Args(BaseModel):
        text: Annotated[str, Positional] = ""
        upper: bool = Field(False, description="loudly")

    async def main(self, sys, args):
        text = args.text or await sys.input()
        reply = await sys.generate(text.strip(), max_tokens=400)
        return reply.text.upper() if args.upper else reply.text


class Count(App):
    """Count the words of files."""

    class Args(BaseModel):
        files: Annotated[list[HandedIn], Positional]

    async def main(self, sys, args) -> Said:
        [file] = args.files
        text = await sys.read(file)
        await sys.progress(1, 2, file)
        return Said(words=text.split()[0], count=len(text.split()))

    def show(self, result):
        return f"{result.words}: {result.count}"


class Slow(App):
    """Write for ever."""

    Args = Nothing

    async def main(self, sys, args):
        await sys.print("begun")
        while True:
            await sys.generate("a" * 200, max_tokens=200)


class Curious(App):
    """Ask and repeat."""

    Args = Nothing

    async def main(self, sys, args):
        return "you said " + await sys.ask("well?", choices=["yes", "no"])


class Short(App):
    """Options with short names, and one that can be switched off."""

    class Args(BaseModel):
        words: int = Field(9, json_schema_extra={"short": "w"})
        k: int = 3
        pretty: bool = True

    async def main(self, sys, args):
        return ""


class Broken(App):
    """Fail."""

    Args = Nothing

    async def main(self, sys, args):
        raise ValueError("no luck\nat all")


class Talker(App):
    """Talk, and count what was said."""

    Args = Nothing

    async def main(self, sys, args):
        for count in range(1, 4):
            said = await sys.ask("You:")
            if said == "may I?":
                said = await sys.ask("Allow?", choices=["yes", "no"])
            if said == "ask me":
                said = await sys.ask("What is it?")
            if said == "go slowly":
                await slowly(sys)
            await sys.print(f"{count} {said}")


async def slowly(sys):
    """Something to stop or to interrupt; an interrupt ends this and no more."""
    with suppress(Interrupted):
        await sys.print("slow", end="")
        await sys.generate("a" * 200, max_tokens=200)


class Working(App):
    """Tell how far it is, and go no further."""

    Args = Nothing

    async def main(self, sys, args):
        await sys.progress(1, 2, "halfway")
        await sys.sleep(100)


class Measure(App):
    """Say how much is piped in."""

    Args = Nothing

    async def main(self, sys, args):
        return str(len(await sys.input()))


class Chatty(App):
    """Print for ever."""

    Args = Nothing

    async def main(self, sys, args):
        while True:
            await sys.print("0123456789" * 1000)


APPS = {
    "echo_": Echo,
    "count": Count,
    "slow": Slow,
    "curious": Curious,
    "broken": Broken,
    "chat": Talker,
    "short": Short,
    "working": Working,
    "input_": Measure,
    "chatty": Chatty,
}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home").create()


@pytest.fixture
def apps(monkeypatch, tmp_path):
    """Apps of these tests as shipped ones: name to `AppInfo`."""
    found = {}
    for name, kind in APPS.items():
        package, module = types.ModuleType(f"app_{name}"), types.ModuleType(f"app_{name}.app")
        own = type(kind.__name__, (kind,), {"__module__": module.__name__, "__doc__": kind.__doc__})
        module.App = own
        monkeypatch.setitem(sys.modules, package.__name__, package)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        each = "files" if name == "count" else None
        rights = ["model:use", "files:read", "human:ask"]
        more = {"input": True} if name == "input_" else {}
        manifest = Manifest(name=name, version="1", summary=f"{kind.__doc__}", rights=rights, each=each, **more)
        found[name] = AppInfo(name, manifest, tmp_path, package.__name__, "shipped")
    return found


@pytest.fixture
async def running(home, apps):
    """A booted llmos with the apps of these tests; after the test nothing may be left."""
    async with boot(home, engine=ScriptedEngine()) as booted:
        booted.launcher.registry.__dict__["_found"] = (apps, {})
        yield booted
        assert booted.machine.idle()
        assert booted.machine.streams_in_use() == 0
