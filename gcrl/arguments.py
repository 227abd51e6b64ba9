"""The ``key=value`` arguments of verbs that make data: ``env=door env.setting=hard n=100 out=goals.h5``."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

from envs.errors import UserError
from gcrl.config import env_choice
from gcrl.overrides import value_of
from gcrl.typed import from_mapping

T = TypeVar("T")


def parse(cls: type[T], overrides: Sequence[str], verb: str) -> tuple[T, tuple[str, dict[str, Any]] | None]:
    """Return the dataclass `cls` filled from `overrides`, and the environment (id, arguments) that they name, or None.

    Text fields take what was typed as it is (paths), all others are read as Hydra reads them. Raises `UserError` naming the
    argument: malformed, unknown, missing, of the wrong type, or given twice.
    """
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for text in overrides:
        key, equals, typed = text.partition("=")
        if not equals or not key:
            raise UserError(f"cannot read '{text}'; expected KEY=VALUE; see gcrl {verb} --help")
        if key == "env" or key.startswith("env."):
            continue
        if key in values:
            raise UserError(f"{key} is given twice; expected it once")
        values[key] = typed if _takes_text(hints.get(key, Any)) else value_of(text)
    environment = [text for text in overrides if text.partition("=")[0] == "env" or text.startswith("env.")]
    given = from_mapping(cls, values, "")
    if not environment:
        return given, None
    if not any(text.startswith("env=") for text in environment):
        raise UserError(f"'{environment[0]}' needs an environment; add env=NAME (`gcrl list env` shows them)")
    return given, env_choice(environment)


def at_least(least: int, **counts: int) -> None:
    """Raise `UserError` naming the first of `counts` that is below `least`."""
    for name, value in counts.items():
        if value < least:
            raise UserError(f"{name}={value}; expected at least {least}")


def share(**values: float) -> None:
    """Raise `UserError` naming the first of `values` that is not within 0 and 1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise UserError(f"{name}={value:g}; expected 0 to 1")


def _takes_text(annotation: Any) -> bool:
    options = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else (annotation,)
    return str in options
