"""Time-contrastive embeddings: frames that are near in time come to lie near each other, others apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch.nn.functional import cross_entropy

from envs.errors import UserError
from representations.adam import Adam
from representations.api import DrawRows, Experience, Floats, Observations, Rows
from representations.checks import at_least, positive
from representations.curve import fit_metrics
from representations.embedding import embedding
from representations.holdout import HoldOut
from representations.shift import random_shift
from representations.state import entry, load_module, load_optimizer_state, module_state, optimizer_state
from representations.windows import Windows, training_starts


class Contrastive:
    """Latent (n, d) f(x) of pictures or states in which frames a few steps apart are neighbours.

    Minimises the symmetric InfoNCE loss over a batch of pairs (x, x'), x' being a later frame of x's episode, geometric with mean `reach`
    steps: cross entropy of finding x' among the batch's later frames by −‖f(x) − f(x')‖²/2, and x among the earlier ones.
    The similarity is a distance because latent distance is what rewards, samplers and neighbours are measured by: at the optimum
    −‖f(x) − f(x')‖²/2 is log p(x'|x) up to terms of x and x' alone, that is, within `reach` steps frames move by about 1 in the directions
    in which they move. That fixes the unit without a temperature. Under a cosine similarity the length of a latent is arbitrary, and one
    would have to normalise it first. Either way distances level off: beyond where no batch confuses two frames nothing says how far apart
    they are (`Temporal` learns that).
    key: pictures (`encoder`, as for the VAE, then dense layers) or a state (dense layers only). Inputs are standardised by the first fit's.
    Practice encodes goals too, which have pictures and ``achieved_goal`` alone.
    shift: pictures are moved at random by up to so many pixels, both of a pair on their own; 0: not at all.
    reach=0 makes x' the frame x itself, moved otherwise: what augmentation alone comes to (CURL: Laskin, Srinivas & Abbeel 2020), the
    control that says what pairs in time add. Near are then pictures that a shift could confuse, whenever they were taken.
    Sources: InfoNCE (van den Oord et al. 2018, "Representation learning with contrastive predictive coding"), pairs in time as in
    time-contrastive networks (Sermanet et al. 2018).
    Raises `UserError` where `key` is no picture or state, an argument is out of range or no stored episode has a step.
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
        reach: float = 3.0,
        shift: int = 0,
        hidden: Sequence[int] = (256, 256),
        first_steps: int = 1500,
        refit_steps: int = 300,
        batch_size: int = 128,
        lr: float = 5e-4,
        encoder: str = "conv",
        key: str = "image",
    ) -> None:
        at_least("Contrastive", "shift", shift, 0)
        if reach != 0:  # 0: two views of one frame
            at_least("Contrastive", "reach", reach, 1)
        elif not shift:
            raise UserError("Contrastive: reach = 0 pairs a frame with itself, which needs shift > 0 to tell two views apart; got 0")
        at_least("Contrastive", "first_steps", first_steps, 1)
        at_least("Contrastive", "refit_steps", refit_steps, 0)
        at_least("Contrastive", "batch_size", batch_size, 2)
        positive("Contrastive", "lr", lr)
        self.keys = (key,)
        self.latent_dim = latent_dim
        self._reach, self._shift = reach, shift
        self._steps = {True: first_steps, False: refit_steps}
        self._batch_size = batch_size
        self._network = embedding(
            observation_space, key, "Contrastive", latent_dim=latent_dim, hidden=hidden, encoder=encoder, seed=seed, device=device
        )
        if shift and not self._network.pictures:
            raise UserError(f"Contrastive: shift = {shift} moves pictures, but '{key}' is a state; expected 0")
        self._optimizer = Adam(lr, self._network)

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32 embeddings of pictures (n, H, W, c) or states (n, ...)."""
        return self._network.encode(observations, self.keys[0])

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Take `first_steps` or `refit_steps` Adam steps from the present weights, on rows that `draw` yields (asked once).

        Metrics: ``train_infonce`` in nats; on held-out frames ``nearer``, how often a later frame is nearer than a random one (chance 0.5,
        ties count half), and ``near_distance``, the root mean square latent distance to the later frame (the next, with reach=0). Raises
        `FloatingPointError` where the loss is no longer finite.
        """
        held_out = HoldOut(experience)
        drawn = draw(self._steps[first] * self._batch_size)
        windows, rows = training_starts(experience, drawn, held_out, "Contrastive")
        later = windows.later(rows, self._reach, generator) if self._reach else rows
        if first and len(rows):
            self._network.centre(experience.read(self.keys[0], rows[:1024]))
        noise = torch.Generator().manual_seed(int(generator.integers(2**63)))
        losses = []
        for at in range(0, len(rows), self._batch_size):
            part = slice(at, at + self._batch_size)
            losses.append(self._step(experience, rows[part], later[part], noise))
        return fit_metrics("Contrastive", "train_infonce", losses) | self._score(experience, held_out.rows(generator), generator)

    def _step(self, experience: Experience, rows: Rows, later: Rows, noise: torch.Generator) -> torch.Tensor:
        frames = self._network.raw(experience.read(self.keys[0], np.concatenate([rows, later])))
        if self._shift:
            frames = random_shift(frames.permute(0, 2, 3, 1), self._shift, noise).permute(0, 3, 1, 2)
        now, then = self._network(frames).chunk(2)
        similarity = _similarity(now, then)
        truth = torch.arange(len(now), device=now.device)
        loss = (cross_entropy(similarity, truth) + cross_entropy(similarity.T, truth)) / 2
        self._optimizer.descend(loss)
        return loss.detach()

    def _score(self, experience: Experience, rows: Rows, generator: np.random.Generator) -> dict[str, float]:
        whole = Windows.stored(experience)
        rows = whole.starts(rows)
        if len(rows) < 2:
            return {}
        later, other = whole.later(rows, max(self._reach, 1.0), generator), generator.permutation(rows)
        now, then, else_ = (self.encode({self.keys[0]: experience.read(self.keys[0], found)}) for found in (rows, later, other))
        near, far = np.linalg.norm(then - now, axis=1), np.linalg.norm(else_ - now, axis=1)
        return {"nearer": float((near < far).mean() + 0.5 * (near == far).mean()), "near_distance": float(np.sqrt(np.square(near).mean()))}

    def state_dict(self) -> dict[str, Any]:
        return {"network": module_state(self._network), "optimizer": optimizer_state(self._optimizer, self._network)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_module(self._network, entry(state, "network", "Contrastive"), "Contrastive")
        load_optimizer_state(self._optimizer, self._network, state.get("optimizer", {}), "Contrastive")


def _similarity(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return (n, m) minus half the squared distances of latents (n, d) and (m, d)."""
    return -0.5 * (one[:, None] - other[None]).square().sum(dim=2)
