"""The vector-quantised autoencoder of VAL, and its prior over what a scene can lead to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from envs.errors import UserError
from representations.adam import Adam
from representations.api import DrawRows, Experience, Floats, Observations, Rows
from representations.checks import at_least, image_size, one_of, positive
from representations.chunks import in_chunks
from representations.colour import exchanged
from representations.curve import LAST, fit_metrics
from representations.holdout import HoldOut
from representations.init import seeded
from representations.quantize import EVERY, usage
from representations.state import array, entry, load_module, load_optimizer_state, module_state, optimizer_state
from representations.vq_networks import VQNetworks
from representations.vq_prior import ScenePrior, Tokens, pairs

RESERVOIR = 256  # first frames that `prior` imagines the outcomes of
SETTLED = 0.8  # share of a fit after which no code is restarted, so that codes and decoder settle


class VQVAE:
    """Latent (n, h · w · code_dim) of uint8 pictures: on a grid, the one of `codes` codes that is nearest to what the encoder sees there.

    Minimises the mean squared pixel error, divided by the pixels' variance around the mean picture, plus commitment · mean (z − code)²; the
    decoder's gradient passes the quantisation straight through to z. Codes are moving averages of the vectors that choose them, are drawn
    from data at the first fit, and move to badly served vectors when they fall out of use (`Quantiser`).
    downsample: pixels along a cell of the grid: 4 makes 12 × 12 cells of 48 pixels. hidden: channels of encoder and decoder.
    first_steps, refit_steps: minibatch steps of the long first fit and of a warm-started refit; prior_steps, prior_refit_steps: the same of
    the prior (`ScenePrior`), which learns pairs of a drawn frame and the first one of its episode, after the autoencoder; prior_steps = 0:
    no prior. prior_width, prior_layers: of its network. temperature: below 1, its samples prefer what is likely.
    The paper has 512 codes; the default is fewer, which leave the prior less to learn.
    colour_weight: how many times as much a pixel's colour counts as its brightness, in what the networks see and in their error. recolour:
    exchange the channels of a minibatch's pictures, all in the same way, at random, so that things of other colours than the data's are
    drawn too. Neither is from the papers.
    Source: van den Oord et al. 2017; VAL (Khazatsky et al. 2021). Raises `UserError` where `key` is no picture or an argument is out of
    range.
    """

    cache: Literal["frame", "episode", "never"] = "frame"
    needs_fit = True

    def __init__(
        self,
        observation_space: spaces.Dict,
        *,
        seed: int = 0,
        device: str = "cpu",
        codes: int = 128,
        code_dim: int = 5,
        downsample: int = 4,
        hidden: int = 32,
        commitment: float = 0.25,
        first_steps: int = 1500,
        refit_steps: int = 300,
        batch_size: int = 32,
        lr: float = 2e-3,
        prior_steps: int = 600,
        prior_refit_steps: int = 120,
        prior_width: int = 32,
        prior_layers: int = 4,
        prior_lr: float = 2e-3,
        temperature: float = 1.0,
        colour_weight: float = 1.0,
        recolour: bool = False,
        key: str = "image",
    ) -> None:
        height, width, channels = image_size(observation_space, key, "VQVAE")
        whole = {"code_dim": code_dim, "hidden": hidden, "first_steps": first_steps, "batch_size": batch_size}
        for name, value in (whole | {"prior_width": prior_width, "prior_layers": prior_layers}).items():
            at_least("VQVAE", name, value, 1)
        at_least("VQVAE", "codes", codes, 2)
        for name, value in {"refit_steps": refit_steps, "prior_steps": prior_steps, "prior_refit_steps": prior_refit_steps}.items():
            at_least("VQVAE", name, value, 0)
        at_least("VQVAE", "commitment", commitment, 0)
        for name, number in {"lr": lr, "prior_lr": prior_lr, "temperature": temperature, "colour_weight": colour_weight}.items():
            positive("VQVAE", name, number)
        one_of("VQVAE", "downsample", str(downsample), ("2", "4", "8"))
        self.keys = (key,)
        self._device = torch.device(device)
        self._steps = {True: first_steps, False: refit_steps}
        self._prior_steps = {True: prior_steps, False: min(prior_refit_steps, prior_steps)}
        self._batch_size, self._commitment, self._temperature, self._codes = batch_size, commitment, temperature, codes
        self._recolour = recolour
        networks = seeded(lambda: VQNetworks(height, width, channels, codes, code_dim, downsample, hidden, colour_weight), seed)
        self._networks: VQNetworks = networks.to(memory_format=torch.channels_last).to(self._device)  # type: ignore[call-overload]
        self._optimizer = Adam(lr, self._networks)
        self._grid, self._code_dim = self._networks.grid, code_dim
        self.latent_dim = self._grid[0] * self._grid[1] * code_dim
        self.imagines = prior_steps > 0  # goal samplers ask before they call `prior`
        self._prior: ScenePrior | None = None
        self._starts: Tokens = np.zeros((0, *self._grid), np.int64)
        if prior_steps:
            prior = {"width": prior_width, "layers": prior_layers}
            self._prior = ScenePrior(codes, self._grid, seed=seed, device=self._device, lr=prior_lr, **prior)

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32 codes of uint8 pictures (n, H, W, c), cell after cell in reading order."""
        images = torch.as_tensor(observations[self.keys[0]])
        return in_chunks(lambda chunk: self._networks.quantised(self._networks.pictures(chunk)), images, self.latent_dim)

    def tokens(self, inputs: Floats | Observations) -> Tokens:
        """Return (n, h, w) int64 the number of the code in each cell: of latents (n, d), the nearest; or of observations."""
        latents = self.encode(inputs) if isinstance(inputs, Mapping) else inputs
        with torch.inference_mode():
            found = self._networks.quantiser.lookup(self._vectors(latents).flatten(0, 2))
        return found.view(-1, *self._grid).cpu().numpy()

    def from_tokens(self, tokens: Tokens) -> Floats:
        """Return the (n, d) latents of tokens (n, h, w)."""
        chosen = self._networks.quantiser.codebook[torch.as_tensor(tokens, device=self._device)]
        return chosen.reshape(len(tokens), self.latent_dim).cpu().numpy()

    def decode(self, latents: Floats) -> NDArray[np.uint8]:
        """Return the (n, H, W, c) uint8 pictures of latents (n, d); those between codes are not moved to one first."""
        codes = self._vectors(latents)
        with torch.inference_mode():
            pictures = torch.cat([self._networks.drawn(part) for part in torch.split(codes, 256)] or [self._networks.drawn(codes)])
            images = self._networks.images(pictures)
        return np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())

    def outcomes(self, latents: Floats, generator: np.random.Generator) -> Floats:
        """Return (n, d) latents of a possible later frame for each scene, given by the latents (n, d) of its first frame."""
        return self.from_tokens(self._scene_prior().sample(self.tokens(latents), generator, self._temperature))

    def prior(self, n: int, generator: np.random.Generator) -> Floats:
        """Return (n, d) latents of possible outcomes of scenes met before: first frames of which the last fit kept up to 256.

        Before the first fit the scenes are noise. Raises `UserError` where prior_steps = 0.
        """
        prior = self._scene_prior()
        if len(self._starts):
            contexts = self._starts[generator.integers(len(self._starts), size=n)]
        else:
            contexts = generator.integers(self._codes, size=(n, *self._grid))
        return self.from_tokens(prior.sample(contexts, generator, self._temperature))

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Take `first_steps` or `refit_steps` Adam steps from the present weights, then the prior's; `draw` is asked once.

        Metrics: ``reconstruction_mse`` (per pixel, [0, 1]) on held-out episodes, ``train_reconstruction_mse``; of the last frames seen
        ``perplexity`` (exponential of the codes' entropy: how many are in use) and ``dead_codes`` (share that nothing chose); with a prior
        ``prior_nats`` per token on held-out episodes, and beside it ``marginal_nats`` of the tokens' frequencies alone.
        Raises `FloatingPointError` where a loss is no longer finite.
        """
        held_out = HoldOut(experience)
        steps, prior_steps = self._steps[first], self._prior_steps[first]
        rows = held_out.drop(draw((steps + prior_steps) * self._batch_size))
        cut = round(len(rows) * steps / max(steps + prior_steps, 1))
        noise = torch.Generator().manual_seed(int(generator.integers(2**63)))
        if not bool(self._networks.quantiser.fitted) and len(rows):
            self._start(experience, rows[:1024], noise)
        batches = np.split(rows[:cut], range(self._batch_size, cut, self._batch_size)) if cut else []
        losses = [self._step(experience, batch, at, at < SETTLED * len(batches), noise) for at, batch in enumerate(batches)]
        metrics = fit_metrics("VQVAE", "train_reconstruction_mse", losses)
        scored = held_out.rows(generator)
        metrics |= self._score(experience, rows[max(cut - 1024, 0) : cut], scored)
        if self._prior is not None and cut < len(rows):
            metrics |= self._fit_prior(self._prior, experience, rows[cut:], scored, generator)
        return metrics

    def _start(self, experience: Experience, rows: Rows, noise: torch.Generator) -> None:
        """Set the mean picture and the first codes from the frames at `rows`."""
        images = torch.as_tensor(experience.read(self.keys[0], rows))
        networks = self._networks
        with torch.inference_mode():
            networks.mean.add_(networks.pictures(images).mean(dim=0))
            pictures = networks.pictures(images)
            networks.variance.copy_(pictures.square().mean().clamp_min(1e-4))  # identical frames have none
            networks.quantiser.start(networks.vectors(pictures[:256]).flatten(0, 2), noise)

    def _step(self, experience: Experience, rows: Rows, at: int, restart: bool, noise: torch.Generator) -> torch.Tensor:
        networks, quantiser = self._networks, self._networks.quantiser
        x = networks.pictures(torch.as_tensor(experience.read(self.keys[0], rows)))
        if self._recolour:
            x = x[:, exchanged(x.shape[1], noise)]
        z = networks.vectors(x)
        flat = z.detach().flatten(0, 2)
        chosen = quantiser.nearest(flat)
        codes = quantiser.codebook[chosen].view_as(z)
        error = (networks.drawn(z + (codes - z).detach()) - x).square().mean()
        loss = error / networks.variance + self._commitment * (z - codes).square().mean()
        self._optimizer.descend(loss)
        quantiser.update(flat, chosen)
        if restart and at % EVERY == EVERY - 1:
            quantiser.restart(flat, noise)
        return error.detach()

    def _fit_prior(
        self, prior: ScenePrior, experience: Experience, rows: Rows, scored: Rows, generator: np.random.Generator
    ) -> dict[str, float]:
        """Fit the prior on the episodes of `rows`, in minibatches, and score it on `scored`."""
        later, starts = pairs(experience, rows)
        unique, where = np.unique(np.concatenate([later, starts]), return_inverse=True)
        grids = self._tokens_at(experience, unique)
        of_later, of_starts = where[: len(later)], where[len(later) :]
        losses = prior.fit(grids, of_later, of_starts, self._batch_size)
        metrics = {"train_prior_nats": float(losses[-LAST:].mean())}
        kept = np.unique(of_starts)
        self._starts = grids[kept if len(kept) <= RESERVOIR else np.sort(generator.choice(kept, RESERVOIR, replace=False))]
        if len(scored):
            later, starts = pairs(experience, scored if len(scored) <= 256 else generator.choice(scored, 256, replace=False))
            tokens = self._tokens_at(experience, later)
            # one more of each, so that a token never met has a probability
            counts = np.bincount(grids[of_later].ravel(), minlength=self._codes) + 1.0
            metrics["prior_nats"] = float(prior.nats(tokens, self._tokens_at(experience, starts)).mean())
            metrics["marginal_nats"] = float(-np.log(counts / counts.sum())[tokens].mean())
        return metrics

    def _score(self, experience: Experience, trained: Rows, held_out: Rows) -> dict[str, float]:
        metrics = {}
        if len(held_out):
            errors = []
            for part in np.split(held_out, range(256, len(held_out), 256)):
                images = experience.read(self.keys[0], part)
                difference = self.decode(self.encode({self.keys[0]: images})).astype(np.float32) - images
                errors.append(np.square(difference / 255.0).mean(axis=(1, 2, 3)))
            metrics["reconstruction_mse"] = float(np.concatenate(errors).mean())
        if len(trained):
            metrics |= usage(self._tokens_at(experience, trained), self._codes)
        return metrics

    def _tokens_at(self, experience: Experience, rows: Rows) -> Tokens:
        parts = np.split(rows, range(256, len(rows), 256))
        return np.concatenate([self.tokens({self.keys[0]: experience.read(self.keys[0], part)}) for part in parts])

    def _vectors(self, latents: Floats) -> torch.Tensor:
        return torch.as_tensor(np.asarray(latents, np.float32), device=self._device).view(-1, *self._grid, self._code_dim)

    def _scene_prior(self) -> ScenePrior:
        if self._prior is None:
            raise UserError("VQVAE was made without a prior (prior_steps = 0); expected prior_steps of at least 1")
        return self._prior

    def state_dict(self) -> dict[str, Any]:
        state = {"networks": module_state(self._networks), "optimizer": optimizer_state(self._optimizer, self._networks)}
        return state if self._prior is None else state | {"prior": self._prior.state_dict(), "starts": self._starts.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_module(self._networks, entry(state, "networks", "VQVAE"), "VQVAE")
        load_optimizer_state(self._optimizer, self._networks, state.get("optimizer", {}), "VQVAE")
        if self._prior is not None:
            self._prior.load_state_dict(entry(state, "prior", "VQVAE"), "VQVAE")
            self._starts = array(state, "starts", "VQVAE").astype(np.int64).reshape(-1, *self._grid)
