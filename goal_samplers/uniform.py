"""Goals uniform over everything seen so far: the replay control of LEXA and of Skew-Fit's α = 0."""

from __future__ import annotations

from goal_samplers.api import GoalContext, Rows
from goal_samplers.experience import require_frames


class Uniform:
    """Proposes stored frames, each with the same probability."""

    def sample(self, context: GoalContext, n: int) -> Rows:
        """Return (n,) rows, with replacement; raise `UserError` where nothing is stored."""
        require_frames(context.experience, "Uniform")
        return context.experience.sample_rows(n, context.generator)
