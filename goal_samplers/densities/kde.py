"""Kernel density over states or latents: no training, right from the first frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.errors import UserError, did_you_mean
from goal_samplers.api import DrawRows, Experience, GoalContext, Rows
from goal_samplers.densities.columns import Standardiser, read_columns

RULES = ("scott", "silverman")
SCALINGS = ("each", "whole")


class KDE:
    """Gaussian kernels of one width on at most `max_points` rows, columns of `key` scaled first.

    A scored row counts as a kernel of its own beside the others, for it is a sample of the density too: without it a lone row far from
    every kernel would get a vanishing density, and all of a skewed sampler's weight.
    bandwidth: ``scott`` (n^(-1/(d+4))), ``silverman`` (that times (4/(d+2))^(1/(d+4))), or a width in standard deviations (MEGA: 0.1).
    scaling: ``each`` column by its own deviation, or all by one (``whole``): then what hardly varies hardly counts, which is right for
    latents whose distance means something; scaled each, a latent is whitened, and noise weighs as much as an opening door.
    Raises `UserError` for another bandwidth or scaling, or where `key` holds pictures.
    """

    def __init__(self, key: str = "latent", bandwidth: float | str = "scott", max_points: int = 2000, scaling: str = "each") -> None:
        near = did_you_mean(str(bandwidth), RULES)
        if bandwidth not in RULES if isinstance(bandwidth, str) else not 0 < bandwidth < math.inf:
            raise UserError(f"KDE: bandwidth = {bandwidth}{near}; expected scott, silverman or a number above 0")
        if max_points < 1:
            raise UserError(f"KDE: max_points = {max_points}; expected at least 1")
        if scaling not in SCALINGS:
            raise UserError(f"KDE: scaling = {scaling}{did_you_mean(str(scaling), SCALINGS)}; expected each or whole")
        self.key = key
        self._rule, self._whole = bandwidth, scaling == "whole"
        self._max_points = max_points
        self._scale: Standardiser | None = None
        self._points = np.empty((0, 0))

    def fit(self, context: GoalContext, draw: DrawRows) -> dict[str, float]:
        """Keep up to `max_points` drawn rows as kernel centres; return the bandwidth in standard deviations."""
        columns = read_columns(context.experience, self.key, draw(self._max_points))
        self._scale = Standardiser(columns, self._whole)
        self._points = self._scale.apply(columns)
        return {"bandwidth": self._bandwidth()}

    def _bandwidth(self) -> float:
        n, d = self._points.shape
        if not isinstance(self._rule, str):
            return float(self._rule)
        scott = float(n ** (-1.0 / (d + 4)))
        return scott if self._rule == "scott" else scott * float((4.0 / (d + 2)) ** (1.0 / (d + 4)))

    def log_prob(self, experience: Experience, rows: Rows, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return (n,) log densities in nats per unit volume of `key`; raise `UserError` before the first fit."""
        scale = self._fitted()
        n, d = self._points.shape
        width = self._bandwidth()
        queries = scale.apply(read_columns(experience, self.key, rows)) / width
        centres = torch.as_tensor(self._points / width, dtype=torch.float32)
        logs = np.empty(len(rows), np.float64)
        for start in range(0, len(rows), 512):  # 512 × 2000 distances stay in a core's cache
            part = torch.as_tensor(queries[start : start + 512], dtype=torch.float32)
            # The row's own kernel adds 1, so the sum needs no shifting; beside it exp(-60) is nothing, and denormal numbers would be slow.
            exponents = torch.cdist(part, centres).square_().mul_(-0.5).clamp_(min=-60.0)
            logs[start : start + 512] = exponents.exp_().sum(dim=1).log1p_().numpy()
        constant = math.log(n + 1) + d * (0.5 * math.log(2 * math.pi) + math.log(width)) + scale.log_volume
        return (logs - constant).astype(np.float32)

    def sample(self, n: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return (n, d) points: a random kernel centre each, plus its kernel's noise."""
        scale = self._fitted()
        centres = self._points[generator.integers(len(self._points), size=n)]
        noise = generator.standard_normal(centres.shape) * self._bandwidth()
        return scale.invert(centres + noise).astype(np.float32)

    def _fitted(self) -> Standardiser:
        if self._scale is None:
            raise UserError("KDE has no kernels yet; expected a call of fit first")
        return self._scale

    def state_dict(self) -> dict[str, Any]:
        return {} if self._scale is None else {"points": self._points.copy(), **self._scale.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if not state:
            self._scale = None
            return
        if missing := {"points", "mean", "deviation"} - set(state):
            raise UserError(f"the saved state of KDE has no '{min(missing)}'; expected points, mean, deviation")
        self._scale, self._points = Standardiser.from_state(state), np.array(state["points"], np.float64)
