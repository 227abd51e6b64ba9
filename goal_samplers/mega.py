"""MEGA: practise the rarest goals that are thought to be in reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.errors import UserError
from goal_samplers.api import Density, DrawRows, GoalContext, Rows
from goal_samplers.candidates import expected_returns, pick, require_density
from goal_samplers.experience import require_frames

EASY, HARD = 0.7, 0.3  # shares of goals reached beyond which the cutoff moves


class MEGA:
    """Of `choices` stored frames, the one of lowest density among those that the agent expects to reach: maximum entropy gain.

    Pitis, Chan, Zhao, Stadie & Ba 2020, "Maximum entropy gain exploration for long horizon multi-goal reinforcement learning".

    density: of the frames seen so far; the paper's is a KDE of width 0.1 on ``achieved_goal``. candidates: frames that are scored, from
    which every goal's `choices` are drawn. cutoff: the least return (reward units, counted from the first frames of stored episodes) of a
    goal in reach; None: all are. It moves down by `step` where at least 0.7 of the goals practised last were reached, up where at most 0.3
    were, within `lowest` and the cutoff at first. Where none of the choices is in reach, the one of highest return is taken.
    Raises `UserError` for numbers out of range and where `density` is none.
    """

    def __init__(
        self,
        density: Density,
        candidates: int = 4096,
        choices: int = 100,
        cutoff: float | None = -3.0,
        step: float = 1.0,
        lowest: float = -50.0,
    ) -> None:
        require_density(density, "MEGA")
        for name, value in (("candidates", candidates), ("choices", choices)):
            if value < 1:
                raise UserError(f"MEGA: {name} = {value}; expected at least 1")
        if step < 0:
            raise UserError(f"MEGA: step = {step}; expected at least 0 (0: the cutoff stays)")
        if cutoff is not None and not lowest <= cutoff:
            raise UserError(f"MEGA: lowest = {lowest}; expected at most the cutoff, {cutoff}")
        self._density, self.candidates, self._choices = density, candidates, choices
        self._first, self._step, self._lowest = cutoff, step, lowest
        self.cutoff = cutoff
        self.needs_value = cutoff is not None
        self._fitted = False

    def fit(self, context: GoalContext, draw: DrawRows) -> dict[str, float]:
        """Fit the density to the frames as they are and move the cutoff; `draw` is not used, since this sampler has no weights.

        Metrics: the density's, ``cutoff``, and ``in_reach``, the share of the candidates beyond it.
        """
        require_frames(context.experience, "MEGA")
        metrics = dict(self._density.fit(context, lambda n: context.experience.sample_rows(n, context.generator)))
        self._fitted = True
        if self.cutoff is None or self._first is None:
            return metrics
        if context.reached >= EASY:
            self.cutoff = max(self._lowest, self.cutoff - self._step)
        elif context.reached <= HARD:
            self.cutoff = min(self._first, self.cutoff + self._step)
        rows = context.experience.sample_rows(self.candidates, context.generator)
        in_reach = expected_returns(context, rows, "MEGA") >= self.cutoff
        return metrics | {"cutoff": self.cutoff, "in_reach": float(in_reach.mean())}

    def sample(self, context: GoalContext, n: int) -> Rows:
        """Return (n,) rows; uniform ones before the first fit."""
        require_frames(context.experience, "MEGA")
        rows = context.experience.sample_rows(self.candidates if self._fitted else n, context.generator)
        if not self._fitted:
            return rows
        scores = -np.asarray(self._density.log_prob(context.experience, rows, context.generator), np.float64)
        if self.cutoff is not None:
            returns = expected_returns(context, rows, "MEGA")
            # What is out of reach comes after all that is not, in the order of returns.
            behind = scores.min() - 1.0 + np.minimum(returns - self.cutoff, 0.0)
            scores = np.where(returns >= self.cutoff, scores, behind)
        return pick(rows, scores, n, self._choices, context.generator)

    def state_dict(self) -> dict[str, Any]:
        density = self._density.state_dict() if hasattr(self._density, "state_dict") else {}
        return {"fitted": int(self._fitted), "cutoff": float("nan") if self.cutoff is None else self.cutoff, "density": density}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if missing := {"fitted", "cutoff", "density"} - set(state):
            raise UserError(f"the saved state of MEGA has no '{min(missing)}'; expected fitted, cutoff, density")
        self._fitted = bool(state["fitted"])
        if self.cutoff is not None:
            self.cutoff = float(state["cutoff"])
        if hasattr(self._density, "load_state_dict"):
            self._density.load_state_dict(state["density"])
