"""Goals as the policy is told them."""

from __future__ import annotations

from dataclasses import replace

from goal_samplers.api import Goals
from goal_samplers.goal_space import GoalSpace


def told(space: GoalSpace | None, goals: Goals) -> Goals:
    """Return `goals` with latents (n, d) as points of `space`; what is in that space stays, and None stands for latents."""
    if space is None or space.dim == space.latent_dim or goals.params.shape[1] != space.latent_dim:
        return goals
    return replace(goals, params=space.points(goals.params))
