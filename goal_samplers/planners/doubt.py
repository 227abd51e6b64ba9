"""Doubt of a plan's pieces: how sure a classifier is that a model made them up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goal_samplers.api import Experience, GoalContext
from goal_samplers.planners.affordance import Affordances, Pairs, mlp, pair_logits
from representations.adam import Adam
from representations.curve import fit_metrics
from representations.init import seeded
from representations.state import entry, load_module, load_optimizer_state, module_state, optimizer_state

WIDEST = 1.5  # deviations of the codes that pieces are made up with: a search goes where the prior hardly does
BLUR = 0.05  # deviation of the noise on what is told apart, of standardised latents: models err by as much where nothing is wrong


class Doubt:
    """Tells pairs (z, z′) of the data from what affordance models make of the same z, for each of their scales.

    A model that has learnt two ways to go on makes up what lies between them too, and a search finds that. Not in the papers. Codes
    are drawn with deviations between 0 and 1.5, and about half of the made-up pairs have z′ of the data, but for entries of another pair.
    hidden: units of each of two layers. first_steps, refit_steps: minibatches of `batch_size` pairs per scale.
    """

    def __init__(
        self, models: Affordances, dim: int, *, seed: int, hidden: int, first_steps: int, refit_steps: int, batch_size: int, lr: float
    ) -> None:
        self._models, self._batch_size, self._steps = models, batch_size, {True: first_steps, False: refit_steps}
        self.networks = seeded(lambda: nn.ModuleList([mlp(2 * dim, hidden, 1) for _ in models.scales]), seed)
        self._optimizer, self._fitted = Adam(lr, self.networks), False

    def fit(self, context: GoalContext) -> dict[str, float]:
        """Train on the stored episodes and on what the models, as they are now, make of them. Metrics of the last scale, in nats:
        ``real`` and ``made_up``, the mean doubt of pairs of the data and of made-up ones."""
        generator = context.generator
        noise = torch.Generator().manual_seed(int(generator.integers(2**63)))
        pairs = [Pairs(context.experience, scale) for scale in self._models.scales]
        losses: list[Tensor] = []
        for _ in range(self._steps[not self._fitted]):
            told = [self._told_apart(level, context.experience, of, generator, noise) for level, of in enumerate(pairs)]
            loss = torch.stack([F.softplus(-real).mean() + F.softplus(made).mean() for real, made in told]).sum()
            self._optimizer.descend(loss)
            losses.append(loss.detach())
        self._fitted = True
        with torch.no_grad():
            real, made = self._told_apart(len(pairs) - 1, context.experience, pairs[-1], generator, noise)
        figures = {"real": float(F.softplus(-real).mean()), "made_up": float(F.softplus(-made).mean())}
        return fit_metrics("Doubt", "train_loss", losses) | figures

    def _told_apart(
        self, level: int, experience: Experience, pairs: Pairs, generator: np.random.Generator, noise: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return logits (n,) of pairs of the data and of made-up ones."""
        models, n = self._models, self._batch_size
        rows, _ = pairs.draw(n, generator)
        z, later = (models.standardised(experience.read("latent", found)) for found in (rows, rows + pairs.stride))
        width = WIDEST * torch.rand((n, 1), generator=noise)
        with torch.no_grad():
            made = models.models[level](z, width * torch.randn((n, models.codes), generator=noise))
        taken = torch.rand(later.shape, generator=noise) < torch.rand((n, 1), generator=noise)
        crossed = (torch.rand((n, 1), generator=noise) < 0.5) & taken.any(1, keepdim=True)
        made = torch.where(crossed, torch.where(taken, later.roll(1, 0), later), made)
        z, later, made = (one + BLUR * torch.randn(one.shape, generator=noise) for one in (z, later, made))
        return pair_logits(self.networks[level], z, later), pair_logits(self.networks[level], z, made)

    @torch.no_grad()
    def of(self, level: int, z: Tensor, later: Tensor) -> Tensor:
        """Return (n,) the doubt, in nats, of standardised pairs (n, d) of the scale number `level`: −log P(they are of the data)."""
        return F.softplus(-pair_logits(self.networks[level], z, later))

    def state_dict(self) -> dict[str, Any]:
        """Return networks and optimiser; {} before the first fit."""
        if not self._fitted:
            return {}
        return {"networks": module_state(self.networks), "optimizer": optimizer_state(self._optimizer, self.networks)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. Raises `UserError` naming what is missing or misshapen."""
        self._fitted = bool(state)
        if state:
            load_module(self.networks, entry(state, "networks", "Doubt"), "Doubt")
            load_optimizer_state(self._optimizer, self.networks, entry(state, "optimizer", "Doubt"), "Doubt")
