"""The state itself as the latent: what a state task, and the oracle of a visual one, practises in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from envs.errors import UserError, did_you_mean
from representations.api import DrawRows, Experience, Floats, Observations


class Identity:
    """Latent (n, d) = chosen entries of the concatenated `keys`, times `scale`; nothing is fitted.

    keys: observation keys with flat entries. dims: which of the concatenated entries to keep, in order; None keeps all.
    scale: a factor per kept entry, which sets what each unit (metre, radian) counts for in latent distance; None is 1.
    Raises `UserError` for an unknown key, an entry out of range or a scale of another length.
    """

    cache: Literal["frame", "episode", "never"] = "frame"
    needs_fit = False

    def __init__(
        self,
        observation_space: spaces.Dict,
        *,
        seed: int = 0,
        device: str = "cpu",
        keys: Sequence[str] = ("achieved_goal",),
        scale: Sequence[float] | None = None,
        dims: Sequence[int] | None = None,
    ) -> None:
        for key in keys:
            if key not in observation_space.spaces:
                raise UserError(
                    f"Identity reads '{key}', which the environment does not observe{did_you_mean(key, observation_space)}; "
                    f"it observes: {', '.join(observation_space)}"
                )
        self.keys = tuple(keys)
        self._width = sum(int(np.prod(observation_space[key].shape or (1,))) for key in keys)
        self._dims = np.arange(self._width) if dims is None else np.asarray(dims, dtype=np.int64)
        if not len(self._dims) or self._dims.min() < 0 or self._dims.max() >= self._width:
            raise UserError(f"Identity: dims = {list(self._dims)}; expected entries from 0 to {self._width - 1} of {', '.join(keys)}")
        self._scale = np.ones(len(self._dims), np.float32) if scale is None else np.asarray(scale, dtype=np.float32)
        if self._scale.shape != self._dims.shape or not np.isfinite(self._scale).all() or (self._scale == 0).any():
            raise UserError(f"Identity: scale = {scale}; expected {len(self._dims)} finite factors other than 0, one per kept entry")
        self.latent_dim = len(self._dims)

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32: the kept entries times their scale."""
        parts = [np.asarray(observations[key]) for key in self.keys]
        flat = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        return (flat[:, self._dims] * self._scale).astype(np.float32)

    def decode_state(self, latents: Floats) -> Floats:
        """Return the (n, w) float32 entries of all `keys` that latents (n, d) stand for; raise `UserError` where `dims` dropped some."""
        if len(np.unique(self._dims)) != self._width:
            raise UserError(
                f"Identity keeps {self.latent_dim} of {self._width} entries, so a latent does not determine the state; expected all dims"
            )
        states = np.empty((len(latents), self._width), dtype=np.float32)
        states[:, self._dims] = latents / self._scale
        return states

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Do nothing; return no metrics."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            raise UserError(
                f"the saved state of Identity has {', '.join(state)}; expected none: was the run made with another representation?"
            )
