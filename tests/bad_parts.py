"""Parts as a user might bring them, each wrong in one way once it has worked for a while."""

from __future__ import annotations

from typing import Any

import numpy as np

from gcrl.agents.dqn import DQN
from gcrl.rewards import StateDistance
from goal_samplers.commanded import Commanded
from representations.identity import Identity


class NaNReward(StateDistance):
    """NaN from the 30th minibatch on."""

    calls = 0

    def __call__(self, next: Any, goals: Any) -> Any:
        type(self).calls += 1
        reward, terminated = super().__call__(next, goals)
        return (reward * np.nan if self.calls > 30 else reward), terminated


class ColumnReward(StateDistance):
    """Rewards as a column, which would broadcast silently."""

    def __call__(self, next: Any, goals: Any) -> Any:
        reward, terminated = super().__call__(next, goals)
        return reward[:, None], terminated


class NaNRepresentation(Identity):
    """NaN from the 10th batch on."""

    calls = 0

    def encode(self, observations: Any, context: Any = None) -> Any:
        type(self).calls += 1
        latents = super().encode(observations, context)
        return latents * np.float32(np.nan) if self.calls > 10 else latents


class InfiniteLoss(DQN):
    """An infinite loss from the 30th update on."""

    calls = 0

    def update(self, batch: Any) -> Any:
        type(self).calls += 1
        return super().update(batch) | ({"td_loss": float("inf")} if self.calls > 30 else {})


class NaNWeights(DQN):
    """Says that all is well while its weights are not."""

    calls = 0

    def update(self, batch: Any) -> Any:
        type(self).calls += 1
        if self.calls > 30:
            next(self.network.parameters()).data.fill_(float("nan"))
        return {}


class NaNAction(DQN):
    """NaN actions from the 15th step on."""

    calls = 0

    def act(self, inputs: Any, goals: Any, explore: Any = None) -> Any:
        type(self).calls += 1
        actions = super().act(inputs, goals, explore)
        return actions * np.nan if self.calls > 15 else actions


class ActionColumn(DQN):
    """Actions with an axis too many."""

    def act(self, inputs: Any, goals: Any, explore: Any = None) -> Any:
        return super().act(inputs, goals, explore)[:, None]


class SamplerThatRaises(Commanded):
    """Fails in its second epoch."""

    def sample(self, context: Any, n: int) -> Any:
        if context.epoch:
            raise ZeroDivisionError("no candidates left")
        return super().sample(context, n)


class NaNGoals(Commanded):
    """Goals of NaN in its third epoch."""

    def sample(self, context: Any, n: int) -> Any:
        goals = super().sample(context, n)
        if context.epoch > 1:
            goals.params[0] = np.nan
        return goals


class TooFewGoals(Commanded):
    """One goal less than was asked for."""

    def sample(self, context: Any, n: int) -> Any:
        return super().sample(context, n - 1)


class EmptyRows(Commanded):
    """Rows that hold nothing."""

    def sample(self, context: Any, n: int) -> Any:
        return np.full(n, 5_000) if context.epoch else super().sample(context, n)


class FractionalRows(Commanded):
    """Rows that are no integers."""

    def sample(self, context: Any, n: int) -> Any:
        return np.zeros(n) if context.epoch else super().sample(context, n)
