"""Which paths there are: names that stay in the tree, and that look like what they are.

A path is relative, of names separated by "/", normalised to NFC; upper and lower case differ. A name is refused when it
leaves the tree, steers a terminal, or hides something from whoever reads it: what cannot be seen, what turns the
direction of the text, what only looks like a slash or a space.
"""

import unicodedata

from ..faults import BadPath

LONGEST_NAME = 255  # bytes
DEEPEST = 33  # names in a path from the owner's root; an app's own root is the first of them

_HIDDEN = {"Cc": "a control character", "Cs": "half a character", "Cf": "a character that cannot be seen",
           "Zl": "a line break", "Zp": "a line break"}  # fmt: skip
_JOINERS = "\u200c\u200d"  # spelling in Persian, Hindi and others, and the parts of an emoji
_LIKE_A_SLASH = "\u2044\u2215\u29f8\uff0f"


def names_of(path: str, above: int = 0) -> tuple[str, ...]:
    """The names in a path, checked, at most `DEEPEST` of them with those ``above``; raises `BadPath`."""
    if path.startswith("/"):
        raise BadPath(f"{path!r} is not a path within the tree", hint="give a relative path with /")
    names = tuple(unicodedata.normalize("NFC", name) for name in path.split("/") if name not in ("", "."))
    if not names or ".." in names:
        raise BadPath(f"{path[:60]!r} leaves the tree", hint="give a relative path without ..")
    if len(names) + above > DEEPEST:
        raise BadPath(f"{path[:40]!r}… is {len(names)} names deep", hint=f"at most {DEEPEST - above}")
    for name in names:
        if wrong := _wrong(name):
            raise BadPath(f"{name[:40]!r} cannot be a file name: {wrong}", hint="give it another name")
    return names


def folder_of(path: str, above: int = 0) -> tuple[str, ...]:
    """The names in the path of a folder, none for the root itself."""
    return names_of(path, above) if path.strip("/.") or ".." in path else ()


def hides(character: str) -> str:
    """What a character is that a reader does not see, or takes for another; "" for all others."""
    kind = unicodedata.category(character)
    like = "a character that looks like another" if kind == "Zs" and character != " " else ""
    return _HIDDEN.get(kind, like) or ("a character that looks like a slash" if character in _LIKE_A_SLASH else "")


def _wrong(name: str) -> str:
    """What is wrong with a name, "" for a good one."""
    for place, character in enumerate(name):
        if hides(character) and not (character in _JOINERS and _joins(name, place)):
            return f"it holds {hides(character)} (U+{ord(character):04X})"
        if character == "\\":
            return "it holds a backslash"
    if len(name.encode()) > LONGEST_NAME:
        return f"it is longer than {LONGEST_NAME} bytes"
    if name != name.strip() or not name.strip("."):
        return "spaces at its ends, or nothing but dots"
    return "it begins with a mark on the character before" if unicodedata.combining(name[0]) else ""


def _joins(name: str, place: int) -> bool:
    """Whether a joiner stands where it shows: between two characters beyond ASCII."""
    return 0 < place < len(name) - 1 and not name[place - 1].isascii() and not name[place + 1].isascii()
