"""What lies far from its nearest neighbours: novelty without a density model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from envs.errors import UserError
from goal_samplers.api import GoalContext, Rows
from goal_samplers.candidates import pick
from goal_samplers.experience import require_frames


class Neighbours:
    """Of `choices` stored frames, the one whose `neighbours` nearest are farthest away on average in the latent space.

    TLDR's goals (Bae, Park & Lee 2024, "TLDR: Unsupervised goal-conditioned RL via temporal distance-aware representations"), whose latent
    distances are temporal ones (representation=temporal); with any other representation it is novelty by that one's distance.

    candidates: frames among which goals are chosen and neighbours looked for, so the distances are those of a sample and not of the
    whole replay. Raises `UserError` for numbers below 1.
    """

    def __init__(self, neighbours: int = 12, candidates: int = 4096, choices: int = 100) -> None:
        for name, value in (("neighbours", neighbours), ("candidates", candidates), ("choices", choices)):
            if value < 1:
                raise UserError(f"Neighbours: {name} = {value}; expected at least 1")
        self._neighbours, self.candidates, self._choices = neighbours, candidates, choices

    def sample(self, context: GoalContext, n: int) -> Rows:
        """Return (n,) rows; raise `UserError` before anything is stored."""
        require_frames(context.experience, "Neighbours")
        rows = np.unique(context.experience.sample_rows(self.candidates, context.generator))  # a frame is no neighbour of itself
        return pick(rows, self._novelty(context.experience.read("latent", rows)), n, self._choices, context.generator)

    def _novelty(self, latents: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (m,) mean distances of latents (m, d) to their nearest neighbours; 0 for one alone."""
        count = min(self._neighbours, len(latents) - 1)
        if count < 1:
            return np.zeros(len(latents))
        distances, _ = cKDTree(latents).query(latents, k=np.arange(2, count + 2))  # the first is the frame itself
        return np.asarray(distances.mean(axis=1), np.float64)
