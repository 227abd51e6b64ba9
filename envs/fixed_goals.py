"""The committed goals of each task: full states that an expert's rollout reached, made by ``benchmarks/make_goals.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from envs.api import Floats, GoalSet
from envs.errors import unknown

FOLDER = Path(__file__).parent / "goals"


def load_goals(task: str, split: str) -> GoalSet:
    """Return the goals of `split` of a task: "test", "tune" or one that only this task has. Raises `UserError` for another name."""
    with np.load(FOLDER / f"{task}.npz", allow_pickle=False) as file:
        splits = [name.removesuffix("_states") for name in file.files if name.endswith("_states")]
        if split not in splits:
            raise unknown("split", split, splits)
        starts = file[f"{split}_starts"] if f"{split}_starts" in file.files else None
        return GoalSet(file[f"{split}_states"], file[f"{split}_achieved"], starts=starts)


def save_goals(task: str, splits: dict[str, GoalSet], folder: Path = FOLDER) -> Path:
    """Write the goals of a task's splits, with their starts where they have some, and return the file's path."""
    path = folder / f"{task}.npz"
    arrays: dict[str, Floats] = {}
    for split, goals in splits.items():
        arrays |= {f"{split}_states": goals.states, f"{split}_achieved": goals.achieved}
        arrays |= {} if goals.starts is None else {f"{split}_starts": goals.starts}
    np.savez_compressed(path, allow_pickle=False, **arrays)
    return path
