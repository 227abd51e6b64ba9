"""A task gone through stage by stage, each a distribution inferred from where it is to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from envs.errors import UserError
from goal_samplers.api import GoalContext
from goal_samplers.goal_space import GoalSpace
from goal_samplers.planners.api import PlanContext
from goal_samplers.stages import Stage, require_stages, stages_of
from representations.api import Floats


class Stages:
    """Subgoals are the stages of a task as examples show them, given the goal: what matters about each, and no more (goal_space=gaussian).

    files, split: as in `StageGoals`, with which the policy learns what a stage asks for. Where goals are latents, a subgoal is the mean.
    patience: steps for each stage; DisCo parts an episode into equal ones. reach: latent distance at which a stage is over before that, in
    what matters about it; 0: never. Plans do not depend on where the episode stands, so none is made anew.
    Source: DisCo RL (Nasiriany et al. 2021), sub-tasks inferred from the final state. Raises `UserError` for arguments out of range.
    """

    replan = False

    def __init__(self, files: Sequence[str], goal_space: GoalSpace, split: str = "train", reach: float = 0.0, patience: int = 25) -> None:
        if patience < 0:
            raise UserError(f"Stages: patience = {patience}; expected at least 0 steps")
        if not 0 <= reach < float("inf"):
            raise UserError(f"Stages: reach = {reach}; expected a distance, at least 0")
        if not patience and not reach:
            raise UserError("Stages: patience = 0 and reach = 0 would never end a stage; expected one of them above 0")
        self.reach, self.patience = reach or -1.0, patience  # no distance is below 0
        self._files, self._split, self._space = require_stages("Stages", files), split, goal_space
        self.example_files = tuple((file, split) for file in self._files)
        self.paired_files = (self.example_files,)
        self._stages: list[Stage] = []

    def fit(self, context: GoalContext) -> dict[str, float]:
        """Learn the stages anew from the examples, as the representation encodes them now.

        Metrics: ``unexplained``, the share of the stages' variance that the end does not tell, 0 to 1.
        """
        self._stages, _ = stages_of(context, self._files, self._split)
        return {"unexplained": float(np.mean([stage.unexplained for stage in self._stages]))}

    def plan(self, context: PlanContext, goals: Floats) -> Floats:
        """Return (n, stages, k): the stages toward goals (n, k), and the goals. Before the first fit the goals alone."""
        ends = goals[:, : self._space.latent_dim]
        return np.stack([*(stage.goals(self._space, ends) for stage in self._stages), goals], axis=1)

    def state_dict(self) -> dict[str, Any]:
        return {str(index): asdict(stage) for index, stage in enumerate(self._stages)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._stages = [Stage.of_state(state[str(index)]) for index in range(len(state))]
