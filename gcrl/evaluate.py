"""``gcrl evaluate RUN``: command goals to a practised policy and say how many it reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.api import GoalSet, TaskEnv
from envs.errors import UserError
from gcrl.evaluation import TEST_SEED, Evaluation, evaluate
from gcrl.goals.file import GoalFile
from gcrl.outcome import untrained
from gcrl.policy import Policy
from gcrl.run import Run, load
from gcrl.statistics import mean_interval


def evaluate_run(path: str | Path, episodes: int | None = None, split: str = "test", goals: str | Path | None = None) -> dict[str, Any]:
    """Return {success_rate, success_rate_interval, distance, ..., episodes, goals, untrained} of a run on commanded goals.

    Args:
        episodes: number of goals, spread evenly over the split; all by default.
        split: of the goals: the environment's committed ones, or those of the file.
        goals: a file of ``gcrl goals``; every episode then begins as the file says, and is as long where the file was made with a
            horizon of its own. `untrained` is left out, since it was measured on
            the committed goals. Goals from photos have no state, so success is None: see `photo_figures`.

    Raises:
        UserError: no run, a damaged checkpoint, a number of episodes that the goals do not cover, goals that do not fit the run.
    """
    torch.set_num_threads(1)
    run = load(path)
    horizon = None if goals is None else _horizon(goals)
    envs = [run.environment(horizon) for _ in range(run.settings.practice.simulators)]
    try:
        seeds = None
        if goals is None:
            commanded, source = envs[0].fixed_goals(split), f"this environment's {split} split"
        else:
            commanded, seeds = goals_for(run, envs[0], goals, split)
            source = f"the {split} split of {goals}"
        count = len(commanded) if episodes is None else episodes
        if not 1 <= count <= len(commanded):
            raise UserError(f"episodes={count}; expected 1 to {len(commanded)}, the goals of {source}")
        chosen = np.linspace(0, len(commanded) - 1, count).astype(int)
        known = bool(np.isfinite(commanded.achieved).all())
        starts = None if seeds is None else seeds[chosen]
        result = evaluate(envs, run.policy, commanded.take(chosen), TEST_SEED, pictures=not known, seeds=starts)
        figures = result.summary() if known else photo_figures(run.policy, result)
    finally:
        for env in envs:
            env.close()
    details: dict[str, Any] = {"goals": split, "env_steps": run.env_steps, "updates": run.updates, "seed": run.settings.seed}
    if goals is not None:
        return {**figures, **details, "goal_file": str(goals)}
    return {**figures, **details, "untrained": untrained(run.path)}


def goals_for(run: Run, env: TaskEnv, goals: str | Path, split: str) -> tuple[GoalSet, NDArray[np.int64] | None]:
    """Return the goals of a file as `run` takes them, and the seeds of their starts (None where the file has none).

    Raises `UserError` where the two do not fit: another environment, another size or camera of pictures, photos for a run on states.
    """
    with GoalFile(goals) as file:
        header, settings = file.header, run.settings
        if header.env_id != settings.env_id:
            raise UserError(
                f"{goals} holds goals of {header.env_id}; {run.path} was practised in {settings.env_id}: expected goals of that"
            )
        if len(header.factors) != len(env.factors):
            raise UserError(f"{goals} holds goals of {len(header.factors)} numbers; expected {len(env.factors)}: {', '.join(env.factors)}")
        visual = "image" in run.representation.keys
        camera = _camera(run, env, file) if visual else None
        if not visual and header.provenance == "photos":
            raise UserError(f"{goals} holds photos, but {run.path} takes goals as states; expected goals with states")
        goal_set = file.goals(split, camera)
        if not visual:
            goal_set.images = None
        seeds = file.read("seed", file.rows(split)) if "goals/seed" in file.file else None
        return goal_set, seeds


def _horizon(goals: str | Path) -> int | None:
    """Return the horizon that a file of goals was made with, None where that is its environment's own."""
    with GoalFile(goals) as file:
        return file.header.env_arguments.get("horizon")


def _camera(run: Run, env: TaskEnv, file: GoalFile) -> str:
    """Return the camera of `file` whose pictures `run` takes, or raise `UserError`."""
    header, side = file.header, (env.observation_space["image"].shape or (0,))[0]
    mend = f"make them with env.image_size={side}"
    if not header.cameras:
        raise UserError(f"{file.path} holds goals without pictures; {run.path} takes pictures of {side} pixels: {mend}")
    if header.image_size != side:
        raise UserError(f"{file.path} holds pictures of {header.image_size} pixels; {run.path} takes {side}: {mend}")
    camera = str(getattr(env, "camera", header.cameras[0]))
    if camera not in header.cameras:
        there = ", ".join(header.cameras)
        raise UserError(f"{file.path} holds pictures from {there}; {run.path} looks from {camera}: make them with cameras=[{camera}]")
    return camera


def photo_figures(policy: Policy, result: Evaluation) -> dict[str, Any]:
    """Return how near the last pictures came to photos: ``latent_distance`` and ``pixel_error`` (mean square, 0 to 1), with intervals.

    success_rate is None: whether a photo was reached is in no state that a test could look at.
    """
    assert result.goal_images is not None
    assert result.final_images is not None
    latents = [policy.encode({"image": images}) for images in (result.final_images, result.goal_images)]
    pixels = (result.final_images / 255.0 - result.goal_images / 255.0) ** 2
    figures: dict[str, Any] = {"success_rate": None}
    for name, values in (
        ("latent_distance", np.linalg.norm(latents[0] - latents[1], axis=1)),
        ("pixel_error", pixels.mean(axis=(1, 2, 3))),
    ):
        mean, low, high = mean_interval(values)
        figures |= {name: mean, f"{name}_interval": [low, high]}
    return figures | {"episodes": len(result.goal_images)}
