"""Ways through the latent space: where codes lead at one time scale, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from goal_samplers.planners.affordance import Affordances
from goal_samplers.planners.costs import Cost, Value
from representations.api import Floats

Weighted = tuple[float, Callable[[Tensor, Tensor], Tensor]]  # weight; standardised pairs (n, d), (n, d) -> (n,) nats


class Ways:
    """What codes make of latents by the models' scale number `level`, as `cost` judges it and what doubts there are of each piece."""

    def __init__(self, models: Affordances, level: int, cost: Cost, value: Value | None = None, doubts: Sequence[Weighted] = ()) -> None:
        self.models, self.level, self.cost, self._value, self._doubts = models, level, cost, value, doubts

    def paths(self, starts: Floats, codes: Tensor) -> Floats:
        """Return (n·p, m + 1, d) from starts (n, d) by codes (n·p, m, c), p for each start."""
        each = len(codes) // len(starts)
        moved = self.models.unrolled(self.level, self.models.standardised(starts).repeat_interleave(each, 0), codes)
        return np.concatenate(
            [np.repeat(starts, each, axis=0)[:, None], self.models.latents(moved.flatten(0, 1)).reshape(moved.shape)], axis=1
        )

    def costs(self, paths: Floats, ends: Floats, codes: Tensor) -> Floats:
        """Return (n·p, m) what paths (n·p, m + 1, d) by codes (n·p, m, c) toward ends (n, d) cost that end with each of their m steps."""
        found = self.cost(paths, np.repeat(ends, len(paths) // len(ends), axis=0), codes.numpy(), self._value)
        if not self._doubts:
            return found
        (n, points, width), z = paths.shape, self.models.standardised(paths.reshape(-1, paths.shape[2])).view(paths.shape)
        here, later = z[:, :-1].reshape(-1, width), z[:, 1:].reshape(-1, width)
        doubts = torch.stack([weight * doubt(here, later) for weight, doubt in self._doubts]).sum(0).view(n, points - 1)
        return np.asarray(found + np.cumsum(doubts.numpy(), axis=1), np.float32)

    def least(self, starts: Floats, ends: Floats, codes: Tensor) -> Tensor:
        """Return (n·p,) what plans by codes (n·p, m, c) cost that end where that is least."""
        return torch.from_numpy(self.costs(self.paths(starts, codes), ends, codes).min(axis=1))
