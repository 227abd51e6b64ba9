"""Affordance models: what a scene can look like some steps from now, as a conditional VAE over latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from envs.errors import UserError
from goal_samplers.api import Experience, GoalContext
from goal_samplers.densities.columns import Standardiser
from representations.adam import Adam
from representations.api import Floats, Rows
from representations.curve import fit_metrics
from representations.elbo import kl_to_unit
from representations.init import seeded
from representations.state import entry, load_module, load_optimizer_state, module_state, optimizer_state

SCORED = 512  # pairs on which a model is scored
SAMPLES = 64  # of each


class Affordance(nn.Module):
    """p(z' | z) one time scale later: z' = z + f(z, u), u ~ N(0, I) of `codes` numbers; q(u | z, z') beside it for training."""

    def __init__(self, dim: int, codes: int, hidden: int) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(2 * dim, hidden, 2 * codes), mlp(dim + codes, hidden, dim)

    def posterior(self, z: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (n, c) of the code that leads from z (n, d) to `later` (n, d)."""
        mean, log_variance = self.encoder(torch.cat([z, later - z], 1)).chunk(2, 1)
        return mean, log_variance.clamp(-8, 4)

    def forward(self, z: Tensor, codes: Tensor) -> Tensor:
        """Return (n, d) what codes (n, c) make of z (n, d)."""
        moved: Tensor = self.decoder(torch.cat([z, codes], 1))
        return z + moved


class Affordances:
    """Affordance models of standardised latents at several time `scales` (steps).

    codes: entries of u. unroll: models are trained on so many of their own predictions in a row, as they are used. kl_weight: of the KL
    divergence in nats, beside the smooth L1 error of standardised latents. first_steps, refit_steps: minibatches of `batch_size` pairs
    per scale. backward: what there was a scale before, instead. Source: PTP (Fang, Yin, Nair & Levine 2022, "Planning to practice:
    efficient online fine-tuning by composing goals in latent space"). Raises `UserError` where no stored episode is as long as a scale.
    """

    def __init__(
        self,
        dim: int,
        scales: Sequence[int],
        *,
        seed: int,
        codes: int,
        hidden: int,
        unroll: int,
        kl_weight: float,
        first_steps: int,
        refit_steps: int,
        batch_size: int,
        lr: float,
        backward: bool = False,
    ) -> None:
        self.scales, self.codes, self._backward = tuple(scales), codes, backward
        self._unroll, self._kl_weight, self._batch_size = unroll, kl_weight, batch_size
        self._steps = {True: first_steps, False: refit_steps}
        self.models = seeded(lambda: nn.ModuleList([Affordance(dim, codes, hidden) for _ in self.scales]), seed)
        self._optimizer = Adam(lr, self.models)
        self.scale: Standardiser | None = None  # None: not fitted yet

    def fit(self, context: GoalContext) -> dict[str, float]:
        """Train on the stored episodes. Metrics of the last scale, in latent units, on training pairs: ``best_of_64``, the mean distance of
        the nearest of 64 samples to what came; ``moved``, that of staying."""
        experience, generator = context.experience, context.generator
        first = self.scale is None
        rows = experience.sample_rows(4096, generator)
        self.scale = Standardiser(np.asarray(experience.read("latent", rows), np.float64), whole=True)
        noise = torch.Generator().manual_seed(int(generator.integers(2**63)))
        losses = []
        pairs = [Pairs(experience, scale, self._backward) for scale in self.scales]
        for _ in range(self._steps[first]):
            loss = torch.stack([self._loss(experience, model, of, generator, noise) for model, of in zip(self.models, pairs)]).sum()  # type: ignore[arg-type]
            self._optimizer.descend(loss)
            losses.append(loss.detach())
        return fit_metrics("Affordances", "train_loss", losses) | self._score(experience, pairs[-1], generator)

    def _loss(
        self, experience: Experience, model: Affordance, pairs: Pairs, generator: np.random.Generator, noise: torch.Generator
    ) -> Tensor:
        rows, left = pairs.draw(self._batch_size, generator)
        z, loss = self.standardised(experience.read("latent", rows)), torch.zeros(())
        for step in range(1, self._unroll + 1):
            there = torch.from_numpy((left >= step).astype(np.float32))  # of episodes that go on for so long
            target = self.standardised(experience.read("latent", rows + pairs.stride * np.minimum(step, left)))
            mean, log_variance = model.posterior(z, target)
            codes = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=noise)
            z = model(z, codes)
            error = F.smooth_l1_loss(z, target, reduction="none", beta=0.1).sum(1)
            loss = loss + ((error + self._kl_weight * kl_to_unit(mean, log_variance)) * there).sum() / there.sum().clamp(min=1)
        return loss

    @torch.no_grad()
    def _score(self, experience: Experience, pairs: Pairs, generator: np.random.Generator) -> dict[str, float]:
        rows, _ = pairs.draw(SCORED, generator)
        here, later = (experience.read("latent", found) for found in (rows, rows + pairs.stride))
        codes = torch.from_numpy(generator.standard_normal((SCORED * SAMPLES, self.codes), dtype=np.float32))
        model = self.models[-1]
        found = self.latents(model(self.standardised(np.repeat(here, SAMPLES, axis=0)), codes)).reshape(SCORED, SAMPLES, -1)
        best = np.linalg.norm(found - later[:, None], axis=2).min(axis=1)
        return {"best_of_64": float(best.mean()), "moved": float(np.linalg.norm(later - here, axis=1).mean())}

    @torch.no_grad()
    def unrolled(self, level: int, z: Tensor, codes: Tensor) -> Tensor:
        """Return (n, m, d) what codes (n, m, c) make of standardised z (n, d), one after another, at the scale number `level`."""
        steps = []
        for step in range(codes.shape[1]):
            z = self.models[level](z, codes[:, step])
            steps.append(z)
        return torch.stack(steps, 1)

    @torch.no_grad()
    def code(self, level: int, z: Tensor, later: Tensor) -> Tensor:
        """Return (n, c) the codes that most likely lead from standardised z (n, d) to `later` (n, d), at the scale number `level`."""
        mean: Tensor = self.models[level].posterior(z, later)[0]  # type: ignore[operator]
        return mean

    def standardised(self, latents: Floats) -> Tensor:
        """Return latents (n, d) as the models see them."""
        assert self.scale is not None
        return torch.as_tensor(self.scale.apply(np.asarray(latents, np.float64)), dtype=torch.float32)

    def latents(self, z: Tensor) -> Floats:
        """Return what `standardised` was given."""
        assert self.scale is not None
        return np.asarray(self.scale.invert(z.numpy().astype(np.float64)), np.float32)

    def state_dict(self) -> dict[str, Any]:
        """Return scale, networks and optimiser; {} before the first fit."""
        if self.scale is None:
            return {}
        saved = {"models": module_state(self.models), "optimizer": optimizer_state(self._optimizer, self.models)}
        return {"scale": self.scale.state_dict(), **saved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. Raises `UserError` naming what is missing or misshapen."""
        self.scale = None
        if state:
            load_module(self.models, entry(state, "models", "Affordances"), "Affordances")
            load_optimizer_state(self._optimizer, self.models, entry(state, "optimizer", "Affordances"), "Affordances")
            self.scale = Standardiser.from_state(entry(state, "scale", "Affordances"))


class Pairs:
    """Rows that have another `scale` steps later in their episode, or earlier where `backward`, drawn uniformly; `stride`: rows to it."""

    def __init__(self, experience: Experience, scale: int, backward: bool = False) -> None:
        self.scale, self.stride = scale, -scale if backward else scale
        first, length = experience.episodes()
        long = length >= scale
        if not long.any():
            longest = int(length.max(initial=0))
            raise UserError(
                f"affordances of {scale} steps need an episode as long; the longest stored one has {longest}: lower planner.scales"
            )
        self._first, self._length = first[long], length[long]
        self._sums: NDArray[np.int64] = np.cumsum(self._length - scale + 1)

    def draw(self, n: int, generator: np.random.Generator) -> tuple[Rows, Rows]:
        """Return (n,) rows, and how many strides from them stay within their episodes."""
        rank = generator.integers(0, self._sums[-1], n)
        episode = self._sums.searchsorted(rank, side="right")
        offset = self._sums[episode] - 1 - rank
        left, end = self._length[episode] - offset, self._first[episode] + self._length[episode]
        return (self._first[episode] + offset if self.stride > 0 else end - offset), left // self.scale


def pair_logits(network: nn.Module, z: Tensor, later: Tensor) -> Tensor:
    """Return (n,) what a classifier of pairs makes of z and `later` (n, d)."""
    logits: Tensor = network(torch.cat([z, later - z], 1))
    return logits[:, 0]


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
