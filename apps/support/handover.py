"""When a human has to take over, whatever the articles say."""

import re

_RULES = {
    "asks for a person": (
        r"\b(speak|talk|chat|connect me|put me through)\b.{0,30}\b(person|human|someone|somebody|agent|manager|staff)\b"
        r"|\b(real|actual|live) (person|human|agent)\b|\bnot a (ro)?bot\b"
    ),
    "mentions legal steps": (
        r"\b(lawyers?|solicitors?|attorneys?|barristers?|sue|suing|court|legal (action|steps|advice)|ombudsman)\b"
        r"|\btake you to\b|\bcompensation\b"
    ),
    "tells of harm or a crime": (
        r"\b(injur\w+|hospital|burn(t|ed) (me|my)|allergic|caught fire|explod\w+|hurt (me|my)|bleeding)\b"
        r"|\b(hacked|fraud\w*|scam\w*|identity theft|police|someone (else )?(used|ordered))\b"
    ),
    "complains about staff": (r"\b(rude|insulted|harass\w*|racist|discriminat\w+|shouted at|unfriendly|threatened)\b"),
}
_COMPILED = {why: re.compile(pattern, re.IGNORECASE | re.DOTALL) for why, pattern in _RULES.items()}


def needs_human(question: str) -> str | None:
    """Why a question goes to a human at once, as words that follow "the customer"; None when it need not."""
    return next((why for why, pattern in _COMPILED.items() if pattern.search(question)), None)
