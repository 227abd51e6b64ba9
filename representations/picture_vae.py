"""What autoencoders of pictures share: decoding, fitting by minibatches, the shape of the latent space, states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from representations.adam import Adam
from representations.api import DrawRows, Experience, Floats, Observations, Rows
from representations.checks import at_least, positive
from representations.chunks import in_chunks
from representations.colour import coloured
from representations.conv import PictureNetworks
from representations.curve import fit_metrics
from representations.elbo import kl_to_unit
from representations.holdout import HoldOut
from representations.latent_shape import gaussian_of, picture_effect
from representations.state import array, entry, load_module, load_optimizer_state, module_state, optimizer_state


class PictureVAE(ABC):
    """A variational autoencoder of the pictures under one key. `codes` and `loss` are what its kinds differ in.

    colour_weight: how many times as much a pixel's colour counts as its brightness, in what the networks see, in their error and in
    reported errors. What differs in hue alone otherwise takes long to be told apart: a small red thing and a green one, before an arm.
    Raises `UserError` for arguments out of range.
    """

    cache: Literal["frame", "episode", "never"] = "frame"
    needs_fit = True

    def __init__(
        self,
        networks: PictureNetworks,
        *,
        key: str,
        latent_dim: int,
        device: str,
        decoder_sigma: float,
        first_steps: int,
        refit_steps: int,
        batch_size: int,
        lr: float,
        scale_latents: bool,
        centre: bool,
        colour_weight: float,
    ) -> None:
        self._name = type(self).__name__
        for name, value in (("first_steps", first_steps), ("batch_size", batch_size)):
            at_least(self._name, name, value, 1)
        at_least(self._name, "refit_steps", refit_steps, 0)
        positive(self._name, "decoder_sigma", decoder_sigma)
        positive(self._name, "lr", lr)
        positive(self._name, "colour_weight", colour_weight)
        self.keys = (key,)
        self.latent_dim = latent_dim
        self._device = torch.device(device)
        self._sigma = decoder_sigma
        self._steps = {True: first_steps, False: refit_steps}
        self._batch_size = batch_size
        self._scale_latents, self._centre, self._colour_weight = scale_latents, centre, colour_weight
        self._effect = np.ones(latent_dim, np.float32)
        self._prior_mean, self._prior_factor = np.zeros(latent_dim, np.float32), np.eye(latent_dim, dtype=np.float32)
        self._networks: PictureNetworks = networks.to(memory_format=torch.channels_last).to(self._device)  # type: ignore[call-overload]
        self._optimizer = Adam(lr, self._networks)

    @abstractmethod
    def codes(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the unscaled latents (n, d) of pictures (n, c, H, W) as `_pictures` makes them."""

    @abstractmethod
    def posterior(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and log-variances (n, k) of the latents that the KL term is about."""

    @abstractmethod
    def loss(self, experience: Experience, rows: Rows, noise: torch.Generator, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of the frames `rows`, and their squared error per pixel; `done` is the share of the fit that is behind."""

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32 scaled posterior means of uint8 pictures (n, H, W, c)."""
        images = torch.as_tensor(observations[self.keys[0]])
        return in_chunks(lambda chunk: self.codes(self._pictures(chunk)), images, self.latent_dim) * self._effect

    def decode(self, latents: Floats) -> NDArray[np.uint8]:
        """Return the (n, H, W, c) uint8 mean pictures of latents (n, d)."""
        z = torch.as_tensor(np.asarray(latents, dtype=np.float32) / self._effect, device=self._device)
        with torch.inference_mode():
            pictures = torch.cat([self._networks.decoder(part) for part in torch.split(z, 256)] or [self._networks.decoder(z)])
            pixels = coloured(pictures, 1.0 / self._colour_weight) + self._networks.mean
            bytes_ = pixels.mul_(255.0).round_().clamp_(0.0, 255.0).to(torch.uint8)
        return np.ascontiguousarray(bytes_.permute(0, 2, 3, 1).cpu().numpy())

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
        starts = range(0, len(rows), self._batch_size)
        losses = [self._step(experience, rows[at : at + self._batch_size], noise, at / len(rows)) for at in starts]
        metrics = fit_metrics(self._name, "train_reconstruction_mse", losses)
        self._fit_shape(experience, rows[-2048:])
        return metrics | self._score(experience, held_out.rows(generator))

    def _step(self, experience: Experience, rows: Rows, noise: torch.Generator, done: float) -> torch.Tensor:
        loss, per_pixel = self.loss(experience, rows, noise, done)
        self._optimizer.descend(loss)
        return per_pixel.detach()

    def _fit_shape(self, experience: Experience, rows: Rows) -> None:
        """Fit the prior and the latents' units to what the networks now make of `rows`."""
        with torch.inference_mode():
            parts = [
                self._pictures(torch.as_tensor(experience.read(self.keys[0], part))) for part in np.split(rows, range(256, len(rows), 256))
            ]
            codes = torch.cat([self.codes(part) for part in parts])
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
                errors.append((x - self._networks.decoder(self.codes(x))).square().mean(dim=(1, 2, 3)))
                divergences.append(kl_to_unit(*self.posterior(x)))
        return {"reconstruction_mse": float(torch.cat(errors).mean()), "kl_nats": float(torch.cat(divergences).mean())}

    def _pictures(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, c, H, W) float32 of uint8 (n, H, W, c): pixels in [0, 1], minus the mean picture where centred, colour weighted."""
        # the permuted view is channels-last already
        pixels: torch.Tensor = images.to(self._device).permute(0, 3, 1, 2).to(torch.float32) / 255.0
        return coloured(pixels - self._networks.mean, self._colour_weight)

    def state_dict(self) -> dict[str, Any]:
        return {
            "networks": module_state(self._networks),
            "optimizer": optimizer_state(self._optimizer, self._networks),
            "effect": self._effect.copy(),
            "prior_mean": self._prior_mean.copy(),
            "prior_factor": self._prior_factor.copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_module(self._networks, entry(state, "networks", self._name), self._name)
        load_optimizer_state(self._optimizer, self._networks, state.get("optimizer", {}), self._name)
        self._effect = array(state, "effect", self._name, self._effect.shape)
        self._prior_mean = array(state, "prior_mean", self._name, self._prior_mean.shape)
        self._prior_factor = array(state, "prior_factor", self._name, self._prior_factor.shape)
