"""Asking a server what it is: when a model of it is added to the catalog, and again when somebody wants to know."""

from __future__ import annotations

from typing import Any

import httpx

from ..faults import NoSuchModel, ServerFault
from .place import GUESSED_WINDOW, Kind, Place
from .refusals import CHECK, refuse
from .server import client

_OWNERS: dict[str, Kind] = {"llamacpp": "llama-server", "vllm": "vllm", "library": "ollama", "llmos": "llmos"}
_SECONDS = 10.0


async def look(place: Place, *, model: str = "", window: int = 0) -> Place:
    """The place with what its server says: which kind it is, its model and its window.

    ``model`` and ``window`` are the user's word and go before it. Raises `NoSuchModel` where the server has another
    model or several to choose from, `Refused`, and `ServerFault` where nobody answers.
    """
    async with client(place) as asking:
        listed = await _get(asking, place, f"{place.url}/models")
        models = [m for m in listed.get("data") or [] if isinstance(m, dict)]
        chosen = _chosen(models, model, place)
        kind = _OWNERS.get(str(chosen.get("owned_by", "")), "other")
        found = chosen.get("max_model_len") or chosen.get("context_length")
        if kind == "llama-server":
            props = await _get(asking, place, f"{place.root}/props")
            found = (props.get("default_generation_settings") or {}).get("n_ctx")
    room = window or (found if isinstance(found, int) and found >= 256 else GUESSED_WINDOW)
    return Place.model_validate({**place.model_dump(), "model": str(chosen["id"]), "kind": kind, "window": room})


def _chosen(models: list[dict[str, Any]], wanted: str, place: Place) -> dict[str, Any]:
    names = [str(m.get("id", "")) for m in models]
    if wanted in names or (not wanted and len(names) == 1):
        return models[names.index(wanted)] if wanted else models[0]
    shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    if not names:
        raise NoSuchModel(f"{place.url} has no model", hint="load one there first")
    if wanted:
        raise NoSuchModel(f"{place.url} has no model {wanted!r}", hint=f"it has {shown}")
    raise NoSuchModel(f"{place.url} has several models", hint=f"--remote-model, one of {shown}")


async def _get(asking: httpx.AsyncClient, place: Place, url: str) -> dict[str, Any]:
    try:
        answer = await asking.get(url, headers=place.headers(), timeout=_SECONDS)
        if answer.status_code != 200:
            await refuse(place, answer)
        found = answer.json()
    except httpx.HTTPError as wrong:
        words = " ".join(str(wrong).split()) or type(wrong).__name__
        raise ServerFault(f"{place.url} cannot be reached: {words}", hint=CHECK) from wrong
    except ValueError as wrong:
        raise ServerFault(f"{url} answers with what is no JSON", hint="is it an OpenAI-compatible /v1?") from wrong
    if not isinstance(found, dict):
        raise ServerFault(f"{url} answers with what is no object", hint="is it an OpenAI-compatible /v1?")
    return found
