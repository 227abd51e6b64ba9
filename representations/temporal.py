"""Temporal distance embeddings: how far apart two latents are says how many steps lie between their observations."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from scipy.stats import spearmanr

from envs.errors import UserError
from representations.adam import Adam
from representations.api import DrawRows, Experience, Floats, Observations, Rows
from representations.checks import at_least, positive
from representations.curve import fit_metrics
from representations.embedding import embedding
from representations.holdout import HoldOut
from representations.state import entry, load_module, load_optimizer_state, module_state, optimizer_state
from representations.windows import Windows, training_starts


class Temporal:
    """Latent (n, d) φ(s) of pictures or states, such that ‖φ(s) − φ(g)‖ is about the least number of steps from s to g.

    V(s, g) = −‖φ(s) − φ(g)‖ is learnt as a goal-conditioned value from successors (s, s') in the data, without actions: the `expectile`
    regression of V(s, g) on −1 + discount·V̄(s', g), where V̄ is a copy that follows by the fraction `tau` per step. An expectile near 1
    believes the luckier successor, which is what makes the distance a least one, and in random surroundings an optimistic one.
    V(s, s) = 0 holds by construction, so no step is terminal and the present frame is no goal to learn from. Goals are later frames of the
    episode (share `future`, geometric with mean 1 / (1 − discount) steps) or other training rows.
    Discounting shortens: k steps are (1 − discount^k) / (1 − discount) long, nearly k for few and 1 / (1 − discount) for many. A distance
    is symmetric, so where the way back is longer than the way there it is a compromise of both.
    key: pictures (`encoder`, as for the VAE, then dense layers) or a state (dense layers only). Inputs are standardised by the first fit's.
    Practice encodes goals too, which have pictures and ``achieved_goal`` alone.
    Sources: HILP (Park et al. 2024, "Foundation policies with Hilbert representations"); shares of goals, discount and expectile are those
    of its authors' code, which trains two embeddings and weighs errors by both, where here there is one, and takes far more steps. TLDR
    (2024) explores by such distances.
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
        latent_dim: int = 16,
        discount: float = 0.99,
        expectile: float = 0.95,
        future: float = 0.625,
        tau: float = 0.02,
        hidden: Sequence[int] = (256, 256),
        first_steps: int = 2000,
        refit_steps: int = 300,
        batch_size: int = 128,
        lr: float = 5e-4,
        encoder: str = "conv",
        key: str = "image",
    ) -> None:
        at_least("Temporal", "first_steps", first_steps, 1)
        at_least("Temporal", "refit_steps", refit_steps, 0)
        at_least("Temporal", "batch_size", batch_size, 2)
        positive("Temporal", "lr", lr)
        for name, value in (("discount", discount), ("expectile", expectile)):
            if not 0 < value < 1:
                raise UserError(f"Temporal: {name} = {value}; expected a number between 0 and 1, without either")
        if not 0 <= future <= 1:
            raise UserError(f"Temporal: future = {future}; expected a share from 0 to 1")
        if not 0 < tau <= 1:
            raise UserError(f"Temporal: tau = {tau}; expected above 0 and at most 1")
        self.keys = (key,)
        self.latent_dim = latent_dim
        self._discount, self._expectile, self._future, self._tau = discount, expectile, future, tau
        self._steps = {True: first_steps, False: refit_steps}
        self._batch_size = batch_size
        self._network = embedding(
            observation_space, key, "Temporal", latent_dim=latent_dim, hidden=hidden, encoder=encoder, seed=seed, device=device
        )
        self._target = copy.deepcopy(self._network).requires_grad_(False)
        self._optimizer = Adam(lr, self._network)

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32 embeddings in (discounted) steps of pictures (n, H, W, c) or states (n, ...)."""
        return self._network.encode(observations, self.keys[0])

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Take `first_steps` or `refit_steps` Adam steps from the present weights, on rows that `draw` yields (asked once).

        Metrics: ``train_td_loss``; on held-out episodes ``step_distance``, the latent distance of successive frames (1 where the unit is
        a step), and ``steps_spearman``, the rank correlation of latent distance with the number of steps between frames of an episode,
        which bounds the least number from above. Raises `FloatingPointError` where the loss is no longer finite.
        """
        held_out = HoldOut(experience)
        drawn = draw(self._steps[first] * self._batch_size)
        windows, rows = training_starts(experience, drawn, held_out, "Temporal")
        later = windows.later(rows, 1.0 / (1.0 - self._discount), generator)
        goals = np.where(generator.random(len(rows)) < self._future, later, generator.permutation(rows))
        if first and len(rows):
            self._network.centre(experience.read(self.keys[0], rows[:1024]))
            for name in ("mean", "scale"):
                self._target.get_buffer(name).copy_(self._network.get_buffer(name))
        losses = []
        for at in range(0, len(rows), self._batch_size):
            part = slice(at, at + self._batch_size)
            losses.append(self._step(experience, rows[part], goals[part]))
        return fit_metrics("Temporal", "train_td_loss", losses) | self._score(experience, held_out.rows(generator), generator)

    def _step(self, experience: Experience, rows: Rows, goals: Rows) -> torch.Tensor:
        now, after, goal = (self._network.raw(experience.read(self.keys[0], found)) for found in (rows, rows + 1, goals))
        with torch.no_grad():
            next_, end = self._target(torch.cat([after, goal])).chunk(2)
            wanted = -1.0 - self._discount * _distance(next_, end)
        here, end = self._network(torch.cat([now, goal])).chunk(2)
        errors = wanted + _distance(here, end)
        weights = torch.where(errors > 0, self._expectile, 1.0 - self._expectile)
        loss = (weights * errors.square()).mean()
        self._optimizer.descend(loss)
        with torch.no_grad():
            torch._foreach_lerp_(list(self._target.parameters()), list(self._network.parameters()), self._tau)
        return loss.detach()

    def _score(self, experience: Experience, rows: Rows, generator: np.random.Generator) -> dict[str, float]:
        whole = Windows.stored(experience)
        rows = whole.starts(rows)
        if not len(rows):
            return {}
        later = whole.later(rows, np.inf, generator)
        now, after, then = (self.encode({self.keys[0]: experience.read(self.keys[0], found)}) for found in (rows, rows + 1, later))
        metrics = {"step_distance": float(np.linalg.norm(after - now, axis=1).mean())}
        gaps, distances = later - rows, np.linalg.norm(then - now, axis=1)
        if gaps.std() > 0 and distances.std() > 0:
            metrics["steps_spearman"] = float(spearmanr(gaps, distances).statistic)
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": module_state(self._network),
            "target": module_state(self._target),
            "optimizer": optimizer_state(self._optimizer, self._network),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_module(self._network, entry(state, "network", "Temporal"), "Temporal")
        load_module(self._target, entry(state, "target", "Temporal"), "Temporal")
        load_optimizer_state(self._optimizer, self._network, state.get("optimizer", {}), "Temporal")


def _distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the (n,) distances of latents (n, d), with a gradient where they coincide: that of a root at zero is infinite."""
    return (one - other).square().sum(dim=1).clamp(min=1e-6).sqrt()
