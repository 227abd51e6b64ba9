"""What makes a plan a good one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

from envs.errors import UserError
from representations.api import Floats

Value = Callable[[Floats, Floats], Floats]  # latents (m, d), goals (m, d) -> (m,), in reward units


@runtime_checkable
class Cost(Protocol):
    """Judges plans; the smaller the better. One that never asks for values may say so: ``by_value = False``."""

    def __call__(self, paths: Floats, goals: Floats, codes: Floats, value: Value | None) -> Floats:
        """Return (n, m) the cost of a plan that ends with each of its m steps, for paths of latents (n, m + 1, d), where the first is where
        the episode stands, goals (n, d) and codes (n, m, c)."""
        ...


class ReachByValue:
    """How far from the goal a plan ends, how little the agent trusts itself with its pieces, how unlikely and how long they are.

    For a plan z_0 … z_k: ‖z_k − z_g‖ − value_weight Σ min(V(z_{j−1}, z_j) − trusted, 0) + code_weight Σ ‖u_j‖²
    + way_weight Σ ‖z_j − z_{j−1}‖.
    value_weight: latent units per reward unit; 0: without values. trusted: values above it cost nothing, as in FLAP (Fang, Yin, Nair,
    Walke, Yan & Levine 2022, "Generalization with lossy affordances"); 0, where no reward is positive: all count, as in PTP (Fang et al.
    2022). way_weight: of the way through the latent space, without a unit; not in the papers. Without values, nothing else keeps a plan
    from moving what should stay where it is. Raises `UserError` for weights below 0.
    """

    def __init__(self, value_weight: float = 0.01, code_weight: float = 0.01, trusted: float = 0.0, way_weight: float = 0.0) -> None:
        for name, weight in (("value_weight", value_weight), ("code_weight", code_weight), ("way_weight", way_weight)):
            if not 0 <= weight < float("inf"):
                raise UserError(f"planner.cost.{name} = {weight}; expected a number of at least 0")
        self.value_weight, self.code_weight, self.trusted, self.way_weight = value_weight, code_weight, trusted, way_weight

    @property
    def by_value(self) -> bool:
        """Whether values count."""
        return self.value_weight > 0

    def __call__(self, paths: Floats, goals: Floats, codes: Floats, value: Value | None) -> Floats:
        """Return (n, m) costs. Raises `UserError` where values count and there are none."""
        ends = np.linalg.norm(paths[:, 1:] - goals[:, None], axis=2)
        pieces = self.code_weight * np.square(codes).sum(axis=2)
        if self.way_weight:
            pieces = pieces + self.way_weight * np.linalg.norm(np.diff(paths, axis=1), axis=2)
        if self.by_value:
            if value is None:
                raise UserError("planner.cost.value_weight asks for values, and this agent has none; expected planner.cost.value_weight=0")
            width = paths.shape[2]
            values = value(paths[:, :-1].reshape(-1, width), paths[:, 1:].reshape(-1, width))
            pieces = pieces - self.value_weight * np.minimum(values.reshape(pieces.shape) - self.trusted, 0)
        return np.asarray(ends + np.cumsum(pieces, axis=1), np.float32)
