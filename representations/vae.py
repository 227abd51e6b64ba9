"""The convolutional variational autoencoder of RIG and Skew-Fit, with a latent distance that follows the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from representations.api import DrawRows, Experience, Floats, Observations, Rows
from representations.checks import at_least, image_size, one_of, positive
from representations.chunks import in_chunks
from representations.conv import ENCODERS, Networks
from representations.elbo import combine, gaussian_log_prob, kl_to_unit, log_importance_weight
from representations.holdout import HoldOut
from representations.init import seeded
from representations.latent_shape import gaussian_of, picture_effect
from representations.state import array, entry, load_module, load_optimizer_state, module_state, optimizer_state


class VAE:
    """Latent (n, d) of uint8 pictures: posterior means, by default in units of what they change in the picture.

    Minimises, per picture, Σ(x − x̂)² / (2·decoder_sigma²) + beta·KL in nats: pixels in [0, 1], the sum over all pixels and channels, so
    that beta = 1 is the evidence bound of p(x|z) = N(x̂, decoder_sigma² I). The small default lets the posterior carry about 40 nats; a
    large one is a whitening, after which latent distance follows whatever varies instead of how much the picture changes. A published
    beta that goes with the mean squared error per pixel and channel is ours · 2·decoder_sigma² / (H·W·c).
    first_steps, refit_steps: minibatch steps of the long first fit and of a warm-started refit. samples: latents per picture in
    ``log_prob``, under p(z) = N(0, I); estimator: ``importance`` (the paper's) or ``elbo``.
    scale_latents: multiply each latent by its effect on the picture. centre: learn the difference from the mean picture, which halves
    the reconstruction error in the same steps but spends latents on small moving parts, so that distance follows the large ones less.
    encoder: ``conv``, or ``points`` for feature points (`PointEncoder`), which keeps latents linear in where small things are.
    Source: RIG (2018), section 4; Skew-Fit (2019), section 4.2 and appendix. Raises `UserError` where `key` is no picture or an argument
    is out of range.
    """

    cache: Literal["frame", "episode", "never"] = "frame"
    needs_fit = True

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
        encoder: str = "conv",
        key: str = "image",
    ) -> None:
        height, width, channels = image_size(observation_space, key, "VAE")
        for name, value in (("latent_dim", latent_dim), ("first_steps", first_steps), ("batch_size", batch_size), ("samples", samples)):
            at_least("VAE", name, value, 1)
        at_least("VAE", "refit_steps", refit_steps, 0)
        at_least("VAE", "beta", beta, 0)
        positive("VAE", "decoder_sigma", decoder_sigma)
        positive("VAE", "lr", lr)
        one_of("VAE", "estimator", estimator, ("importance", "elbo"))
        one_of("VAE", "encoder", encoder, tuple(ENCODERS))
        self.keys = (key,)
        self.latent_dim = latent_dim
        self._device = torch.device(device)
        self._beta, self._sigma = beta, decoder_sigma
        self._steps = {True: first_steps, False: refit_steps}
        self._batch_size, self._samples, self._estimator = batch_size, samples, estimator
        self._scale_latents, self._centre = scale_latents, centre
        self._effect = np.ones(latent_dim, np.float32)
        self._prior_mean, self._prior_factor = np.zeros(latent_dim, np.float32), np.eye(latent_dim, dtype=np.float32)
        networks = seeded(lambda: Networks(height, width, channels, latent_dim, encoder), seed)
        self._networks: Networks = networks.to(memory_format=torch.channels_last).to(self._device)  # type: ignore[call-overload]
        self._optimizer = torch.optim.Adam(self._networks.parameters(), lr=lr, fused=True)

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32 scaled posterior means of uint8 pictures (n, H, W, c)."""
        images = torch.as_tensor(observations[self.keys[0]])
        return in_chunks(lambda chunk: self._networks.encoder(self._pictures(chunk))[0], images, self.latent_dim) * self._effect

    def decode(self, latents: Floats) -> NDArray[np.uint8]:
        """Return the (n, H, W, c) uint8 mean pictures of latents (n, d)."""
        z = torch.as_tensor(np.asarray(latents, dtype=np.float32) / self._effect, device=self._device)
        with torch.inference_mode():
            pictures = [self._networks.decoder(part) for part in torch.split(z, 256)] or [self._networks.decoder(z)]
            bytes_ = (torch.cat(pictures) + self._networks.mean).mul_(255.0).round_().clamp_(0.0, 255.0).to(torch.uint8)
        return np.ascontiguousarray(bytes_.permute(0, 2, 3, 1).cpu().numpy())

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

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Take `first_steps` or `refit_steps` Adam steps from the present weights, on rows that `draw` yields (asked once).

        Metrics: ``reconstruction_mse`` (per pixel, [0, 1]) and ``kl_nats`` on held-out episodes, ``train_reconstruction_mse``.
        Raises `FloatingPointError` where the loss is no longer finite.
        """
        held_out = HoldOut(experience)
        rows = held_out.drop(draw(self._steps[first] * self._batch_size))
        if first and self._centre:
            self._networks.mean.copy_(torch.as_tensor(experience.read(self.keys[0], rows[:1024]).mean(axis=0) / 255.0).permute(2, 0, 1))
        noise = torch.Generator().manual_seed(int(generator.integers(2**63)))
        losses = [self._step(experience, rows[at : at + self._batch_size], noise) for at in range(0, len(rows), self._batch_size)]
        metrics = {"fit_steps": float(len(losses))}
        if losses:
            curve = torch.stack(losses)
            if not bool(curve.isfinite().all()):
                raise FloatingPointError(
                    f"VAE: the loss is not finite at step {int((~curve.isfinite()).nonzero()[0])} of its fit; try a smaller lr"
                )
            metrics["train_reconstruction_mse"] = float(curve[-50:].mean())
        self._fit_shape(experience, rows[-2048:])
        return metrics | self._score(experience, held_out.rows(generator))

    def _step(self, experience: Experience, rows: Rows, noise: torch.Generator) -> torch.Tensor:
        x = self._pictures(torch.as_tensor(experience.read(self.keys[0], rows)))
        means, log_variances = self._networks.encoder(x)
        draws = torch.randn(means.shape, generator=noise).to(self._device)  # from the CPU: the same on every device
        errors = (x - self._networks.decoder(means + draws * (0.5 * log_variances).exp())).square().sum() / len(x)
        loss = errors / (2 * self._sigma**2) + self._beta * kl_to_unit(means, log_variances).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        per_pixel: torch.Tensor = errors.detach() / x[0].numel()
        return per_pixel

    def _fit_shape(self, experience: Experience, rows: Rows) -> None:
        """Fit the prior and the latents' units to what the networks now make of `rows`."""
        with torch.inference_mode():
            parts = [
                self._pictures(torch.as_tensor(experience.read(self.keys[0], part))) for part in np.split(rows, range(256, len(rows), 256))
            ]
            codes = torch.cat([self._networks.encoder(part)[0] for part in parts])
        self._prior_mean, self._prior_factor = gaussian_of(codes.cpu().numpy())
        if self._scale_latents:
            self._effect = picture_effect(self._networks.decoder, codes[:256])

    def _score(self, experience: Experience, rows: Rows) -> dict[str, float]:
        if not len(rows):
            return {}
        errors, divergences = [], []
        with torch.inference_mode():
            for part in np.split(rows, range(256, len(rows), 256)):
                x = self._pictures(torch.as_tensor(experience.read(self.keys[0], part)))
                means, log_variances = self._networks.encoder(x)
                errors.append((x - self._networks.decoder(means)).square().mean(dim=(1, 2, 3)))
                divergences.append(kl_to_unit(means, log_variances))
        return {"reconstruction_mse": float(torch.cat(errors).mean()), "kl_nats": float(torch.cat(divergences).mean())}

    def _pictures(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, c, H, W) float32 of uint8 (n, H, W, c): pixels in [0, 1], minus the mean picture where centred."""
        # the permuted view is channels-last already
        pixels: torch.Tensor = images.to(self._device).permute(0, 3, 1, 2).to(torch.float32) / 255.0
        return pixels - self._networks.mean

    def state_dict(self) -> dict[str, Any]:
        return {
            "networks": module_state(self._networks),
            "optimizer": optimizer_state(self._optimizer, self._networks),
            "effect": self._effect.copy(),
            "prior_mean": self._prior_mean.copy(),
            "prior_factor": self._prior_factor.copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_module(self._networks, entry(state, "networks", "VAE"), "VAE")
        load_optimizer_state(self._optimizer, self._networks, state.get("optimizer", {}), "VAE")
        self._effect = array(state, "effect", "VAE", self._effect.shape)
        self._prior_mean = array(state, "prior_mean", "VAE", self._prior_mean.shape)
        self._prior_factor = array(state, "prior_factor", "VAE", self._prior_factor.shape)
