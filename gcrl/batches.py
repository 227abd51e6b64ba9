"""Relabelled minibatches: from what was practised, from a dataset, or from both."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.agents.api import Batch
from gcrl.energy import Energies
from gcrl.finite import raised_by, require_finite
from gcrl.goal_records import GoalBatch
from gcrl.parts import build_relabel
from gcrl.reached import Reached
from gcrl.replay import Replay
from gcrl.returns import n_step_returns
from gcrl.rewards import Reward
from gcrl.settings import Settings
from representations.api import Rows


class Batches:
    """Draws minibatches for the agent.

    inputs: the parts of the policy's input, in order. offline: the dataset's replay, if any. n_step, discount, subgoal_steps: the agent's.
    """

    def __init__(
        self,
        settings: Settings,
        replay: Replay,
        offline: Replay | None,
        reward: Reward,
        inputs: tuple[str, ...],
        generator: np.random.Generator,
        n_step: int = 1,
        discount: float = 0.0,
        subgoal_steps: int = 0,
    ) -> None:
        self.settings, self.replay, self.offline, self.reward, self.generator = settings, replay, offline, reward, generator
        self.inputs, self.n_step, self.discount, self.subgoal_steps = inputs, n_step, discount, subgoal_steps
        self.largest_reward = 0.0  # the largest |reward| drawn since this was last set
        self.relabel = build_relabel(settings.relabel)
        self.energies = Energies()
        self.reached = Reached(settings.practice.reached)
        self.actor_relabel = build_relabel(settings.actor_goals, "actor_goals") if settings.actor_goals else None

    def __call__(self, n: int) -> Batch:
        """Return `n` relabelled transitions: of what was practised, of the dataset, or of both by ``offline_share``."""
        old = 0 if self.offline is None else round(n * self.settings.offline_share) if self.replay.size else n
        parts = [self.draw(replay, rows) for replay, rows in ((self.offline, old), (self.replay, n - old)) if replay is not None and rows]
        arrays = parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        on_device = {name: torch.from_numpy(np.ascontiguousarray(array)).to(self.settings.device) for name, array in arrays.items()}
        return Batch(**on_device, demos=old)

    def draw(self, replay: Replay, n: int) -> dict[str, NDArray[Any]]:
        """Return `n` relabelled transitions of `replay` as the arrays of a `Batch`, by their names there."""
        rows = self.rows(replay, n)
        goals = self.relabel(replay, rows, self.generator)
        arrays: dict[str, NDArray[Any]] = {"inputs": replay.gather(rows, self.inputs), "actions": replay.read("action", rows)}
        if self.n_step == 1:
            reward, terminated = self.rewards(replay, rows, goals)
            after = rows + 1
        else:
            step = lambda later: self.rewards(replay, later, goals)  # noqa: E731
            returns = n_step_returns(rows, replay.ring.last.take(rows), self.n_step, self.discount, step)
            reward, terminated, after = returns.rewards, returns.terminated, returns.after
            arrays["discounts"] = returns.discounts
        arrays |= {"rewards": reward, "next_inputs": replay.gather(after, self.inputs), "terminated": terminated.astype(np.float32)}
        arrays["goals"] = goals.params
        aim = goals
        if self.actor_relabel is not None:
            aim = self.actor_relabel(replay, rows, self.generator)
            arrays["actor_goals"] = aim.params
        if self.subgoal_steps:
            on_the_way = waypoints(rows, aim.rows, replay.ring.last.take(rows), self.subgoal_steps)
            arrays["waypoints"] = replay.goal_space.points(replay.read("latent", on_the_way))
            arrays["waypoint_inputs"] = replay.gather(on_the_way, self.inputs)
        return arrays

    def rows(self, replay: Replay, n: int) -> NDArray[np.int64]:
        """Return (n,) rows of transitions to learn from: uniform, but for the share of what was practised that is drawn by energy.

        With ``practice.reached`` what was practised is drawn from what worked, or uniformly until something has.
        """
        if replay is self.replay and self.settings.practice.reached and len(worked := self.reached.draw(n, self.generator)):
            return worked
        wanted = round(n * self.settings.practice.energy_share) if replay is self.replay else 0
        moved = self.energies.draw(wanted, self.generator) if wanted else np.zeros(0, np.int64)
        uniform = replay.sample_transitions(n - len(moved), self.generator) if len(moved) < n else moved[:0]
        return np.concatenate([moved, uniform]) if len(moved) else uniform

    def rewards(self, replay: Replay, rows: NDArray[np.int64], goals: GoalBatch) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return reward and termination (n,) of the transitions of `replay` that begin at `rows` (n,), checked."""
        name = f"reward {type(self.reward).__name__}"
        with raised_by(name):
            reward, terminated = self.reward({key: replay.read(key, rows + 1) for key in self.reward.needs}, goals)
        if np.shape(reward) != rows.shape or np.shape(terminated) != rows.shape:
            raise UserError(f"{name} returned shapes {np.shape(reward)} and {np.shape(terminated)}; expected {rows.shape} twice")
        require_finite(f"a figure of {name}", reward)
        self.largest_reward = max(self.largest_reward, float(np.abs(reward).max(initial=0.0)))
        return np.asarray(reward, np.float32), np.asarray(terminated)


def waypoints(rows: Rows, goals: Rows, last: Rows, steps: int) -> Rows:
    """Return (n,) the rows that come `steps` after `rows` (n,), or the episode's `last` (n,) or the goal's (n,), whichever is first.

    goals: -1 where a goal has no row; only one of the same episode, later than its transition, is on the way.
    """
    ahead = np.minimum(rows + steps, last)
    return np.where((goals > rows) & (goals < ahead), goals, ahead)
