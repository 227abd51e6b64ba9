"""Imagined goals: samples of the representation's prior (RIG)."""

from __future__ import annotations

from envs.errors import UserError
from goal_samplers.api import GoalContext, Goals, Representation
from goal_samplers.experience import require_frames
from goal_samplers.imagined import latent_goals


class Prior:
    """Proposes latents that the representation's own prior yields, each remembered by the picture it decodes to (RIG 2018, section 4.2)."""

    imagines = True

    def check(self, representation: Representation) -> None:
        """Raise `UserError` where `representation` has no prior to sample."""
        if not (hasattr(representation, "prior") and getattr(representation, "imagines", True)):
            name = type(representation).__name__
            raise UserError(f"goal sampler Prior samples the representation's prior, and {name} has none; expected e.g. VAE or VQVAE")

    def sample(self, context: GoalContext, n: int) -> Goals:
        """Return `n` imagined goals; raise `UserError` without a prior or before anything is stored."""
        self.check(context.representation)
        require_frames(context.experience, "Prior")
        return latent_goals(context, context.representation.prior(n, context.generator))  # type: ignore[attr-defined]
