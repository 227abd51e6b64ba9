"""CC-RIG's context-conditioned autoencoder: what a scene is made of, apart from how it is arranged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from representations.api import DrawRows, Experience, Floats, Rows
from representations.checks import at_least, image_size
from representations.colour import exchanged
from representations.conv import Decoder, Encoder, PictureNetworks
from representations.elbo import kl_to_unit
from representations.init import seeded
from representations.picture_vae import PictureVAE
from representations.state import array
from representations.windows import Windows

SCENES = 256  # contexts that are kept, for a prior without a scene


class ContextVAE(PictureVAE):
    """Latent (n, z_dim + scene_dim): z, where things are; then, in the columns `scene`, c, what things there are.

    Minimises, per picture x of an episode, Σ(x − x̂(z, c))² / (2·decoder_sigma²) + beta·KL(q(z|x), N(0, I)) in nats, where c is computed
    from *another* frame of the same episode, drawn uniformly: so c can say only what the frames of an episode share, and beta makes z
    leave that to c. beta goes linearly from `beta_start` to its value over the first half of a first fit: high, so that c learns what
    things there are before z can; started low on MultiPush, imagined goals showed things that z had kept.
    colour_weight: see `PictureVAE`. recolour: exchange the channels of a minibatch's pictures, all in the same way, at random, so that
    things of other colours than the data's are not taken for those (yellow things become cyan ones, say). Neither is from the paper.
    A goal for a scene is a z of the prior with the c of the scene (`in_scene`), so that it shows the things that are there.
    Source: Nair, Bahl, Khazatsky, Pong, Berseth & Levine 2019, "Contextual imagined goals for self-supervised robotic learning". There c
    is computed from the first frame of an episode, which a second decoder draws again. Any frame serves here, so a latent is a function
    of its frame alone and can be cached like any other, and no second decoder is needed, which would make c keep where things were.
    Raises `UserError` where `key` is no picture or an argument is out of range.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        *,
        seed: int = 0,
        device: str = "cpu",
        z_dim: int = 8,
        scene_dim: int = 24,
        beta: float = 8.0,
        beta_start: float = 40.0,
        decoder_sigma: float = 0.3,
        first_steps: int = 15000,
        refit_steps: int = 300,
        batch_size: int = 64,
        lr: float = 1e-3,
        scale_latents: bool = True,
        centre: bool = True,
        colour_weight: float = 3.0,
        recolour: bool = True,
        key: str = "image",
    ) -> None:
        height, width, channels = image_size(observation_space, key, "ContextVAE")
        at_least("ContextVAE", "z_dim", z_dim, 1)
        at_least("ContextVAE", "scene_dim", scene_dim, 1)
        at_least("ContextVAE", "beta", beta, 0)
        at_least("ContextVAE", "beta_start", beta_start, 0)
        self.scene = slice(z_dim, z_dim + scene_dim)
        self._betas, self._annealed, self._recolour = (beta_start, beta), False, recolour
        self._episodes: Windows  # of the fit that is going on
        self._scenes = np.zeros((1, scene_dim), np.float32)  # unscaled contexts of the last fit
        super().__init__(
            seeded(lambda: _Networks(height, width, channels, z_dim, scene_dim), seed),
            key=key,
            latent_dim=z_dim + scene_dim,
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
        """Return (n, z_dim + scene_dim): posterior means of z, and the contexts, of pictures (n, c, H, W)."""
        return torch.cat([self.posterior(pictures)[0], self._context(pictures)], dim=1)

    def posterior(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and log-variances (n, z_dim) of z."""
        means, log_variances = self._networks.encoder(pictures)
        return means, log_variances

    def _context(self, pictures: torch.Tensor) -> torch.Tensor:
        networks = self._networks
        assert isinstance(networks, _Networks)
        context: torch.Tensor = networks.scene(pictures)[0]
        return context

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Fit as every picture VAE does, with beta on its way in the `first` fit."""
        self._episodes, self._annealed = Windows.stored(experience), first
        return super().fit(experience, draw, generator, first=first)

    def loss(self, experience: Experience, rows: Rows, noise: torch.Generator, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of the frames `rows`, each with the context of another frame of its episode, and their error per pixel."""
        others = self._episodes.companions(rows, torch.rand(len(rows), generator=noise, dtype=torch.float64).numpy())
        x, y = (self._pictures(torch.as_tensor(experience.read(self.keys[0], part))) for part in (rows, others))
        if self._recolour:
            shuffled = exchanged(x.shape[1], noise)
            x, y = x[:, shuffled], y[:, shuffled]
        means, log_variances = self.posterior(x)
        draws = torch.randn(means.shape, generator=noise).to(self._device)
        z = means + draws * (0.5 * log_variances).exp()
        errors = (x - self._networks.decoder(torch.cat([z, self._context(y)], dim=1))).square().sum() / len(x)
        start, end = self._betas
        beta = end if not self._annealed else start + (end - start) * min(1.0, 2.0 * done)
        return errors / (2 * self._sigma**2) + beta * kl_to_unit(means, log_variances).mean(), errors / x[0].numel()

    def _fit_shape(self, experience: Experience, rows: Rows) -> None:
        """Keep the contexts of some of the `rows`, beside what every picture VAE fits."""
        super()._fit_shape(experience, rows)
        with torch.inference_mode():
            pictures = self._pictures(torch.as_tensor(experience.read(self.keys[0], rows[:SCENES])))
            self._scenes = self._context(pictures).cpu().numpy().astype(np.float32)

    def prior(self, n: int, generator: np.random.Generator) -> Floats:
        """Return (n, d) latents: z of the Gaussian that was fitted to the codes, each with the context of some frame of the last fit."""
        z = self.scene.start
        noise = generator.standard_normal((n, z), dtype=np.float32)
        spread = np.linalg.cholesky(_covariance(self._prior_factor[:z]))
        scenes = self._scenes[generator.integers(len(self._scenes), size=n)]
        return np.concatenate([self._prior_mean[:z] + noise @ spread.T, scenes], axis=1) * self._effect

    def in_scene(self, goals: Floats, latents: Floats) -> Floats:
        """Return `goals` (n, d) as they would be in the scenes that `latents` (n, d) were observed in."""
        moved = np.array(goals, np.float32)
        moved[:, self.scene] = latents[:, self.scene]
        return moved

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"scenes": self._scenes.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._scenes = array(state, "scenes", "ContextVAE")


class _Networks(PictureNetworks):
    def __init__(self, height: int, width: int, channels: int, z_dim: int, scene_dim: int) -> None:
        super().__init__(height, width, channels)
        self.encoder = Encoder(height, width, channels, z_dim)
        self.scene: nn.Module = Encoder(height, width, channels, scene_dim)
        self.decoder = Decoder(height, width, channels, z_dim + scene_dim)


def _covariance(factor: Floats) -> Floats:
    """Return L Lᵀ of some rows of a factor (k, d), made safely positive: (k, k)."""
    covariance = factor.astype(np.float64) @ factor.T
    return np.asarray(covariance + 1e-8 * max(float(np.trace(covariance)), 1e-6) * np.eye(len(factor)), np.float64)
