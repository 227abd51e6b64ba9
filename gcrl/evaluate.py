"""``gcrl evaluate RUN``: command goals to a practised policy and say how many it reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.api import GoalSet, TaskEnv
from envs.errors import UserError
from gcrl.analogies import example_shifts
from gcrl.evaluation import TEST_SEED, Evaluation, evaluate, start_seeds
from gcrl.goals.taken import Taken, goals_of_file, horizon_of_file, inside
from gcrl.outcome import untrained
from gcrl.policy import Policy, as_goals
from gcrl.run import Run, load
from gcrl.statistics import mean_interval

Success = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]]
EXAMPLES = "train"  # the split of a set's file that says what the set is
FILMED = 10  # episodes


def evaluate_run(
    path: str | Path,
    episodes: int | None = None,
    split: str = "test",
    goals: str | Path | None = None,
    analogies: bool = False,
    film: str | Path | None = None,
    planner: Sequence[str] = (),
) -> dict[str, Any]:
    """Return {success_rate, success_rate_interval, distance, ..., episodes, goals, untrained} of a run on commanded goals.

    Args:
        episodes: number of goals, spread evenly over the split; all by default.
        split: of the goals: the environment's committed ones, or those of the file.
        goals: a file of ``gcrl goals``; every episode then begins as the file says, and is as long where the file was made with a
            horizon of its own. `untrained` is left out, since it was measured on
            the committed goals. Goals from photos have no state, so success is None: see `photo_figures`. Where they are a set
            (``gcrl goals where=...``), success is to be within its bounds, and a policy whose goals can be distributions is told what the
            examples in the file's split `train` have in common, instead of one goal of `split` after another.
            ``fulfilled_at_start`` is the share of the starts that fulfil the goal already.
        analogies: do not show the policy its goal but an example of it in a scene that looks otherwise (`gcrl.analogies`); `untrained`
            is left out.
        film: where to write a film of the first `FILMED` episodes (.mp4): goal, subgoal where the run plans, and what the arm does.
        planner: other settings of the run's planner, or another one: see `gcrl.run.Run`.

    Raises:
        UserError: no run, a damaged checkpoint, a number of episodes that the goals do not cover, goals that do not fit the run.
    """
    torch.set_num_threads(1)
    run = load(path, planner)
    horizon = None if goals is None else horizon_of_file(goals)
    envs = [run.environment(horizon) for _ in range(run.settings.practice.simulators)]
    try:
        if goals is None:
            taken, source = Taken(envs[0].fixed_goals(split), None, {}), f"this environment's {split} split"
        else:
            taken, source = goals_for(run, envs[0], goals, split), f"the {split} split of {goals}"
        count = len(taken.goals) if episodes is None else episodes
        if not 1 <= count <= len(taken.goals):
            raise UserError(f"episodes={count}; expected 1 to {len(taken.goals)}, the goals of {source}")
        chosen = np.linspace(0, len(taken.goals) - 1, count).astype(int)
        known = bool(np.isfinite(taken.goals.achieved).all())
        starts = None if taken.seeds is None else taken.seeds[chosen]
        as_set: dict[str, Any] = {}
        if taken.where:
            as_set["success"] = lambda achieved, desired: inside(envs[0], taken.where, achieved)
            if hasattr(run.policy.goal_space, "of_set"):
                assert goals is not None
                examples = as_goals(envs[0], run.representation, goals_for(run, envs[0], goals, EXAMPLES).goals)
                as_set["told"] = run.policy.goal_space.of_set(examples.params)
        commanded = taken.goals.take(chosen)
        if analogies:
            as_set["shifts"] = shifts_for(run, envs[0], commanded, taken, starts)
        filmed = min(FILMED, count) if film is not None else 0
        if filmed and not envs[0].capabilities.images:
            raise UserError(f"--film {film}: this environment has no pictures; expected one with env.image_size above 0")
        result = evaluate(envs, run.policy, commanded, TEST_SEED, film=filmed, pictures=bool(filmed) or not known, seeds=starts, **as_set)
        written = {} if film is None else {"film": str(write_film(result, film, judged=known))}
        figures = result.summary() if known else photo_figures(run.policy, result)
        if goals is not None and known:
            figures = _beside_the_start(figures, result, as_set.get("success") or envs[0].success, bool(taken.where))
    finally:
        for env in envs:
            env.close()
    details: dict[str, Any] = {"goals": split, "env_steps": run.env_steps, "updates": run.updates, "seed": run.settings.seed, **written}
    details |= {"by_analogy": True} if analogies else {}
    details |= {"planner": list(planner)} if planner else {}
    if goals is not None:
        return {**figures, **details, "goal_file": str(goals), **({"where": dict(taken.where)} if taken.where else {})}
    return {**figures, **details, **({} if analogies else {"untrained": untrained(run.path)})}


def write_film(result: Evaluation, path: str | Path, judged: bool = True) -> Path:
    """Write the film of an evaluation's filmed episodes to `path` (.mp4; .gif beside it without an encoder) and return where it is.

    judged: mark which goals were reached, which photos do not tell.
    """
    from gcrl.report.commanded import REACHED
    from gcrl.report.film import film  # Pillow and the encoder are asked for here alone

    assert result.frames is not None
    assert result.goal_images is not None
    count = len(result.frames)
    reached = [bool(share >= REACHED) for share in result.success[:count]] if judged else None
    return film(result.frames, result.goal_images[:count], path, success=reached, views=result.views, aims=result.aims)


def _beside_the_start(figures: dict[str, Any], result: Evaluation, success: Success, as_set: bool) -> dict[str, Any]:
    """Return the figures with the share of starts that fulfil the goal; of a set without distances, which are to single goals."""
    already = float(np.mean(success(result.achieved[:, 0], result.desired)))
    kept = {name: value for name, value in figures.items() if not as_set or name.startswith("success_rate") or name == "episodes"}
    return {**kept, "fulfilled_at_start": already}


def shifts_for(run: Run, env: TaskEnv, goals: GoalSet, taken: Taken, starts: NDArray[np.int64] | None) -> NDArray[np.float32]:
    """Return the shifts (n, d) of examples for `goals`, whose episodes begin with the seeds `starts` (n,), or the evaluation's own.

    Raises `UserError` for photos and sets, of which no example can be made.
    """
    if taken.where or not np.isfinite(goals.states).all():
        what = "a set" if taken.where else "photos, or frames without states"
        raise UserError(f"--analogies makes examples of single goals with states; expected the committed goals, not {what}")
    return example_shifts(env, run.policy, goals, start_seeds(TEST_SEED, len(goals)) if starts is None else starts, TEST_SEED)


def goals_for(run: Run, env: TaskEnv, path: str | Path, split: str) -> Taken:
    """Return the goals in `split` of the file at `path` as `run` takes them. Raises `UserError` as `goals_of_file` does."""
    return goals_of_file(path, split, run.settings.env_id, env, run.representation, str(run.path))


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
