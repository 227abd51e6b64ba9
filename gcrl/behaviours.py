"""Ways to act without anything learnt: a task's scripted expert, and the same disturbed by noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.api import TaskEnv
from envs.errors import UserError


class ScriptedExpert:
    """The expert of each simulator, toward the goal that its observation holds. Raises `UserError` where a task has none."""

    def __init__(self, envs: Sequence[TaskEnv]) -> None:
        if not envs[0].capabilities.expert:
            raise UserError("this environment has no scripted expert; expected policy=random or the folder of a run")
        self.envs = envs

    def __call__(
        self, observations: Mapping[str, NDArray[Any]], goals: NDArray[np.float32], generators: Sequence[np.random.Generator], step: int
    ) -> NDArray[Any]:
        rows = [{key: values[index] for key, values in observations.items()} for index in range(len(self.envs))]
        actions: list[Any] = [getattr(env, "expert_action")(row) for env, row in zip(self.envs, rows, strict=True)]  # noqa: B009 (optional in the contract)
        return np.stack([np.asarray(action) for action in actions])


class NoisyExpert:
    """The expert with Gaussian noise on every action and, now and then, a random action instead.

    noise: standard deviation as a share of half the action range (nothing where actions are discrete). random_share: probability
    of a uniform random action. As in the demonstrations that offline methods are tried on (Park et al. 2025, OGBench, section 5).
    """

    def __init__(self, envs: Sequence[TaskEnv], noise: float, random_share: float) -> None:
        self.expert, self.space = ScriptedExpert(envs), envs[0].action_space
        if isinstance(self.space, spaces.Box) and not self.space.is_bounded():
            raise UserError(f"policy=noisy-scripted in the action space {self.space}; expected a bounded Box, or Discrete")
        self.noise, self.random_share = noise, random_share

    def __call__(
        self, observations: Mapping[str, NDArray[Any]], goals: NDArray[np.float32], generators: Sequence[np.random.Generator], step: int
    ) -> NDArray[Any]:
        actions = self.expert(observations, goals, generators, step)
        return np.stack([self._disturbed(action, generator) for action, generator in zip(actions, generators, strict=True)])

    def _disturbed(self, action: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
        replaced = generator.random() < self.random_share
        if isinstance(self.space, spaces.Discrete):
            return np.asarray(generator.integers(self.space.n) + self.space.start) if replaced else action
        assert isinstance(self.space, spaces.Box)
        low, high = self.space.low, self.space.high
        if replaced:
            return generator.uniform(low, high).astype(np.float32)
        disturbed = action + self.noise * (high - low) / 2 * generator.standard_normal(action.shape)
        return np.asarray(np.clip(disturbed, low, high), np.float32)
