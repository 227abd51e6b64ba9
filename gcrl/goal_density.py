"""DisCo's reward: how likely a state is under a goal that is a distribution."""

from __future__ import annotations

import numpy as np

from envs.api import TaskEnv
from envs.errors import UserError, unknown
from gcrl.relabel import GoalBatch
from gcrl.rewards import Bools, Next, Plain, never
from goal_samplers.gaussian_goals import GaussianGoals, squares
from goal_samplers.goal_space import GoalSpace
from representations.api import Floats, Representation


class GoalDensity(Plain):
    """The log-density of the next latent under the goal's Gaussian, up to a constant of the goal; never terminates.

    With z' − μ the difference from the goal's mean and P its precision, q = (z' − μ)ᵀ P (z' − μ):
    form: "log_density", −q / 2 nats (DisCo RL, Nasiriany et al. 2021, whose reward is log p(s'; ω)); "distance", −√q · min_std, in latent
    units, which falls off evenly and, for a goal that is one latent, is minus the distance to it. scale: what the reward is divided by.
    The constant is left out, since no action changes it. Raises `UserError` for another form or scale, and where goals are no Gaussians.
    """

    needs = ("latent",)
    any_goal_space = True

    def __init__(
        self, *, env: TaskEnv, representation: Representation, goal_space: GoalSpace, form: str = "log_density", scale: float = 1.0
    ) -> None:
        if not isinstance(goal_space, GaussianGoals):
            raise UserError(
                f"reward GoalDensity needs goals that are distributions, and goals are {type(goal_space).__name__}; "
                "expected goal_space=gaussian"
            )
        if form not in ("log_density", "distance"):
            raise unknown("reward.form", form, ("distance", "log_density"))
        if not 0 < scale < float("inf"):
            raise UserError(f"reward.scale={scale!r}; expected a positive number")
        self.form, self.scale, self._space = form, float(scale), goal_space

    def __call__(self, next: Next, goals: GoalBatch) -> tuple[Floats, Bools]:
        """Return (reward (n,), all False)."""
        if self.form == "distance":
            reward = -self._space.distance(next["latent"], goals.params)
        else:
            means, precisions = self._space.mean_and_precision(goals.params)
            reward = -0.5 * squares(next["latent"] - means, precisions)
        return np.asarray(reward / np.float32(self.scale), np.float32), never(goals)
