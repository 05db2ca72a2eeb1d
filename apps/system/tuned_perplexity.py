"""`llmos model perplexity`: of a model as the next start would compute it."""

from typing import Any

from ...models import trial
from ...models.catalog import Catalog
from ...models.gguf import read
from ...models.perplexity import perplexity
from ...models.prepare import ready
from ...models.tuning.kept import Tunings
from .options import Options
from .tuned import OnProgress

_MOST = 200_000  # tokens
_PATIENCE = 3600.0  # seconds


def measured(options: Options, name: str | None, text: str, on_progress: OnProgress) -> dict[str, Any]:
    """Model, format, way, tokens that were scored, and their perplexity. The work is done in a child."""
    home = options.home.create().root
    entry = Catalog(home).get(name)
    setting = Tunings(home).settled(entry, options.way, 1)
    path = ready(entry, home, setting.format if setting else None, on_progress)
    subject = setting.model_dump(exclude={"format"}) if setting else {"way": options.way or "exact"}
    request = {"subject": {"file": str(path), **subject}, "text": text, "most": _MOST}
    found = trial.measure("scores", path, request, lambda: on_progress("computing", 0.0), _PATIENCE)
    return {
        "name": entry.name, "format": read(path).format, "way": subject["way"], "tokens": len(found),
        "perplexity": perplexity(found),
    }  # fmt: skip
