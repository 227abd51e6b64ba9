"""The representation's own density of a frame: Skew-Fit on pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from goal_samplers.api import DrawRows, Experience, GoalContext, Representation, Rows


class RepresentationDensity:
    """log p_φ(frame) by the representation's ``log_prob``; it is fitted where the representation is, on the skewed draws.

    Raises `UserError` where the representation has no density.
    """

    def __init__(self, key: str = "image") -> None:
        self.key = key
        self._representation: Representation | None = None

    def check(self, representation: Representation) -> None:
        """Raise `UserError` where `representation` has no ``log_prob``; remember it otherwise."""
        if not hasattr(representation, "log_prob"):
            name = type(representation).__name__
            raise UserError(
                f"density RepresentationDensity needs a representation with log_prob, and {name} has none; expected VAE, or density KDE"
            )
        self._representation = representation

    def fit(self, context: GoalContext, draw: DrawRows) -> dict[str, float]:
        """Fit nothing: the practice loop fits the representation, on batches weighted by the sampler."""
        self.check(context.representation)
        return {}

    def log_prob(self, experience: Experience, rows: Rows, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return (n,) log densities in nats of the frames at `rows`; raise `UserError` before `fit` or `check`."""
        if self._representation is None:
            raise UserError("RepresentationDensity has no representation yet; expected a call of fit or check first")
        observations = {key: experience.read(key, rows) for key in self._representation.keys}
        return np.asarray(self._representation.log_prob(observations, generator), np.float32)  # type: ignore[attr-defined]
