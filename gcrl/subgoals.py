"""Acting toward subgoals: a plan for every episode, gone through one subgoal after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.finite import raised_by, require_finite
from gcrl.plan_quality import PlanQuality
from gcrl.policy import Policy
from gcrl.rollout import Act
from goal_samplers.planners.api import PlanContext
from goal_samplers.planners.direct import Direct


def toward_goals(policy: Policy, explore: bool = False, planned: bool = True) -> Act:
    """Return how `policy` acts: toward the goals themselves, or by `Subgoals` where it has a planner, unless `planned` is false.

    explore: as in practice.
    """
    if not planned or isinstance(getattr(policy, "planner", None), Direct | None):
        return lambda observations, goals, generators, step: policy.act(observations, goals, generators if explore else None)
    return Subgoals(policy, explore)


class Subgoals:
    """Acts by `policy` toward what its planner puts between the episodes and their goals.

    A subgoal is left for the next one where its latent is within the planner's ``reach`` and was for ``dwell`` steps before, or after
    ``patience`` steps, when a new plan may be made too; the goal itself is left for a new plan alone. A planner that says ``rest`` has an
    episode do nothing (actions of zeros) once it was as long at the goal itself, for as long as it stays there. explore: with the agent's
    exploration, as in practice.
    """

    def __init__(self, policy: Policy, explore: bool = False) -> None:
        self.policy, self.explore = policy, explore
        self.plans = np.zeros((0, 1, policy.goal_space.dim), np.float32)
        self.at = self.since = self.held = np.zeros(0, np.int64)  # which subgoal it is, since how many steps, and for how many within reach
        self.arrived = np.zeros(0, np.int64)  # steps in a row within reach of the goal itself
        self.quality = PlanQuality()

    def __call__(
        self, observations: Mapping[str, NDArray[Any]], goals: NDArray[np.float32], generators: Sequence[np.random.Generator], step: int
    ) -> NDArray[Any]:
        if step == 0:
            self.plans = self.plan(self.policy.encode(observations), goals)
            self.at = self.since = self.held = self.arrived = np.zeros(len(goals), np.int64)
        elif self.plans.shape[1] > 1 or self.policy.planner.patience or self.rests:
            self.move_on(self.policy.encode(observations), goals)
        actions = self.policy.act(observations, self.aims, generators if self.explore else None)
        if self.rests:
            actions = np.where((self.arrived > getattr(self.policy.planner, "dwell", 0))[:, None], np.zeros_like(actions), actions)
        return actions

    @property
    def rests(self) -> bool:
        """Whether nothing is done any more at the goal."""
        return bool(getattr(self.policy.planner, "rest", False))

    @property
    def aims(self) -> NDArray[np.float32]:
        """(n, k) what each episode aims at now."""
        return np.asarray(self.plans[np.arange(len(self.at)), self.at])

    def move_on(self, latents: NDArray[np.float32], goals: NDArray[np.float32]) -> None:
        """Go on to the next subgoal where it is time, or plan anew where one was given up and the planner says so."""
        planner, rows = self.policy.planner, np.arange(len(goals))
        self.since = self.since + 1
        wanted, last = self.plans[rows, self.at], self.at == self.plans.shape[1] - 1
        there = self.distance(latents, wanted) <= planner.reach
        self.held = np.where(there, self.held + 1, 0)
        self.arrived = np.where(there & (wanted == goals).all(axis=1), self.arrived + 1, 0)
        late = ~there & (planner.patience > 0) & (self.since >= planner.patience)
        moved = ((self.held > getattr(planner, "dwell", 0)) | late) & ~last
        self.at, self.since, self.held = self.at + moved, np.where(moved | late, 0, self.since), np.where(moved, 0, self.held)
        if planner.replan and late.any():
            self.replace(late, self.plan(latents[late], goals[late]))

    def plan(self, latents: NDArray[np.float32], goals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return plans (n, m, k) from latents (n, d) to goals (n, k), which `quality` takes in."""
        plans = planned(self.policy, latents, goals)
        value = getattr(self.policy.agent, "value", None) if getattr(self.policy.planner, "plans_by_value", False) else None
        known = np.isfinite(goals).all(axis=1)  # rows without an episode have no goal
        self.quality.add(latents[known], goals[known], plans[known], value)
        return plans

    def distance(self, latents: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n,) how far latents (n, d) are from subgoals (n, k), in what matters about them where goals are more than latents."""
        space = self.policy.goal_space
        if hasattr(space, "distance"):
            return np.asarray(space.distance(latents, wanted))
        return np.asarray(np.linalg.norm(latents - wanted[:, : latents.shape[1]], axis=1))

    def replace(self, which: NDArray[np.bool_], plans: NDArray[np.float32]) -> None:
        """Give the episodes that `which` (n,) says new `plans` (m, s, k), to begin with."""
        steps = max(self.plans.shape[1], plans.shape[1])
        self.plans, plans = (
            np.concatenate([given, np.repeat(given[:, -1:], steps - given.shape[1], axis=1)], axis=1) for given in (self.plans, plans)
        )
        self.plans[which] = plans
        self.at = np.where(which, 0, self.at)


def planned(policy: Policy, latents: NDArray[np.float32], goals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the plans (n, m, k) of the policy's planner, from latents (n, d) to goals (n, k), checked.

    Raises:
        NotFinite: a subgoal is NaN or infinite where its goal is not. UserError: they are of the wrong shape. Both name the planner.
    """
    planner = policy.planner
    name = f"planner {type(planner).__name__}"
    asked = {"value": getattr(planner, "plans_by_value", False), "subgoals": getattr(planner, "plans_by_agent", False)}
    of_agent = {what: getattr(policy.agent, what, None) for what, wanted in asked.items() if wanted}
    with raised_by(name):
        plans = np.asarray(planner.plan(PlanContext(latents, **of_agent), goals), np.float32)
    if plans.ndim != 3 or plans.shape[0] != len(goals) or plans.shape[1] < 1 or plans.shape[2] != goals.shape[1]:
        raise UserError(f"{name} returned plans of shape {plans.shape}; expected ({len(goals)}, at least 1, {goals.shape[1]})")
    require_finite(f"a subgoal of {name}", plans[np.isfinite(goals).all(axis=1)])
    return plans
