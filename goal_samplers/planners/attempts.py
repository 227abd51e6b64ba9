"""What became of attempts: how sure a classifier is that a plan's piece will not be brought about, by what practice came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goal_samplers.api import GoalContext
from goal_samplers.experience import came
from goal_samplers.planners.affordance import Affordances, mlp, pair_logits
from representations.adam import Adam
from representations.api import Rows
from representations.curve import fit_metrics
from representations.init import seeded
from representations.state import entry, load_module, module_state

BLUR = 0.05  # deviation of the noise on starts and aims, of standardised latents: of a few hundred attempts no two are alike


class Attempts:
    """How likely a policy gets from z to z′, learnt from practised episodes alone: did they come to what they were after?

    A piece that a model holds possible may be one that the policy never brings about, or that nobody could. What PTP asks the agent's
    values for is learnt here from attempts, so that agents without values practise their plans too. Attempts that were cut short of
    `patience` steps say nothing unless they came within `reach` (latent distance). The classifier is made anew at each fit.
    hidden: units of each of two layers. steps: minibatches of `batch_size` attempts.
    """

    def __init__(
        self, models: Affordances, dim: int, reach: float, patience: int, *, seed: int, hidden: int, steps: int, batch_size: int, lr: float
    ) -> None:
        self._models, self._dim, self._reach, self._patience = models, dim, reach, patience
        self._make: Callable[[], nn.Module] = lambda: seeded(lambda: mlp(2 * dim, hidden, 1), seed)
        self._steps, self._batch_size, self._lr = steps, batch_size, lr
        self.network: nn.Module | None = None  # None: nothing has been tried yet

    def fit(self, context: GoalContext) -> dict[str, float]:
        """Learn from all stored attempts. Metrics: ``count`` of them, the share that ``came``, the loss (nats) on them; {} before any."""
        if context.aims is None:
            return {}
        experience, generator = context.experience, context.generator
        starts, lengths = experience.episodes()
        wanted = context.aims(starts)
        worked = came(experience, wanted, self._reach)
        tells = np.isfinite(wanted).all(axis=1) & (worked | (lengths >= self._patience))
        starts, lengths, wanted, worked = starts[tells], lengths[tells], wanted[tells], worked[tells]
        figures = {"count": float(len(worked)), "came": float(worked.mean()) if len(worked) else 0.0}
        if not len(worked):
            return figures
        aims, outcomes = self._models.standardised(wanted[:, : self._dim]), torch.from_numpy(worked.astype(np.float32))
        noise = torch.Generator().manual_seed(int(generator.integers(2**63)))
        network = self._make()
        optimizer, losses = Adam(self._lr, network), []
        for _ in range(self._steps):
            taken = generator.integers(0, len(worked), self._batch_size)
            rows: Rows = starts[taken] + (generator.random(len(taken)) * (lengths[taken] + 1) / 2).astype(np.int64)  # of their first half
            z = self._models.standardised(experience.read("latent", rows))
            z, aim = (one + BLUR * torch.randn(one.shape, generator=noise) for one in (z, aims[taken]))
            loss = F.binary_cross_entropy_with_logits(pair_logits(network, z, aim), outcomes[taken])
            optimizer.descend(loss)
            losses.append(loss.detach())
        self.network = network
        return fit_metrics("Attempts", "loss", losses) | figures

    @torch.no_grad()
    def of(self, z: Tensor, later: Tensor) -> Tensor:
        """Return (n,) the doubt, in nats, of standardised pairs (n, d): −log P(an attempt comes to it); 0 before anything was tried."""
        return torch.zeros(len(z)) if self.network is None else F.softplus(-pair_logits(self.network, z, later))

    def state_dict(self) -> dict[str, Any]:
        """Return the network; {} before anything was tried."""
        return {} if self.network is None else {"network": module_state(self.network)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. Raises `UserError` naming what is missing or misshapen."""
        self.network = self._make() if state else None
        if self.network is not None:
            load_module(self.network, entry(state, "network", "Attempts"), "Attempts")
