"""What a goal is, as the policy is told it: one latent, or more than that (`goal_samplers.gaussian_goals`)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from representations.api import Floats


@runtime_checkable
class GoalSpace(Protocol):
    """Goal parameters (n, k) of latents (n, d); the first d of them are a latent.

    Constructed as ``Class(latent_dim=int, **arguments)``. latent_dim: d. dim: k.
    Optional, found by ``hasattr``: ``of_set(latents (m, d)) -> (k,)``, the parameters of one goal that m examples are all instances of;
    ``of_moments(means (n, d), covariance (d, d)) -> (n, k)``, those of Gaussians; ``distance(latents (n, d), params (n, k)) -> (n,)``, how
    far latents are from goals, where that is more than the distance of two latents.
    """

    latent_dim: int
    dim: int

    def points(self, latents: Floats) -> Floats:
        """Return (n, k) the parameters of goals that ask for exactly the latents (n, d)."""
        ...


class LatentGoals:
    """A goal is a latent, k = d."""

    def __init__(self, latent_dim: int) -> None:
        self.latent_dim = self.dim = latent_dim

    def points(self, latents: Floats) -> Floats:
        """Return `latents` (n, d) as they are."""
        return latents
