"""An app's manifest and arguments for human eyes."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ...syscalls.rights import RIGHTS
from .describe import Description
from .display import one_line, rows_table
from .manifest import Manifest
from .registry import AppInfo

_UNITS = {
    "tokens": "tokens computed", "seconds": "seconds", "pages": "context pages", "calls": "system calls",
    "children": "children",
}  # fmt: skip


def rights_table(manifest: Manifest) -> Table | Text:
    """What the app asks for, in words."""
    if not manifest.rights:
        return Text("It asks for no rights.")
    rows = [(right, RIGHTS.get(right, "call this tool")) for right in manifest.rights]
    return rows_table(("right", "it may"), rows)


def title(manifest: Manifest) -> Text:
    """Name, version and summary in one line."""
    words = f" {one_line(manifest.version)}: {one_line(manifest.summary)}"
    return Text.assemble((manifest.name, "bold"), words)


def app_panel(info: AppInfo, described: Description | None) -> Group:
    """All there is to know; without ``described`` (its rights were not granted) no arguments."""
    manifest = info.manifest
    limits = [f"{value:g} {_UNITS[name]}" for name, value in manifest.limits.to_dict().items() if value is not None]
    how = "in a process of its own" if info.isolated else "inside llmos"
    facts = rows_table(("", ""), [
        ("where", info.folder),
        ("runs", f"{how}, {manifest.priority} priority"),
        ("limits", ", ".join(limits) or "none"),
        *([("adapter", manifest.adapting)] if manifest.adapter else []),
    ])  # fmt: skip
    facts.show_header = False
    parts: list[Text | Table] = [title(manifest), facts, Text(), rights_table(manifest)]
    if described is None:
        parts.append(Text(f"\nNot granted: llmos app install {info.name} asks.", style="yellow"))
    elif described.takes:
        rows = [
            (
                one.name.upper() if one.positional else f"--{one.name.replace('_', '-')}",
                f"{one.kind} list" if one.many else one.kind,
                " ".join(part for part in (one.help, "(required)" if one.required else "") if part),
            )
            for one in described.takes
        ]
        parts += [Text(), rows_table(("takes", "", ""), rows)]
    return Group(*parts)
