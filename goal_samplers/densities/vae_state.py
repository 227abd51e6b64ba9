"""A small VAE on state vectors: the generative model of Skew-Fit where states stand for pictures."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from envs.errors import UserError, did_you_mean
from goal_samplers.api import DrawRows, Experience, GoalContext, Rows
from goal_samplers.densities.columns import Standardiser, read_columns
from goal_samplers.densities.trained import Trained
from representations.curve import finite_curve
from representations.elbo import combine, gaussian_log_prob, kl_to_unit, log_importance_weight


class StateVAE(Trained):
    """p_φ(s) = ∫ N(s; decoder(z), decoder_sigma² I) N(z; 0, I) dz over the columns of `key` (Skew-Fit 2019, section 4.2).

    decoder_sigma: the finest structure that the density can show, and how far its samples reach beyond the data; in standard deviations of
    the data, or with ``units="key"`` in the unit of `key` itself. The evidence bound is maximised as it is (beta = 1).
    steps: Adam steps per fit, from the weights of the last one. samples: posterior latents per row in ``log_prob``.
    Raises `UserError` for an argument out of range, or where `key` holds pictures.
    """

    name = "StateVAE"

    def __init__(
        self,
        key: str = "latent",
        latent_dim: int = 2,
        decoder_sigma: float = 0.1,
        units: str = "data",
        hidden: int = 64,
        steps: int = 200,
        batch_size: int = 256,
        lr: float = 1e-3,
        samples: int = 10,
    ) -> None:
        whole = {"latent_dim": latent_dim, "hidden": hidden, "steps": steps, "batch_size": batch_size, "samples": samples}
        for name, value in whole.items():
            if value < 1:
                raise UserError(f"StateVAE: {name} = {value}; expected at least 1")
        for name, number in {"decoder_sigma": decoder_sigma, "lr": lr}.items():
            if not 0 < number < np.inf:
                raise UserError(f"StateVAE: {name} = {number}; expected a number above 0")
        if units not in ("data", "key"):
            raise UserError(f"StateVAE: units = '{units}'{did_you_mean(units, ('data', 'key'))}; expected one of: data, key")
        super().__init__(key, lr)
        self._absolute = units == "key"
        self._latent_dim, self._hidden, self._sigma = latent_dim, hidden, decoder_sigma
        self._steps, self._batch_size, self._samples = steps, batch_size, samples

    def networks(self, width: int) -> nn.Module:
        """Return new networks for rows of `width` columns."""
        return _Networks(width, self._latent_dim, self._hidden)

    def fit(self, context: GoalContext, draw: DrawRows) -> dict[str, float]:
        """Take `steps` Adam steps on drawn rows; return the training loss (nats) and the KL (nats) of the last tenth."""
        scale, data, noise = self._training_data(context, draw, self._steps * self._batch_size)
        sigma = self._sigma_of(scale)
        losses, divergences = [], []
        for x in torch.split(data, self._batch_size):
            means, log_variances = self._networks.encode(x)
            z = means + torch.randn(means.shape, generator=noise) * (0.5 * log_variances).exp()
            divergence = kl_to_unit(means, log_variances).mean()
            loss = divergence - gaussian_log_prob(x, self._networks.decoder(z), sigma).mean()
            self._optimizer.descend(loss)
            losses.append(loss.detach())
            divergences.append(divergence.detach())
        curve = finite_curve("StateVAE", losses)
        last = max(len(losses) // 10, 1)
        return {"density_loss": float(curve[-last:].mean()), "density_kl_nats": float(torch.stack(divergences[-last:]).mean())}

    def log_prob(self, experience: Experience, rows: Rows, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return (n,) log densities in nats per unit volume of `key`, importance-sampled; raise `UserError` before the first fit."""
        scale = self._fitted()
        x = torch.as_tensor(scale.apply(read_columns(experience, self.key, rows)), dtype=torch.float32)
        sigma = self._sigma_of(scale)
        noise = torch.as_tensor(generator.standard_normal((self._samples, len(x), self._latent_dim), dtype=np.float32))
        with torch.inference_mode():
            means, log_variances = self._networks.encode(x)
            weights = []
            for draws in noise:
                z = means + draws * (0.5 * log_variances).exp()
                likelihood = gaussian_log_prob(x, self._networks.decoder(z), sigma)
                weights.append(log_importance_weight(likelihood, draws, z, log_variances))
            logs = combine(torch.stack(weights), "importance").numpy()
        return np.asarray(logs - scale.log_volume, np.float32)

    def sample(self, n: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return (n, d) samples of p_φ, the decoder's noise included, in the units of `key`; raise `UserError` before the first fit."""
        scale = self._fitted()
        z = torch.as_tensor(generator.standard_normal((n, self._latent_dim), dtype=np.float32))
        with torch.inference_mode():
            means = self._networks.decoder(z).numpy().astype(np.float64)
        return scale.invert(means + self._sigma_of(scale).numpy() * generator.standard_normal(means.shape)).astype(np.float32)

    def _sigma_of(self, scale: Standardiser) -> torch.Tensor:
        """Return (w,) the decoder's deviation per standardised column."""
        divisor = scale.deviation if self._absolute else np.ones_like(scale.deviation)
        return torch.as_tensor(self._sigma / divisor, dtype=torch.float32)


class _Networks(nn.Module):
    """Two small perceptrons: states (n, w) to posteriors over latents (n, d), and back to means (n, w)."""

    def __init__(self, width: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent_dim)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, width)
        )

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return posterior means and log-variances, (n, d) each."""
        means, log_variances = self.encoder(x).chunk(2, dim=1)
        return means, log_variances.clamp(-20.0, 5.0)
