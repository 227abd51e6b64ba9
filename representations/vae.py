"""The convolutional variational autoencoder of RIG and Skew-Fit, with a latent distance that follows the picture."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from representations.api import Experience, Floats, Observations, Rows
from representations.checks import at_least, image_size, one_of
from representations.conv import ENCODERS, Networks
from representations.elbo import combine, gaussian_log_prob, kl_to_unit, log_importance_weight
from representations.init import seeded
from representations.picture_vae import PictureVAE


class VAE(PictureVAE):
    """Latent (n, d) of uint8 pictures: posterior means, by default in units of what they change in the picture.

    Minimises, per picture, Σ(x − x̂)² / (2·decoder_sigma²) + beta·KL in nats: pixels in [0, 1], the sum over all pixels and channels, so
    that beta = 1 is the evidence bound of p(x|z) = N(x̂, decoder_sigma² I). The small default lets the posterior carry about 40 nats; a
    large one is a whitening, after which latent distance follows whatever varies instead of how much the picture changes. A published
    beta that goes with the mean squared error per pixel and channel is ours · 2·decoder_sigma² / (H·W·c).
    first_steps, refit_steps: minibatch steps of the long first fit and of a warm-started refit. samples: latents per picture in
    ``log_prob``, under p(z) = N(0, I); estimator: ``importance`` (the paper's) or ``elbo``.
    scale_latents: multiply each latent by its effect on the picture. centre: learn the difference from the mean picture, which halves
    the reconstruction error in the same steps but spends latents on small moving parts, so that distance follows the large ones less.
    colour_weight: see `PictureVAE`; densities are then those of the weighted pictures.
    encoder: ``conv``, or ``points`` for feature points (`PointEncoder`), which keeps latents linear in where small things are.
    Source: RIG (2018), section 4; Skew-Fit (2019), section 4.2 and appendix. Raises `UserError` where `key` is no picture or an argument
    is out of range.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        *,
        seed: int = 0,
        device: str = "cpu",
        latent_dim: int = 8,
        beta: float = 0.01,
        decoder_sigma: float = 1.0,
        first_steps: int = 1500,
        refit_steps: int = 300,
        batch_size: int = 64,
        lr: float = 1e-3,
        scale_latents: bool = True,
        samples: int = 10,
        estimator: str = "importance",
        centre: bool = False,
        colour_weight: float = 1.0,
        encoder: str = "conv",
        key: str = "image",
    ) -> None:
        height, width, channels = image_size(observation_space, key, "VAE")
        for name, value in (("latent_dim", latent_dim), ("samples", samples)):
            at_least("VAE", name, value, 1)
        at_least("VAE", "beta", beta, 0)
        one_of("VAE", "estimator", estimator, ("importance", "elbo"))
        one_of("VAE", "encoder", encoder, tuple(ENCODERS))
        self._beta, self._samples, self._estimator = beta, samples, estimator
        super().__init__(
            seeded(lambda: Networks(height, width, channels, latent_dim, encoder), seed),
            key=key,
            latent_dim=latent_dim,
            device=device,
            decoder_sigma=decoder_sigma,
            first_steps=first_steps,
            refit_steps=refit_steps,
            batch_size=batch_size,
            lr=lr,
            scale_latents=scale_latents,
            centre=centre,
            colour_weight=colour_weight,
        )

    def codes(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the posterior means (n, d) of pictures (n, c, H, W)."""
        return self.posterior(pictures)[0]

    def posterior(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and log-variances (n, d) of the latents of pictures (n, c, H, W)."""
        means, log_variances = self._networks.encoder(pictures)
        return means, log_variances

    def loss(self, experience: Experience, rows: Rows, noise: torch.Generator, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of the frames `rows`, and their squared error per pixel."""
        x = self._pictures(torch.as_tensor(experience.read(self.keys[0], rows)))
        means, log_variances = self.posterior(x)
        draws = torch.randn(means.shape, generator=noise).to(self._device)  # from the CPU: the same on every device
        errors = (x - self._networks.decoder(means + draws * (0.5 * log_variances).exp())).square().sum() / len(x)
        return errors / (2 * self._sigma**2) + self._beta * kl_to_unit(means, log_variances).mean(), errors / x[0].numel()

    def prior(self, n: int, generator: np.random.Generator) -> Floats:
        """Return (n, d) latents of the Gaussian that was fitted to the codes, in the units of ``encode``; N(0, I) before the first fit.

        Under a light KL the codes are not distributed as N(0, I), whose samples would decode to nothing that was seen.
        """
        noise = generator.standard_normal((n, self.latent_dim), dtype=np.float32)
        return (self._prior_mean + noise @ self._prior_factor.T) * self._effect

    def log_prob(self, observations: Observations, generator: np.random.Generator) -> Floats:
        """Return (n,) log densities in nats of pictures (n, H, W, c) with pixels in [0, 1], from `samples` posterior latents each.

        log p(x) ≈ logsumexp_i [log p(x|z_i) + log p(z_i) − log q(z_i|x)] − log N (Skew-Fit, section 4.2).
        """
        images = torch.as_tensor(observations[self.keys[0]])
        noise = torch.as_tensor(generator.standard_normal((self._samples, len(images), self.latent_dim), dtype=np.float32))
        result = np.empty(len(images), np.float32)
        with torch.inference_mode():
            for start in range(0, len(images), 256):
                part = slice(start, start + 256)
                x = self._pictures(images[part])
                means, log_variances = self._networks.encoder(x)
                weights = []
                for draws in noise[:, part].to(self._device):
                    z = means + draws * (0.5 * log_variances).exp()
                    likelihood = gaussian_log_prob(x, self._networks.decoder(z), torch.tensor(self._sigma))
                    weights.append(log_importance_weight(likelihood, draws, z, log_variances))
                result[part] = combine(torch.stack(weights), self._estimator).cpu().numpy()
        return result
