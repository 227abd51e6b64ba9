"""The committed goals of each task: full states that an expert's rollout reached, made by ``benchmarks/make_goals.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from envs.api import GoalSet
from envs.errors import unknown

FOLDER = Path(__file__).parent / "goals"
SPLITS = ("test", "tune")


def load_goals(task: str, split: str) -> GoalSet:
    """Return the goals of `split` ("test" or "tune") of a task. Raises `UserError` for another name."""
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    with np.load(FOLDER / f"{task}.npz", allow_pickle=False) as file:
        return GoalSet(file[f"{split}_states"], file[f"{split}_achieved"])


def save_goals(task: str, splits: dict[str, GoalSet], folder: Path = FOLDER) -> Path:
    """Write the goals of a task's splits and return the file's path."""
    path = folder / f"{task}.npz"
    arrays = {f"{split}_states": goals.states for split, goals in splits.items()}
    arrays |= {f"{split}_achieved": goals.achieved for split, goals in splits.items()}
    np.savez_compressed(path, allow_pickle=False, **arrays)
    return path
