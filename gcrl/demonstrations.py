"""The dataset as demonstrations: what has to be true for cloning it, and practice episodes that begin in its states.

Nair et al. 2018, "Overcoming exploration in reinforcement learning with demonstrations".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.api import TaskEnv
from envs.errors import UserError
from gcrl.data import Reader
from gcrl.offline import Offline
from gcrl.replay import Replay
from gcrl.settings import Settings
from goal_samplers.api import Goals


class DemoResets:
    """Lets a share of the episodes (``practice.demo_resets``) begin in states of the dataset (section IV-D of the paper).

    Which state is uniform over its steps, and the goal is what that episode reached at its end. Held-out episodes are left out.
    Raises `UserError` where the environment cannot begin in a given state, or the dataset does not hold any.
    """

    def __init__(self, settings: Settings, env: TaskEnv, dataset: Offline) -> None:
        self.share, self.offline = settings.practice.demo_resets, dataset.train
        asked = f"practice.demo_resets={self.share:g}"
        if not (env.capabilities.goal_states and env.capabilities.reset):
            raise UserError(f"{asked}, but {settings.env_id} cannot begin in a given state; expected practice.demo_resets=0")
        if settings.practice.reset_every == 0:
            raise UserError(f"{asked} with practice.reset_every=0, which never resets; expected practice.reset_every=1")
        with Reader(settings.dataset) as reader:
            self.states = reader.states(reader.episode_rows(dataset.episodes))  # row by row as in the replay

    def __call__(self, goals: Goals, keep: NDArray[np.bool_], generator: np.random.Generator) -> Goals:
        """Return `goals` (n) with about the share of them replaced, never where the scene is kept: `keep` (n,)."""
        n, replay = len(goals), self.offline
        chosen = np.flatnonzero((generator.random(n) < self.share) & ~keep)
        rows = replay.sample_transitions(len(chosen), generator)
        ends = replay.goals_at(replay.ring.last.take(rows))
        assert ends.achieved is not None
        params, sources, images = goals.params.copy(), goals.rows.copy(), goals.images
        params[chosen], sources[chosen] = ends.params, -1  # rows of practice mean nothing in the dataset's replay
        if images is not None and ends.images is not None:
            images = images.copy()
            images[chosen] = ends.images
        achieved = np.full((n, replay.achieved_dim), np.nan) if goals.achieved is None else np.array(goals.achieved)
        starts = np.full((n, self.states.shape[1]), np.nan) if goals.starts is None else np.array(goals.starts)
        achieved[chosen], starts[chosen] = ends.achieved, self.states[rows]
        return Goals(params, sources, images, achieved, starts)


def check_demonstrations(settings: Settings, offline: Replay | None) -> None:
    """Raise `UserError` where demonstrations are asked for and cannot be had. offline: the dataset's replay, None without a dataset."""
    weight, share = settings.agent.arguments.get("bc_weight") or 0.0, settings.practice.demo_resets
    if not 0 <= share <= 1:
        raise UserError(f"practice.demo_resets={share}; expected a share between 0 and 1")
    for name, value in (("agent.bc_weight", weight), ("practice.demo_resets", share)):
        if value and offline is None:
            raise UserError(f"{name}={value:g} needs demonstrations; expected dataset=FILE, or {name}=0")
    if not weight or offline is None:
        return
    if settings.offline_share == 0 and not settings.offline_updates:
        raise UserError(f"agent.bc_weight={weight:g} with offline_share=0 clones nothing; expected a share of each minibatch such as 0.125")
    for part in ("sampler", "random"):
        if fraction := settings.relabel.get(part, 0.0):
            raise UserError(
                f"relabel.{part}={fraction:g} with agent.bc_weight={weight:g} would clone actions for goals that they did not lead to; "
                "expected relabel=her or relabel=future"
            )
    rollout = settings.relabel.get("rollout", 0.0)
    if rollout and offline.goal_records.goalless:
        # Such rows are learnt for frames drawn at random, which the actions were no demonstration of.
        raise UserError(
            f"dataset={settings.dataset} has episodes without a goal, and relabel.rollout={rollout:g} with agent.bc_weight={weight:g} "
            "would clone what they did for it; expected demonstrations with goals, or relabel=future"
        )
