"""An agent that is told the way: for tasks whose action is the goal itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.agents.api import Batch, Floats, Metrics
from gcrl.agents.spaces import ActionRange


class Oracle:
    """Acts with the goal's own parameters: the idealised policy of the corridor (Pong et al. 2020, Skew-Fit, section 6, Figure 3).

    scale: what each goal parameter was multiplied by (that of `Identity`), and is divided by here; None is 1.
    Goals outside of the action range are carried to its edge. There is nothing to learn, nor to explore.
    Raises `UserError` where goals and actions differ in dimension.
    """

    def __init__(
        self,
        input_dim: int,
        goal_dim: int,
        action_space: spaces.Space[Any],
        *,
        seed: int,
        device: str = "cpu",
        batch_size: int = 1,
        scale: Sequence[float] | None = None,
    ) -> None:
        self.range = ActionRange(action_space, "Oracle")
        if goal_dim != self.range.dim:
            raise UserError(
                f"Oracle acts with the goal itself, but goals have {goal_dim} parameters; expected {self.range.dim} as the actions"
            )
        self.batch_size = batch_size
        self.scale = np.ones(goal_dim, np.float32) if scale is None else np.asarray(scale, np.float32)
        if self.scale.shape != (goal_dim,) or not np.isfinite(self.scale).all() or (self.scale == 0).any():
            raise UserError(f"Oracle scale={scale}; expected {goal_dim} finite factors other than 0, one per goal parameter")

    def act(self, inputs: Floats, goals: Floats, explore: Sequence[np.random.Generator] | None = None) -> Floats:
        """Return the goals (n, k) as actions (n, a), within the action range."""
        actions: Floats = np.clip(np.asarray(goals, np.float32) / self.scale, self.range.low, self.range.high)
        return actions

    def update(self, batch: Batch) -> Metrics:
        """Do nothing; return no metrics."""
        return {}

    def set_normalizer(self, inputs_mean: Floats, inputs_std: Floats, goals_mean: Floats, goals_std: Floats) -> None:
        """Do nothing: there is no network."""

    def actor_state(self) -> dict[str, NDArray[Any]]:
        """Return an empty dict: acting needs nothing that was learnt."""
        return {}

    def load_actor_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Accept what `actor_state` returned; raises `UserError` for the state of another agent."""
        self._expect_nothing(state)

    def state_dict(self) -> dict[str, Any]:
        """Return an empty dict."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Accept what `state_dict` returned; raises `UserError` for the state of another agent."""
        self._expect_nothing(state)

    @staticmethod
    def _expect_nothing(state: Mapping[str, Any]) -> None:
        if state:
            raise UserError(f"saved state of Oracle has {', '.join(state)}; expected none: was it saved by another agent?")
