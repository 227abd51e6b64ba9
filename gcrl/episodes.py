"""Episodes as plain arrays: what the collector returns, replay stores and the dataset writer appends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import TaskEnv


@dataclass
class Episodes:
    """n episodes padded to T steps; rows past ``lengths`` repeat the last frame and count for nothing.

    observations: {key: (n, T+1, ...)}: observation, achieved_goal[, image, proprioception].
    actions: (n, T, a) float32, or (n, T) int64. terminated: (n, T) bool, by the practised goal. lengths: (n,) steps.
    seeds: (n,) the seed each episode was reset and explored with.
    goals: (n, k) float32 what the policy was conditioned on. goal_rows: (n,) source rows in replay, -1 otherwise.
    goal_images: (n, H, W, 3) uint8 or None. goal_achieved: (n, g), NaN where unknown, or None.
    rewards: (n, T) float32, filled by the learner from the practised goal.
    states: (n, T+1, m) the environment's goal state at every row, or None where it was not recorded.
    aborted: why the robot stopped, once for each episode that it ended early; none in a simulator.
    epoch, provenance: where the episodes came from ("practice", "random", "scripted", "real", "imagined").
    """

    observations: dict[str, NDArray[Any]]
    actions: NDArray[Any]
    terminated: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    seeds: NDArray[np.int64]
    goals: NDArray[np.float32]
    goal_rows: NDArray[np.int64]
    goal_images: NDArray[np.uint8] | None = None
    goal_achieved: NDArray[Any] | None = None
    rewards: NDArray[np.float32] | None = None
    epoch: int = 0
    provenance: str = "practice"
    aborted: tuple[str, ...] = ()
    states: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def first(self, n: int) -> Episodes:
        """Return the first `n` episodes."""
        if n >= len(self):
            return self
        cut = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        cut |= {name: value[:n] for name, value in cut.items() if isinstance(value, np.ndarray)}
        return Episodes(**cut | {"observations": {key: value[:n] for key, value in self.observations.items()}})

    @classmethod
    def join(cls, parts: Sequence[Episodes]) -> Episodes:
        """Return the episodes of `parts`, which have the same T and lack the same, one after the other."""

        def joined(name: str) -> Any:
            values = [getattr(part, name) for part in parts]
            return None if values[0] is None else np.concatenate(values)

        names = [entry.name for entry in fields(cls) if entry.name not in ("observations", "epoch", "provenance")]
        observations = {key: np.concatenate([part.observations[key] for part in parts]) for key in parts[0].observations}
        return cls(observations, **{name: joined(name) for name in names}, epoch=parts[0].epoch, provenance=parts[0].provenance)

    @property
    def steps(self) -> int:
        """Number of real steps in all episodes together."""
        return int(self.lengths.sum())


def share_reached(env: TaskEnv, episodes: Episodes, ever: bool = False) -> float:
    """Return the share of the episodes that ended at their goal, by the environment's test; NaN where none has a goal that is known.

    ever: that were at it at any time, for episodes that go on to explore from there.
    """
    if episodes.goal_achieved is None:
        return float("nan")
    known = np.isfinite(episodes.goal_achieved).all(axis=-1)
    if not known.any():
        return float("nan")
    achieved, goals = episodes.observations["achieved_goal"][known], episodes.goal_achieved[known]
    if ever:  # past an episode's end its last frame is repeated
        there = env.success(achieved, np.repeat(goals[:, None], achieved.shape[1], axis=1)).any(axis=1)
    else:
        there = env.success(achieved[np.arange(len(achieved)), episodes.lengths[known]], goals)
    return float(np.mean(there))
