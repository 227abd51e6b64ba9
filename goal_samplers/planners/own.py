"""Subgoals of the agent's own: a hierarchical agent is asked at every step where to be next."""

from __future__ import annotations

import numpy as np

from envs.errors import UserError
from goal_samplers.planners.api import PlanContext
from representations.api import Floats


class Own:
    """Aims at what the agent's high policy says, and asks it anew after `patience` steps (HIQL: every step).

    reach: latent distance at which a subgoal gives way to the goal until the next plan; 0: never, as in HIQL.
    Source: HIQL (Park et al. 2023), algorithm 1. Raises `UserError` for arguments out of range and for an agent that has no such policy.
    """

    plans_by_agent = True

    def __init__(self, patience: int = 1, reach: float = 0.0) -> None:
        if patience < 1:
            raise UserError(f"planner Own: patience = {patience}; expected at least 1 step, after which the agent is asked again")
        if not 0 <= reach < float("inf"):
            raise UserError(f"planner Own: reach = {reach}; expected a number of at least 0")
        self.patience, self.reach, self.replan = patience, reach, True

    def plan(self, context: PlanContext, goals: Floats) -> Floats:
        """Return (n, 2, k): the agent's subgoal on the way to goals (n, k), and the goals."""
        if context.subgoals is None:
            raise UserError("planner Own needs an agent of subgoals; expected agent=hiql")
        return np.stack([context.subgoals(context.latents, goals), goals], axis=1)
