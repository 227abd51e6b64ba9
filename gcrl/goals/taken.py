"""The goals of a file as a run takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.api import GoalSet, TaskEnv
from envs.errors import UserError
from gcrl.goals.file import GoalFile
from representations.api import Representation


@dataclass(frozen=True)
class Taken:
    """Goals of a file, the seeds (n,) of their starts (None: the file has none), and `where` all of them lie: {factor: (low, high)}."""

    goals: GoalSet
    seeds: NDArray[np.int64] | None
    where: Mapping[str, tuple[float, float]]


def goals_of_file(path: str | Path, split: str, env_id: str, env: TaskEnv, representation: Representation, who: str) -> Taken:
    """Return the goals in `split` of the file at `path` as a run in `env`, called `who`, takes them.

    Raises `UserError` where the two do not fit: another environment, another size or camera of pictures, photos for a run on states.
    """
    with GoalFile(path) as file:
        header = file.header
        if header.env_id != env_id:
            raise UserError(f"{path} holds goals of {header.env_id}; {who} practises in {env_id}: expected goals of that")
        if len(header.factors) != len(env.factors):
            raise UserError(f"{path} holds goals of {len(header.factors)} numbers; expected {len(env.factors)}: {', '.join(env.factors)}")
        visual = "image" in representation.keys
        camera = _camera(file, env, who) if visual else None
        if not visual and header.provenance == "photos":
            raise UserError(f"{path} holds photos, but {who} takes goals as states; expected goals with states")
        goals = file.goals(split, camera)
        if not visual:
            goals.images = None
        seeds = file.read("seed", file.rows(split)) if "goals/seed" in file.file else None
        return Taken(goals, seeds, header.where)


def horizon_of_file(path: str | Path) -> int | None:
    """Return the horizon that a file of goals was made with, None where that is its environment's own."""
    with GoalFile(path) as file:
        return file.header.env_arguments.get("horizon")


def require_pairs(files: Sequence[tuple[str, str]]) -> None:
    """Raise `UserError` unless the i-th goals of all files, each (path, split), are of one episode, at shares of it that grow."""
    before: tuple[str, float, str, NDArray[np.int64]] | None = None
    for path, split in files:
        with GoalFile(path) as file:
            share, episodes = file.header.config.get("stage"), file.header.config.get("episodes", "")
            if share is None:
                raise UserError(f"{path} holds no frames of a stage; expected a file of `gcrl goals dataset=... stage=SHARE`")
            now = (path, float(share), str(episodes), file.read("source_episode", file.rows(split)))
        if before and (now[2] != before[2] or not np.array_equal(now[3], before[3])):
            raise UserError(
                f"the examples in {path} are not of the same episodes as those in {before[0]}; expected both from one dataset, with "
                "stage=SHARE and the same n, seed and splits"
            )
        if before and now[1] <= before[1]:
            raise UserError(f"{path} shows stage {now[1]:g} after {before[0]}, stage {before[1]:g}; expected stages from early to late")
        before = now


def named(where: Mapping[str, tuple[float, float]]) -> str:
    """Return the bounds in words."""
    return ", ".join(f"{name} from {low:g} to {high:g}" for name, (low, high) in where.items())


def inside(env: TaskEnv, where: Mapping[str, tuple[float, float]], achieved: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return where achieved goals (..., g) lie within the bounds of all factors that `where` names."""
    within = np.ones(np.shape(achieved)[:-1], np.bool_)
    for name, (low, high) in where.items():
        values = np.asarray(achieved)[..., env.factors.index(name)]
        within &= (low <= values) & (values <= high)
    return within


def _camera(file: GoalFile, env: TaskEnv, who: str) -> str:
    """Return the camera of `file` whose pictures the run takes, or raise `UserError`."""
    header, side = file.header, (env.observation_space["image"].shape or (0,))[0]
    mend = f"make them with env.image_size={side}"
    if not header.cameras:
        raise UserError(f"{file.path} holds goals without pictures; {who} takes pictures of {side} pixels: {mend}")
    if header.image_size != side:
        raise UserError(f"{file.path} holds pictures of {header.image_size} pixels; {who} takes {side}: {mend}")
    camera = str(getattr(env, "camera", header.cameras[0]))
    if camera not in header.cameras:
        there = ", ".join(header.cameras)
        raise UserError(f"{file.path} holds pictures from {there}; {who} looks from {camera}: make them with cameras=[{camera}]")
    return camera
