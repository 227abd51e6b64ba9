"""Checks that every representation makes of its constructor's arguments, and the one-line errors they raise."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from envs.errors import UserError, did_you_mean


def image_size(space: spaces.Dict, key: str, owner: str) -> tuple[int, int, int]:
    """Return (height, width, channels) of the image under `key`; raise `UserError` where there is none."""
    if key not in space.spaces:
        raise UserError(
            f"{owner} reads '{key}', which the environment does not observe{did_you_mean(key, space)}; it observes: {', '.join(space)}"
        )
    box = space[key]
    if not isinstance(box, spaces.Box) or len(box.shape) != 3 or box.dtype != np.uint8:
        raise UserError(f"{owner} reads '{key}' as pictures; expected uint8 of shape (height, width, channels), got {box}")
    return box.shape[0], box.shape[1], box.shape[2]


def at_least(owner: str, name: str, value: float, minimum: float) -> None:
    """Raise `UserError` unless `value` is finite and no smaller than `minimum`."""
    if not minimum <= value < float("inf"):
        raise UserError(f"{owner}: {name} = {value}; expected at least {minimum}")


def positive(owner: str, name: str, value: float) -> None:
    """Raise `UserError` unless `value` is finite and above zero."""
    if not 0 < value < float("inf"):
        raise UserError(f"{owner}: {name} = {value}; expected a number above 0")


def one_of(owner: str, name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `UserError` unless `value` is among `choices`."""
    if value not in choices:
        raise UserError(f"{owner}: {name} = '{value}'{did_you_mean(value, choices)}; expected one of: {', '.join(choices)}")
