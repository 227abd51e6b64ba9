"""What every sampler needs of the experience before it can propose anything."""

from __future__ import annotations

from envs.errors import UserError
from goal_samplers.api import Experience


def require_frames(experience: Experience, sampler: str) -> None:
    """Raise `UserError` where nothing has been stored yet."""
    if experience.size == 0:
        raise UserError(
            f"{sampler} proposes goals from experience and there is none; expected at least 1 stored frame: collect an episode first"
        )
