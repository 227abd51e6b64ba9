"""A run folder as something that acts: ``run = gcrl.load(path)``; ``run.act(image, goal_image)``."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import TaskEnv
from envs.errors import UserError
from gcrl import checkpoint
from gcrl.config import read_settings, with_planner
from gcrl.data import Reader
from gcrl.parts import build_env, build_policy, inference_settings
from gcrl.run_folder import checkpoint_of
from gcrl.subgoals import toward_goals


class Run:
    """A practised policy with its representation, loaded from the newest checkpoint of a run folder.

    planner: other settings of its planner, or another one that learns nothing: ``["planner.subgoals=2"]``, ``["planner=none"]``.
    settings: what the run was made of. representation, agent, policy: its parts, ready to use on the CPU.
    """

    def __init__(self, path: str | Path, planner: Sequence[str] = ()) -> None:
        self.path = Path(path)
        if not (self.path / "config.yaml").exists():
            raise UserError(f"{self.path} is not a run folder: it has no config.yaml; expected what `gcrl practice run_dir=...` made")
        made_of = inference_settings(read_settings(self.path / "config.yaml"))
        self.settings = with_planner(made_of, planner)
        state = checkpoint.load(self.path / "checkpoint")
        with checkpoint_of(self.path):
            self.epoch, self.env_steps, self.wall_s = int(state["epoch"]), int(state["env_steps"]), float(state["wall_s"])
            self.updates = int(state["learner"]["updates"])
        with_env = self.environment()
        try:
            self.horizon = with_env.horizon
            self.policy = build_policy(self.settings, with_env)
        finally:
            with_env.close()
        self.agent, self.representation = self.policy.agent, self.policy.representation
        with checkpoint_of(self.path):
            self.agent.load_state_dict(state["learner"]["agent"])
            self.representation.load_state_dict(state["learner"]["representation"])
        if hasattr(self.policy.planner, "load_state_dict"):
            if self.settings.planner.target != made_of.planner.target:
                raise UserError(
                    f"{' '.join(planner)}: this planner learns while a run practises, and {self.path} practised with "
                    f"{made_of.planner.target}; expected that one, or one that learns nothing, such as planner=none"
                )
            try:
                with checkpoint_of(self.path):
                    self.policy.planner.load_state_dict(state["learner"]["planner"])
            except UserError as error:
                if not planner:
                    raise
                raise UserError(f"{' '.join(planner)} does not go with what the planner of {self.path} has learnt: {error}") from error

    def environment(self, horizon: int | None = None) -> TaskEnv:
        """Return a new environment like the one that was practised in, or with another `horizon`; the caller closes it."""
        settings = self.settings
        if horizon is not None:
            settings = dataclasses.replace(settings, env_arguments={**settings.env_arguments, "horizon": horizon})
        return build_env(settings)

    def dataset(self) -> Reader:
        """Return a reader of everything that was tried; the caller closes it."""
        return Reader(self.path / "practice.h5")

    def encode_goal(self, goal: NDArray[Any]) -> NDArray[np.float32]:
        """Return the goal parameters (k,) of a goal picture (H, W, 3) uint8, or of an achieved goal (g,) where goals are states."""
        key = self.representation.keys[0]
        goal = np.asarray(goal)
        if key == "image" and goal.ndim != 3:
            raise UserError(f"this run is commanded by pictures; expected a goal of shape (H, W, 3), got {goal.shape}")
        return np.asarray(self.policy.goal_space.points(self.representation.encode({key: goal[None]}))[0], np.float32)

    def act(self, observation: NDArray[Any] | dict[str, Any], goal: NDArray[Any]) -> NDArray[Any]:
        """Return the deterministic action (a,) for an observation toward a goal, whatever planner the run has: see `toward`.

        Args:
            observation: the environment's observation dict, or the picture (H, W, 3) alone where the policy looks at nothing else.
            goal: a goal picture (H, W, 3) uint8; where goals are states, an achieved goal (g,).

        Raises:
            UserError: the policy needs more than a picture, or the goal has another shape.
        """
        action: NDArray[Any] = self.policy.act(self._batch(observation), self.encode_goal(goal)[None])[0]
        return action

    def toward(self, goal: NDArray[Any]) -> Callable[[NDArray[Any] | dict[str, Any]], NDArray[Any]]:
        """Return what acts through one episode toward a goal, by the subgoals of the run's planner if it has one.

        It is called with one observation after another, as `act` takes them, and returns the action (a,) for each.
        """
        act, told, steps = toward_goals(self.policy), self.encode_goal(goal)[None], itertools.count()
        return lambda observation: np.asarray(act(self._batch(observation), told, [], next(steps))[0])

    def _batch(self, observation: NDArray[Any] | dict[str, Any]) -> dict[str, NDArray[Any]]:
        """Return an observation as a batch of one; raise `UserError` where the policy looks at more than a picture that comes alone."""
        if not isinstance(observation, dict):
            missing = [name for name in self.policy.inputs if name != "latent"]
            if missing:
                raise UserError(f"this policy also looks at {', '.join(missing)}; expected the environment's observation dict")
            observation = {self.representation.keys[0]: observation}
        return {key: np.asarray(value)[None] for key, value in observation.items()}


def load(path: str | Path, planner: Sequence[str] = ()) -> Run:
    """Return the run in folder `path`, with another `planner` where one is named.

    Raises `UserError` where it is no run, its checkpoint is missing or damaged, or the planner does not go with it.
    """
    return Run(path, planner)
