"""The task's own goals: what HER-style training practises, and the control for every self-proposed goal."""

from __future__ import annotations

from envs.errors import UserError
from goal_samplers.api import GoalContext, Goals


class Commanded:
    """Practises the goals that the task commands. Practice otherwise never sees them; this sampler asks for them by `needs_commanded`."""

    needs_commanded = True

    def sample(self, context: GoalContext, n: int) -> Goals:
        """Return `n` goals of the task's own distribution; raise `UserError` where the context does not offer them."""
        if context.commanded is None:
            raise UserError("Commanded practises the task's own goals, which are not offered here; expected another sampler, e.g. Uniform")
        return context.commanded(n, context.generator)
