"""A representation and an agent as one thing that acts on an environment's observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import GoalSet, TaskEnv
from envs.errors import UserError
from gcrl.agents.api import Agent
from gcrl.finite import require_finite
from goal_samplers.api import Goals
from goal_samplers.goal_space import GoalSpace, LatentGoals
from goal_samplers.planners.api import SubgoalPlanner
from goal_samplers.planners.direct import Direct
from goal_samplers.told import told
from representations.api import Representation


def input_dim(inputs: Sequence[str], observation_space: Any, latent_dim: int) -> int:
    """Return the width of the policy's input for the named parts (``latent`` or observation keys)."""
    width = 0
    for name in inputs:
        if name == "latent":
            width += latent_dim
        elif name in observation_space.spaces and len(observation_space[name].shape) == 1:
            width += observation_space[name].shape[0]
        else:
            flat = [key for key, space in observation_space.spaces.items() if len(space.shape) == 1]
            raise UserError(f"practice.inputs names '{name}', which this environment does not observe; expected latent, {', '.join(flat)}")
    return width


class Policy:
    """Acts on raw observations: encodes where asked, concatenates the inputs, asks the agent.

    `inputs` are the parts of the policy's input in order: ``latent`` and flat observation keys. `goal_space` is what it is told of goals;
    None: a latent. `planner` puts subgoals on the way (`gcrl.subgoals`), None: none; `act` itself is toward whatever goal it is given.
    """

    def __init__(
        self,
        representation: Representation,
        agent: Agent,
        inputs: Sequence[str],
        goal_space: GoalSpace | None = None,
        planner: SubgoalPlanner | None = None,
    ) -> None:
        self.representation, self.agent, self.inputs = representation, agent, tuple(inputs)
        self.goal_space: GoalSpace = goal_space or LatentGoals(representation.latent_dim)
        self.planner: SubgoalPlanner = planner or Direct()

    def told(self, goals: Goals) -> Goals:
        """Return `goals` as the policy is told them: latents (n, d) become points of its goal space; what is in that space stays."""
        return told(self.goal_space, goals)

    def act(
        self, observations: Mapping[str, NDArray[Any]], goals: NDArray[np.float32], explore: Sequence[np.random.Generator] | None = None
    ) -> NDArray[Any]:
        """Return (n, a) actions for observations {key: (n, ...)} and goals (n, k); `explore` None is deterministic.

        Raises:
            NotFinite: naming the representation or the agent that yielded NaN or infinite figures.
        """
        parts = [self.encode(observations) if name == "latent" else np.asarray(observations[name], np.float32) for name in self.inputs]
        actions = self.agent.act(np.concatenate(parts, axis=1), goals, explore)
        require_finite(f"an action of {type(self.agent).__name__}", actions)
        return actions

    def encode(self, observations: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return finite latents (n, d) of observations {key: (n, ...)}; raise `NotFinite` naming the representation."""
        latents = self.representation.encode(observations)
        require_finite(f"a latent of {type(self.representation).__name__}", latents)
        return latents

    def snapshot(self) -> dict[str, Any]:
        """Return all that another process needs to act alike."""
        parts = {"actor": self.agent.actor_state(), "representation": self.representation.state_dict()}
        if hasattr(self.planner, "state_dict"):
            parts["planner"] = self.planner.state_dict()
        if getattr(self.planner, "plans_by_value", False):
            parts["values"] = getattr(self.agent, "value_state")()  # noqa: B009 (optional in the contract)
        return parts

    def load_snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """Take over the weights of `snapshot`."""
        self.agent.load_actor_state(snapshot["actor"])
        self.representation.load_state_dict(snapshot["representation"])
        if hasattr(self.planner, "load_state_dict"):
            self.planner.load_state_dict(snapshot["planner"])
        if getattr(self.planner, "plans_by_value", False):
            getattr(self.agent, "load_value_state")(snapshot["values"])  # noqa: B009 (optional in the contract)


def as_goals(env: TaskEnv, representation: Representation, goal_set: GoalSet) -> Goals:
    """Return commanded goals as latents (pictures are rendered where the representation looks at pictures); see `Policy.told`.

    Raises:
        UserError: the representation needs pictures of goals that the environment cannot draw, or reads what goals do not have.
    """
    images = goal_set.images
    if images is None and ("image" in representation.keys or (env.capabilities.images and env.capabilities.render_state)):
        if not env.capabilities.render_state:
            raise UserError("this environment cannot draw goal states, so commanded goals have no picture; use representation=identity")
        images = np.stack([env.render_state(state) for state in goal_set.states])
    observations: dict[str, NDArray[Any]] = {"achieved_goal": np.asarray(goal_set.achieved, np.float32)}
    if images is not None:
        observations["image"] = images
    if missing := [key for key in representation.keys if key not in observations]:
        name = type(representation).__name__
        raise UserError(f"{name} reads '{missing[0]}', which goals do not have; expected one that reads {' or '.join(observations)}")
    return Goals(representation.encode(observations), np.full(len(goal_set), -1, np.int64), images, goal_set.achieved, goal_set.starts)
