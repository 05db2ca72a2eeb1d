"""From a package to its app: the one subclass of `App` in its module ``app``."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from pydantic import BaseModel, ValidationError

from ..kernel.errors import AppFailed, BadInput
from .api import App
from .calls import said


def load(package: str) -> App:
    """Import ``package.app`` and make its app. Raises `AppFailed` for a package that holds none, or breaks."""
    try:
        module = importlib.import_module(f"{package}.app")
    except Exception as problem:
        raise AppFailed(f"{package} cannot be imported: {type(problem).__name__}: {problem}") from problem
    kinds = [
        kind for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, App) and kind is not App and kind.__module__ == module.__name__
    ]  # fmt: skip
    if len(kinds) != 1:
        raise AppFailed(f"{package}.app holds {len(kinds)} apps", hint="define exactly one subclass of App")
    return kinds[0]()


def arguments(app: App, given: dict[str, Any]) -> BaseModel:
    """The app's own arguments, validated; raises `BadInput` naming each that is wrong."""
    try:
        return app.Args.model_validate(given)
    except ValidationError as wrong:
        raise BadInput(said(wrong), hint="--help tells what the app takes") from None
