"""Imagined outcomes: what the scenes that were met can lead to (VAL)."""

from __future__ import annotations

import numpy as np

from envs.errors import UserError
from goal_samplers.api import GoalContext, Goals, Representation
from goal_samplers.experience import require_frames
from goal_samplers.imagined import latent_goals


class Outcomes:
    """Proposes latents that the representation's prior imagines for the first frames of stored episodes, each drawn at random.

    When an episode begins, goals are imagined once more, for the scene that is there (`outcomes` of the representation, as in
    `gcrl.world`); in relabelling they are those that this class proposed, of any scene that practice met. Source: VAL (Khazatsky et al.
    2021, "What can I do here? Learning new skills by imagining visual affordances"), where practice keeps to one scene.
    """

    imagines = True

    def check(self, representation: Representation) -> None:
        """Raise `UserError` where `representation` cannot say what a scene can lead to."""
        if not (hasattr(representation, "outcomes") and getattr(representation, "imagines", True)):
            name = type(representation).__name__
            raise UserError(f"goal sampler Outcomes asks what a scene can lead to, and {name} cannot say; expected VQVAE, with its prior")

    def sample(self, context: GoalContext, n: int) -> Goals:
        """Return `n` imagined goals; raise `UserError` without such a representation or before anything is stored."""
        self.check(context.representation)
        require_frames(context.experience, "Outcomes")
        starts = context.experience.episodes()[0]
        scenes = context.experience.read("latent", starts[context.generator.integers(len(starts), size=n)])
        imagined = context.representation.outcomes(np.asarray(scenes, np.float32), context.generator)  # type: ignore[attr-defined]
        return latent_goals(context, imagined)
