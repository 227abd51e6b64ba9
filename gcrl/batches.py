"""Relabelled minibatches: from what was practised, from a dataset, or from both."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.agents.api import Batch
from gcrl.finite import raised_by, require_finite
from gcrl.goal_records import GoalBatch
from gcrl.parts import build_relabel
from gcrl.replay import Replay
from gcrl.rewards import Reward
from gcrl.settings import Settings


class Batches:
    """Draws minibatches for the agent. inputs: the parts of the policy's input, in order. offline: the dataset's replay, if any."""

    def __init__(
        self,
        settings: Settings,
        replay: Replay,
        offline: Replay | None,
        reward: Reward,
        inputs: tuple[str, ...],
        generator: np.random.Generator,
    ) -> None:
        self.settings, self.replay, self.offline, self.reward, self.generator = settings, replay, offline, reward, generator
        self.inputs = inputs
        self.relabel = build_relabel(settings.relabel)
        self.actor_relabel = build_relabel(settings.actor_goals, "actor_goals") if settings.actor_goals else None

    def __call__(self, n: int) -> Batch:
        """Return `n` relabelled transitions: of what was practised, of the dataset, or of both by ``offline_share``."""
        old = 0 if self.offline is None else round(n * self.settings.offline_share) if self.replay.size else n
        parts = [self.draw(replay, rows) for replay, rows in ((self.offline, old), (self.replay, n - old)) if replay is not None and rows]
        arrays = parts[0] if len(parts) == 1 else [np.concatenate(pair) for pair in zip(*parts, strict=True)]
        return Batch(*(torch.from_numpy(np.ascontiguousarray(array)).to(self.settings.device) for array in arrays), demos=old)

    def draw(self, replay: Replay, n: int) -> list[NDArray[Any]]:
        """Return `n` relabelled transitions of `replay` as the arrays of a `Batch`, in its order."""
        rows = replay.sample_transitions(n, self.generator)
        goals = self.relabel(replay, rows, self.generator)
        reward, terminated = self.rewards(replay, rows, goals)
        inputs, next_inputs = replay.gather(rows, self.inputs), replay.gather(rows + 1, self.inputs)
        arrays = [inputs, replay.read("action", rows), reward, next_inputs, terminated.astype(np.float32), goals.params]
        return arrays if self.actor_relabel is None else [*arrays, self.actor_relabel(replay, rows, self.generator).params]

    def rewards(self, replay: Replay, rows: NDArray[np.int64], goals: GoalBatch) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return reward and termination (n,) of the transitions of `replay` that begin at `rows` (n,), checked."""
        name = f"reward {type(self.reward).__name__}"
        with raised_by(name):
            reward, terminated = self.reward({key: replay.read(key, rows + 1) for key in self.reward.needs}, goals)
        if np.shape(reward) != rows.shape or np.shape(terminated) != rows.shape:
            raise UserError(f"{name} returned shapes {np.shape(reward)} and {np.shape(terminated)}; expected {rows.shape} twice")
        require_finite(f"a figure of {name}", reward)
        return np.asarray(reward, np.float32), np.asarray(terminated)
