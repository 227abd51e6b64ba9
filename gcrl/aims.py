"""What episodes aimed at on the way: pictures beside their film, and where practice cuts them into pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcrl.policy import Policy
from gcrl.subgoals import Subgoals

Decode = Callable[[NDArray[np.float32]], NDArray[np.uint8]]


def decoder(policy: Policy) -> Decode | None:
    """Return what draws goals (n, k) as pictures (n, H, W, 3), None where the representation of `policy` has no decoder."""
    decode = getattr(policy.representation, "decode", None)
    return None if decode is None else lambda goals: np.asarray(decode(goals[:, : policy.goal_space.latent_dim]))


class Aims:
    """Acts as `subgoals` does and remembers what the first `episodes` of T steps aimed at; waves of episodes begin at step 0.

    goals: (episodes, T, k) the aims, zero past an episode's end. `pictures` shows them, where the representation has a decoder.
    """

    def __init__(self, subgoals: Subgoals, episodes: int, horizon: int) -> None:
        self.subgoals, self.first = subgoals, 0
        self.goals = np.zeros((episodes, horizon, subgoals.policy.goal_space.dim), np.float32)
        self._width = 0  # of the wave that is going on

    def __call__(
        self, observations: Mapping[str, NDArray[Any]], goals: NDArray[np.float32], generators: Sequence[np.random.Generator], step: int
    ) -> NDArray[Any]:
        if step == 0:
            self.first, self._width = self.first + self._width, len(goals)
        actions = self.subgoals(observations, goals, generators, step)
        here = self.goals[self.first : self.first + len(goals), step]
        here[:] = self.subgoals.aims[: len(here)]
        return actions

    def pictures(self) -> NDArray[np.uint8] | None:
        """Return (episodes, T + 1, H, W, 3) the decoded aims, the last of each again at the end; None without a decoder."""
        decode = decoder(self.subgoals.policy)
        if decode is None or not self.goals.size:
            return None
        drawn = np.stack([decode(goals) for goals in self.goals])
        return np.concatenate([drawn, drawn[:, -1:]], axis=1)
