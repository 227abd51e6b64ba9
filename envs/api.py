"""What gcrl asks of an environment beyond Gymnasium's goal-environment convention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Capabilities:
    """What an environment can do; a real robot or a foreign simulator lacks some of it.

    state: ``get_state``/``set_state`` round trips are exact, across processes too.
    render_state: ``render_state(goal_state)`` draws a configuration without disturbing the episode.
    reset: the scene can be put back to its start (false: reset-free only).
    goal_states: goals are full states (arm and scene), so that a goal picture is defined.
    expert: ``expert_action`` exists.
    images: observations carry ``image`` (and ``proprioception``).
    copies: several may exist side by side (false: there is one robot).
    """

    state: bool = False
    render_state: bool = False
    reset: bool = True
    goal_states: bool = False
    expert: bool = False
    images: bool = False
    copies: bool = True


@dataclass
class GoalSet:
    """Goals as full states, with what they mean to the task.

    states: (n, m) goal states, in the layout of the environment's ``render_state``; (n, g) achieved goals where it has none.
    achieved: (n, g) the same in the space of ``achieved_goal``.
    images: (n, H, W, 3) uint8 pictures, or None where not rendered.
    starts: (n, m) goal states in which the episodes of these goals begin (``options={"start": s}``); None: where any reset leads.
    """

    states: Floats
    achieved: Floats
    images: Images | None = None
    starts: Floats | None = None

    def __len__(self) -> int:
        return len(self.achieved)

    def take(self, index: Any) -> GoalSet:
        """Return the goals at `index` (slice, mask or integers)."""
        images, starts = (None if values is None else values[index] for values in (self.images, self.starts))
        return GoalSet(self.states[index], self.achieved[index], images, starts)

    def options(self, index: int) -> dict[str, Any]:
        """Return the options of a reset toward goal `index`: the goal, and where its episode begins if that matters."""
        start = {} if self.starts is None else {"start": self.starts[index]}
        return {"goal": self.achieved[index], **start}

    @classmethod
    def join(cls, parts: Sequence[GoalSet]) -> GoalSet:
        """Return the goals of `parts`, which have the same attributes, one after the other."""

        def joined(name: str) -> Any:
            values = [getattr(part, name) for part in parts]
            return None if values[0] is None else np.concatenate(values)

        return cls(*(joined(name) for name in ("states", "achieved", "images", "starts")))


@runtime_checkable
class TaskEnv(Protocol):
    """A Gymnasium environment with dict observations {observation, achieved_goal, desired_goal[, image, proprioception]}.

    ``reset(seed=, options=)`` understands ``{"goal": (g,) array}`` (the desired goal), ``{"keep_state": True}``
    (reset-free: a new episode from where the last one ended) and, where goals are full states, ``{"start": (m,) array}`` (the goal
    state to begin in, at rest). All ``compute_*`` are vectorised over leading axes.
    Optional, found by ``hasattr``: ``coverage(achieved_goals (n, g)) -> dict[str, float]``, how much of the task's goals a set of
    visited ones spans (Corridor: entropy in nats and share of cells; a door: the same over bins of its angle);
    ``expert_action(observation) -> (a,)`` with the capability ``expert``. What files of goals say (`gcrl goals`) comes from
    ``goal_state() -> (m,)``, the present configuration as a goal state; ``penetration() -> m``, the deepest contact right now;
    ``camera``, ``cameras`` and ``picture(size, camera=name) -> (size, size, 3)``, other views of the present; ``task``, a name;
    ``goal_tasks(goals) -> [str]``, the task or skill of each goal of a `GoalSet` (several joined by "+"); ``skills``, their names where
    they are known beforehand; ``goal_objects(goals) -> [[str]]``, its objects.
    ``next_goal(state (m,), generator) -> GoalSet``, one goal to pursue from a goal state, where goals depend on it: how `gcrl collect`
    plays. ``analogous(goals, generator) -> GoalSet``, goals that ask for the same in scenes that look otherwise: examples for goals by
    analogy.
    """

    observation_space: spaces.Dict
    action_space: spaces.Space[Any]
    capabilities: Capabilities
    horizon: int
    factors: tuple[str, ...]  # a name per entry of achieved_goal, with its unit: "door_angle_rad"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]: ...

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]: ...

    def compute_reward(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Floats: ...

    def compute_terminated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools: ...

    def compute_truncated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools: ...

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        """Return (n,) whether each achieved goal (n, g) fulfils the desired goal (n, g) by the task's own test."""
        ...

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return the task's own figures per row with their unit in the name, always with ``distance``."""
        ...

    def sample_goals(self, n: int, generator: np.random.Generator) -> GoalSet:
        """Return `n` commanded goals drawn from the task's own goal distribution (no images)."""
        ...

    def fixed_goals(self, split: str) -> GoalSet:
        """Return the committed goals of `split`: ``"test"`` (100, for figures) or ``"tune"`` (for everything else)."""
        ...

    def render_state(self, state: Floats) -> Images:
        """Return the (H, W, 3) uint8 picture of a goal state (m,); needs the capability ``render_state``."""
        ...

    def get_state(self) -> bytes: ...

    def set_state(self, state: bytes) -> None: ...

    def close(self) -> None: ...
