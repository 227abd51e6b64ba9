"""What a representation is, and what of the replay a learner may read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Observations = Mapping[str, NDArray[Any]]
DrawRows = Callable[[int], Rows]  # n -> (n,) training rows, already weighted by the goal sampler


@runtime_checkable
class Experience(Protocol):
    """Read access to replay. A *row* is one stored frame; an episode of T steps owns T + 1 consecutive rows."""

    @property
    def size(self) -> int:
        """Number of stored rows."""
        ...

    def sample_rows(self, n: int, generator: np.random.Generator) -> Rows:
        """Return (n,) rows, uniform over the stored frames, with replacement."""
        ...

    def read(self, key: str, rows: Rows) -> NDArray[Any]:
        """Return `key` (observation, achieved_goal, proprioception, image, latent, action) at `rows`: (n, ...)."""
        ...

    def episodes(self) -> tuple[Rows, Rows]:
        """Return (first rows (e,), lengths in steps (e,)) of the stored episodes, oldest first."""
        ...


@runtime_checkable
class Representation(Protocol):
    """Turns observations into a flat float32 latent (n, latent_dim).

    keys: the observation keys that ``encode`` reads, in order, e.g. ``("image",)``.
    cache: what a latent depends on: ``frame`` (the frame alone: cached in replay), ``episode`` or ``never``.
    needs_fit: false for representations without parameters.
    Optional, found by ``hasattr``: ``decode(latents) -> (n, H, W, 3) uint8``, ``log_prob(observations, generator) -> (n,)``,
    ``prior(n, generator) -> (n, latent_dim)``, with ``imagines = False`` where it was switched off; ``in_scene(goals (n, d), latents
    (n, d)) -> (n, d)``, imagined goals as they would be in the scenes that the latents were observed in; ``outcomes(latents (n, d),
    generator) -> (n, d)``, a possible later frame of each scene, given by its first one, which takes the place of imagined goals as an
    episode begins; ``stored_as``, the key of
    observed pictures of which the latent is the flattened values divided by 255.
    """

    keys: tuple[str, ...]
    latent_dim: int
    cache: Literal["frame", "episode", "never"]
    needs_fit: bool

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, latent_dim) float32 latents of a batch of observations {key: (n, ...)}."""
        ...

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Fit on rows that `draw(n)` yields; `first` asks for the long first fit. Return metrics, held-out ones included."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...
