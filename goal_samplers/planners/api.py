"""What a planner is, and what it sees: it puts subgoals between where an episode stands and its goal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from representations.api import Floats


@dataclass
class PlanContext:
    """What a planner may look at when it plans.

    latents: (n, d) where the episodes stand. value: `latents (m, d), goals (m, k) -> (m,)`, the return that the agent expects from there
    toward a goal, in reward units; None where the planner does not ask for it (``plans_by_value``). subgoals: `latents (m, d), goals (m, k)
    -> (m, k)`, what the agent itself would aim at on the way; None where the planner does not ask for it (``plans_by_agent``).
    """

    latents: Floats
    value: Callable[[Floats, Floats], Floats] | None = None
    subgoals: Callable[[Floats, Floats], Floats] | None = None


@runtime_checkable
class SubgoalPlanner(Protocol):
    """Constructed as ``Class(goal_space=GoalSpace, seed=int, **arguments)``, where it names the first two.

    reach: latent distance at which a subgoal counts as reached and the next one's turn comes. patience: steps after which a subgoal is
    given up; 0: never. replan: whether a subgoal that was given up leads to a new plan, from where the episode stands then.
    Optional, found by ``hasattr``: ``dwell``, for how many steps more a subgoal is aimed at once it is within reach, 0 where there is none;
    ``rest``, whether nothing is done any more (actions of zeros) once the goal itself was within reach for as long;
    ``fit(context: GoalContext) -> metrics``, once an epoch on the learner's side, and ``attempts``, not None where it takes every practised
    episode for an attempt at one subgoal (``practice.by_subgoal``);
    ``state_dict``/``load_state_dict``, all that `plan` needs of it as plain arrays and tensors, which the collector is sent;
    ``example_files`` and ``paired_files`` as of goal samplers; ``needs_value = True`` where the context of `fit` must hold the agent's
    values; ``plans_by_value = True`` where that of `plan` must, which takes a policy that sees nothing but latents
    (``practice.inputs=[latent]``), since subgoals are no more than that; ``plans_by_agent = True``, on the same condition, where it
    must hold what an agent of subgoals says.
    """

    reach: float
    patience: int
    replan: bool

    def plan(self, context: PlanContext, goals: Floats) -> Floats:
        """Return (n, m, k) what to aim at, one after another, toward goals (n, k); the last ones are the goals.

        A plan of fewer steps than others repeats its goal.
        """
        ...
