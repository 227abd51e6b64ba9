"""What of practice worked: transitions of the episodes that came to what they were after."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gcrl.replay import Replay
from gcrl.ring import expand
from goal_samplers.experience import came


class Reached:
    """Draws transitions of a replay from the episodes that ended within a latent distance of their own goal, and from no others.

    A policy that clones everything it did clones its failures too, as ways to where they led; one that clones what worked moves toward
    what works (self-imitation: Oh et al. 2018).
    """

    def __init__(self, distance: float) -> None:
        self.distance = distance
        self._rows = np.zeros(0, np.int64)

    def fit(self, replay: Replay) -> None:
        """Take over the stored episodes and goals as they are encoded now."""
        starts, lengths = replay.episodes()
        worked = came(replay, replay.rollout_goals(starts).params, self.distance)
        self._rows = expand(starts[worked], lengths[worked] - 1)

    def draw(self, n: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return (n,) rows that have a successor, uniform over the steps of those episodes; none where no episode worked."""
        return self._rows[generator.integers(0, len(self._rows), n)] if len(self._rows) else self._rows
