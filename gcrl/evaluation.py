"""How well a policy reaches commanded goals: rollouts of a deterministic policy, judged by the task's own test.

Success is the mean of the task's test over an episode's last five steps, never the best moment of the episode.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import GoalSet, TaskEnv
from envs.errors import UserError
from gcrl.aims import Aims
from gcrl.analogies import in_own_scenes
from gcrl.policy import Policy, as_goals
from gcrl.rollout import Act, Begin, RandomActions, ZeroActions, rollout
from gcrl.statistics import mean_interval
from gcrl.subgoals import Subgoals, toward_goals

LAST_STEPS = 5
VIEW = 192  # pixels of a film's side
TEST_SEED = 1_000_003  # of the starts of test episodes; the same for every run, so that comparisons are paired


@dataclass
class Evaluation:
    """n evaluated episodes of T steps.

    success: (n,) share of the last five steps that fulfil the goal. figures: {name: (n,)} the task's figures, likewise.
    achieved: (n, T+1, g). desired: (n, g). Pictures are None without images: goal_images, start_images, final_images
    (n, H, W, 3); frames (f, T+1, H, W, 3) of the first f episodes; views, the same from the task's camera for people; aims, the
    subgoals that were aimed at (f, T+1, H, W, 3), decoded, where there is a planner and a decoder. plans: figures of `gcrl.plan_quality`,
    where there is a planner. tasks: (n,) names of what each goal asks for from its start, where the environment tells them apart.
    """

    success: NDArray[np.float64]
    figures: dict[str, NDArray[np.float64]]
    achieved: NDArray[Any]
    desired: NDArray[Any]
    goal_images: NDArray[np.uint8] | None = None
    start_images: NDArray[np.uint8] | None = None
    final_images: NDArray[np.uint8] | None = None
    frames: NDArray[np.uint8] | None = None
    views: NDArray[np.uint8] | None = None
    aims: NDArray[np.uint8] | None = None
    plans: dict[str, float] = field(default_factory=dict)
    tasks: list[str] | None = None

    def summary(self) -> dict[str, Any]:
        """Return {success_rate, success_rate_interval, <figure>, <figure>_interval, episodes} with 95 % intervals over episodes.

        Goals of several tasks are counted by task too: ``by_task`` {name: {success_rate, episodes}}.
        """
        mean, low, high = mean_interval(self.success, 0, 1)
        summary: dict[str, Any] = {"success_rate": mean, "success_rate_interval": [low, high]}
        for name, values in self.figures.items():
            mean, low, high = mean_interval(values)
            summary |= {name: mean, f"{name}_interval": [low, high]}
        summary |= {f"plan_{name}": value for name, value in self.plans.items()}
        summary["episodes"] = len(self.success)
        if self.tasks is not None and len(set(self.tasks)) > 1:
            names, own = np.array(self.tasks), sorted(set(self.tasks))
            summary["by_task"] = {
                name: {"success_rate": float(self.success[names == name].mean()), "episodes": int((names == name).sum())} for name in own
            }
        return summary

    def pictures(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of ``evaluation.npz``."""
        arrays: dict[str, NDArray[Any]] = {"success": self.success, "achieved": self.achieved, "desired": self.desired}
        arrays |= {f"figure/{name}": values for name, values in self.figures.items()}
        for name in ("goal_images", "start_images", "final_images", "frames", "views", "aims"):
            value = getattr(self, name)
            if value is not None:
                arrays[name] = value
        if self.frames is not None and self.goal_images is not None:
            arrays["film_goal_images"] = self.goal_images[: len(self.frames)]
        return arrays


class Aborted(UserError):
    """A robot stopped during an evaluation; the message is its reason."""


class FilmCamera:
    """Films the first `episodes` from the task's camera named ``film``, which shows the whole robot; `views` is None without one.

    views: (episodes, T+1, VIEW, VIEW, 3) uint8.
    """

    def __init__(self, env: TaskEnv, episodes: int) -> None:
        self.views: NDArray[np.uint8] | None = None
        if episodes and "film" in getattr(env, "cameras", ()):
            self.views = np.zeros((episodes, env.horizon + 1, VIEW, VIEW, 3), np.uint8)

    def watch(self, episode: int, step: int, env: Any) -> None:
        """Take the picture of `step`."""
        if self.views is not None and episode < len(self.views):
            self.views[episode, step] = env.picture(VIEW, camera="film")


def start_seeds(seed: int, n: int) -> NDArray[np.int64]:
    """Return (n,) the seeds of the resets of an evaluation's episodes."""
    return np.array([np.random.SeedSequence([seed, episode, 3]).generate_state(1)[0] >> 1 for episode in range(n)], np.int64)


def evaluate(
    envs: Sequence[TaskEnv],
    policy: Policy,
    goal_set: GoalSet,
    seed: int,
    *,
    kind: str = "policy",
    film: int = 0,
    pictures: bool = True,
    seeds: NDArray[np.int64] | None = None,
    stop_on_abort: bool = False,
    told: NDArray[np.float32] | None = None,
    shifts: NDArray[np.float32] | None = None,
    success: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]] | None = None,
) -> Evaluation:
    """Command every goal of `goal_set` once and judge the outcome.

    Args:
        kind: ``policy`` (deterministic), or the baselines ``random`` and ``zero``.
        seed: episode e is reset with a seed derived from (seed, e).
        film: number of episodes whose frames are kept.
        seeds: (n,) seeds of the resets, instead of those derived from `seed`.
        stop_on_abort: end at once where a robot aborts an episode.
        told: (k,) what the policy is told in every episode, where that is not the goal: what a set has in common.
        shifts: (n, d) what the policy is told instead, from its own start, as in `gcrl.analogies`.
        success: of achieved and desired goals (m, g), instead of the environment's test.

    Raises:
        Aborted: a robot did, and was to stop at that.
    """
    env = envs[0]
    goals = policy.told(as_goals(env, policy.representation, goal_set))
    if told is not None:
        goals = dataclasses.replace(goals, params=np.repeat(told[None], len(goals), axis=0))
    own = toward_goals(policy)
    subgoals = own if isinstance(own, Subgoals) and kind == "policy" else None
    aims = Aims(subgoals, min(film, len(goals)), env.horizon) if subgoals and film else None
    acts: dict[str, Act] = {
        "policy": aims or own,
        "random": RandomActions(env.action_space),
        "zero": ZeroActions(env.action_space),
    }
    seeds = start_seeds(seed, len(goals)) if seeds is None else seeds
    keys = ["achieved_goal"] + (["image"] if env.capabilities.images and pictures else [])
    camera = FilmCamera(env, min(film, len(goals)))
    begin: Begin = (lambda wave, observations: None) if shifts is None else in_own_scenes(policy, goals, shifts)
    episodes = rollout(envs, acts[kind], goals, seeds, keys=keys, watch=camera.watch, stop_on_abort=stop_on_abort, begin=begin)
    if episodes.aborted and stop_on_abort:
        raise Aborted(episodes.aborted[0])
    achieved, desired = episodes.observations["achieved_goal"], goal_set.achieved
    # An episode that ended early keeps its outcome: its last step stands for the last five.
    ended = np.asarray(episodes.terminated.any(axis=1))
    back = np.where(ended[:, None], 0, np.arange(LAST_STEPS))
    final = achieved[np.arange(len(goals))[:, None], np.maximum(episodes.lengths[:, None] - back, 1)]
    wanted = np.broadcast_to(desired[:, None], final.shape)
    shape = final.shape[:2]
    flat = (final.reshape(-1, final.shape[-1]), wanted.reshape(-1, final.shape[-1]))
    fulfilled: NDArray[np.float64] = np.asarray((success or env.success)(*flat), np.float64).reshape(shape)
    figures = {name: np.asarray(values, float).reshape(shape).mean(1) for name, values in env.metrics(*flat).items()}
    images = episodes.observations.get("image")
    ends = episodes.lengths
    return Evaluation(
        fulfilled.mean(1),
        figures,
        achieved,
        desired,
        goals.images,
        None if images is None else images[:, 0],
        None if images is None else images[np.arange(len(images)), ends],
        None if images is None or film == 0 else images[:film],
        camera.views,
        aims.pictures() if aims and images is not None else None,
        subgoals.quality.figures() if subgoals else {},
        tasks_of(env, goal_set),
    )


def tasks_of(env: TaskEnv, goals: GoalSet) -> list[str] | None:
    """Return what each of the goals asks for from its start, None where the environment does not say or starts or states are not known."""
    name = getattr(env, "goal_tasks", None)
    known = goals.starts is not None and np.isfinite(goals.starts).all() and np.isfinite(goals.states).all()
    return list(name(goals)) if name is not None and known else None
