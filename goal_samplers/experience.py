"""What samplers and planners ask of the experience."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from goal_samplers.api import Experience
from representations.api import Floats


def require_frames(experience: Experience, sampler: str) -> None:
    """Raise `UserError` where nothing has been stored yet."""
    if experience.size == 0:
        raise UserError(
            f"{sampler} proposes goals from experience and there is none; expected at least 1 stored frame: collect an episode first"
        )


def came(experience: Experience, aims: Floats, distance: float) -> NDArray[np.bool_]:
    """Return (e,) whether each stored episode ended within a latent `distance` of its aim (e, k ≥ d), whose first d numbers are a latent;
    False where there was none (NaN)."""
    starts, lengths = experience.episodes()
    ends = experience.read("latent", starts + lengths)
    return np.asarray(np.linalg.norm(ends - aims[:, : ends.shape[1]], axis=1) <= distance)
