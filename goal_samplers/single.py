"""One goal of the task, over and over: the control that says what proposing goals is worth at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from goal_samplers.api import GoalContext, Goals


class Single:
    """Practises one of the task's own goals and no other, as in "A single goal is all you need" (Liu, Tang & Eysenbach 2024: SGCRL).

    goal: which one, a number that the task's goal is drawn by; the same in every epoch and for every seed of a run. The paper's agent is
    contrastive (agent=crl). Practice sees this goal, as with ``commanded``. Raises `UserError` for a negative number.
    """

    needs_commanded = True

    def __init__(self, goal: int = 0) -> None:
        if goal < 0:
            raise UserError(f"Single: goal = {goal}; expected at least 0")
        self._goal = goal

    def sample(self, context: GoalContext, n: int) -> Goals:
        """Return the goal `n` times, encoded by the representation as it is now; raise `UserError` where the context offers none."""
        if context.commanded is None:
            raise UserError("Single practises a goal of the task, which are not offered here; expected another sampler, e.g. Uniform")
        one = context.commanded(1, np.random.default_rng([self._goal, 23]))

        def again(values: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if values is None else np.repeat(values, n, axis=0)

        return Goals(np.repeat(one.params, n, axis=0), np.repeat(one.rows, n), again(one.images), again(one.achieved), again(one.starts))
