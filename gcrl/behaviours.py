"""Ways to act around what was learnt: a task's scripted expert, the same disturbed by noise, and exploring where a goal was reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.api import TaskEnv
from envs.errors import UserError
from gcrl.rollout import Act
from goal_samplers.api import Goals


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


class GoExplore:
    """Acts toward a goal, and at random once it is there: what is new lies beyond what was reached (Ecoffet et al. 2019; MEGA 2020).

    act: what acts until then. random: random actions. goals: all that are to be practised, a wave of `width` at a time in order.
    success: the environment's test, (n, g), (n, g) -> (n,). share: probability that the time from arrival on is spent at random, drawn
    once for an episode. Goals whose place is not known (imagined ones) count as reached after half of the `horizon`.
    """

    def __init__(
        self,
        act: Act,
        random: Act,
        goals: Goals,
        success: Callable[[Any, Any], NDArray[np.bool_]],
        *,
        share: float,
        width: int,
        horizon: int,
    ) -> None:
        self.act, self.random, self.goals, self.success = act, random, goals, success
        self.share, self.width, self.horizon = share, width, horizon
        self.wave = -1
        self.explores = self.arrived = np.zeros(width, np.bool_)

    def __call__(
        self, observations: Mapping[str, NDArray[Any]], goals: NDArray[np.float32], generators: Sequence[np.random.Generator], step: int
    ) -> NDArray[Any]:
        if step == 0:
            self.wave += 1
            self.arrived = np.zeros(self.width, np.bool_)
            self.explores = np.array([generator.random() < self.share for generator in generators])
        self.arrived = self.arrived | self._there(observations["achieved_goal"], step)
        toward, away = self.act(observations, goals, generators, step), self.random(observations, goals, generators, step)
        chosen = (self.arrived & self.explores).reshape(-1, *[1] * (toward.ndim - 1))
        return np.where(chosen, away, toward)

    def _there(self, achieved: NDArray[Any], step: int) -> NDArray[np.bool_]:
        """Return (K,) whether each simulator is at its goal now."""
        waited = np.full(self.width, step >= self.horizon // 2)
        if self.goals.achieved is None:
            return waited
        rows = np.minimum(self.wave * self.width + np.arange(self.width), len(self.goals) - 1)
        wanted = np.asarray(self.goals.achieved[rows], np.float64)
        known = np.isfinite(wanted.reshape(len(rows), -1)).all(axis=1)
        there = np.array(self.success(achieved, np.where(np.isfinite(wanted), wanted, achieved)), np.bool_)
        return np.where(known, there, waited)


class NoisyExpert:
    """The expert with Gaussian noise on every action and, now and then, a random action instead.

    noise: standard deviation as a share of half the action range (nothing where actions are discrete). random_share: probability
    of a uniform random action. As in the demonstrations that offline methods are tried on (Park et al. 2025, OGBench, section 5).
    """

    def __init__(self, envs: Sequence[TaskEnv], noise: float, random_share: float) -> None:
        self.expert, self.space = ScriptedExpert(envs), envs[0].action_space
        if isinstance(self.space, spaces.Box) and not self.space.is_bounded():
            raise UserError(f"a noisy expert in the action space {self.space}; expected a bounded Box, or Discrete")
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
