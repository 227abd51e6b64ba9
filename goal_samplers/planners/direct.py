"""No planning: the goal itself is what is aimed at."""

from __future__ import annotations

from goal_samplers.planners.api import PlanContext
from representations.api import Floats


class Direct:
    """Plans nothing, which is the control of every planner."""

    reach, patience, replan = 0.0, 0, False

    def plan(self, context: PlanContext, goals: Floats) -> Floats:
        """Return the goals (n, k) as plans of one step, (n, 1, k)."""
        return goals[:, None]
