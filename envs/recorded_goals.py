"""Goals that a robot recorded itself: what it measured and saw where a walk had taken it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from envs.api import GoalSet
from envs.errors import UserError

Splits = dict[str, GoalSet]


def save_recorded(path: Path, splits: Splits) -> None:
    """Write goals with pictures at once: the file is complete, or not there."""
    arrays = {f"{split}_achieved": goals.achieved for split, goals in splits.items()}
    arrays |= {f"{split}_images": np.asarray(goals.images) for split, goals in splits.items()}
    partial = path.with_name(path.name + ".tmp")
    with open(partial, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_recorded(path: Path, splits: tuple[str, ...], goal_dim: int, image_size: int) -> Splits:
    """Return the goals of `splits`; raises `UserError` where `path` does not hold goals of this size."""
    found: Splits = {}
    expected = f"expected what this environment recorded with image_size={image_size}; another path records anew"
    try:
        with np.load(path, allow_pickle=False) as file:
            for split in splits:
                achieved, images = file[f"{split}_achieved"], file[f"{split}_images"]
                found[split] = GoalSet(achieved, achieved.copy(), images)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"goals={path} cannot be read ({error}); {expected}") from error
    for split, goals in found.items():
        shapes = goals.achieved.shape[1:], () if goals.images is None else goals.images.shape[1:]
        if shapes != ((goal_dim,), (image_size, image_size, 3)):
            raise UserError(f"goals={path} holds {split} goals of {shapes[0]} and pictures of {shapes[1]}; {expected}")
    return found
