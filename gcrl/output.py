"""Files that a command makes: never over something that is there unless told to, and only where there is room."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.api import TaskEnv
from envs.errors import UserError

SPARE_BYTES = 20_000_000  # left free beside what a file takes
PICTURE_RATIO = 0.35  # of raw bytes, a cautious share that lossless compression leaves (seen: 0.06 for plain scenes)


def check_output(path: Path, resume: bool, overwrite: bool, others: Sequence[Path] = ()) -> bool:
    """Return whether what `path` holds, or `others` that belong to it (unfinished work, pictures), is to be continued.

    Raises `UserError` where something is there and neither `resume` nor `overwrite` was asked for, or nothing may be written there.
    Removes nothing: see `clear_output`.
    """
    if resume and overwrite:
        raise UserError("resume=true and overwrite=true contradict each other; expected one of them")
    if path.is_dir():
        raise UserError(f"out={path} is a folder; expected the path of a file")
    if not path.absolute().parent.is_dir():
        raise UserError(f"out={path}: {path.parent} is not a folder; expected an existing one")
    there = [item for item in (path, *others) if item.exists()]
    if there and not resume and not overwrite:
        what = "exists already" if there[0] == path else f"was begun already: {there[0]} exists"
        raise UserError(f"out={path} {what}; expected a new path, resume=true to go on with it, or overwrite=true to replace it")
    return bool(there) and resume


def clear_output(path: Path, others: Sequence[Path] = ()) -> None:
    """Remove what `overwrite` replaces; called when everything else is known to be right."""
    for item in (path, *others):
        if item.is_dir():
            shutil.rmtree(item)
        else:
            item.unlink(missing_ok=True)


def row_bytes(env: TaskEnv) -> int:
    """Return about how many bytes one observation takes in a file."""
    size = 0.0
    for key, space in env.observation_space.spaces.items():
        raw = int(np.prod(space.shape or (1,))) * (space.dtype.itemsize if space.dtype is not None else 4)
        size += 0 if key == "desired_goal" else raw * (PICTURE_RATIO if len(space.shape or ()) == 3 else 1)
    return int(size)


def require_room(path: Path, needed: int, what: str) -> None:
    """Say about how many bytes `what` will take; raise `UserError` where the disk has less free."""
    free = shutil.disk_usage(path.absolute().parent).free
    if free < needed + SPARE_BYTES:
        raise UserError(
            f"out={path} has {free / 1e6:.0f} MB free; expected {(needed + SPARE_BYTES) / 1e6:.0f} MB, about what {what} will take"
        )
    print(f"about {needed / 1e6:,.1f} MB for {what} ({free / 1e9:,.1f} GB free)", file=sys.stderr)
