"""What episodes aimed at on the way, as pictures beside their film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcrl.subgoals import Subgoals


class Aims:
    """Acts as `subgoals` does and remembers what the first `episodes` of T steps aimed at; waves of episodes begin at step 0.

    Used for films: `pictures` shows the aims, where the representation has a decoder.
    """

    def __init__(self, subgoals: Subgoals, episodes: int, horizon: int) -> None:
        self.subgoals, self.first = subgoals, 0
        self.latents = np.zeros((episodes, horizon, subgoals.policy.goal_space.latent_dim), np.float32)
        self._width = 0  # of the wave that is going on

    def __call__(
        self, observations: Mapping[str, NDArray[Any]], goals: NDArray[np.float32], generators: Sequence[np.random.Generator], step: int
    ) -> NDArray[Any]:
        if step == 0:
            self.first, self._width = self.first + self._width, len(goals)
        actions = self.subgoals(observations, goals, generators, step)
        here = self.latents[self.first : self.first + len(goals), step]
        here[:] = self.subgoals.aims[: len(here), : here.shape[1]]
        return actions

    def pictures(self) -> NDArray[np.uint8] | None:
        """Return (episodes, T + 1, H, W, 3) the decoded aims, the last of each again at the end; None without a decoder."""
        decode = getattr(self.subgoals.policy.representation, "decode", None)
        if decode is None or not self.latents.size:
            return None
        drawn = np.stack([decode(latents) for latents in self.latents])
        return np.concatenate([drawn, drawn[:, -1:]], axis=1)
