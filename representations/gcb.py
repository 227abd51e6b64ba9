"""Goal-conditioned bisimulation: differences of latents say what is left to do, whatever else is seen."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from envs.errors import UserError
from representations.adam import Adam
from representations.api import DrawRows, Experience, Floats, Observations, Rows
from representations.checks import at_least, positive
from representations.chunks import in_chunks
from representations.curve import fit_metrics
from representations.embedding import Embedding, embedding, two_layers
from representations.holdout import HoldOut
from representations.init import seeded
from representations.state import entry, load_module, load_optimizer_state, module_state, optimizer_state
from representations.windows import Windows, continuous_actions, training_starts


class GCB:
    """Latent (n, d) ψ(s) of pictures or states, such that ψ(g) − ψ(s) is what has to be done to get from s to g, in any scene.

    φ(s, g) is learnt as a bisimulation of pairs: two pairs are as far apart as what is done and earned in them, now and from then on,

        ‖φ(s, g) − φ(s′, g′)‖₁ ≈ reward_weight·|r − r′| + action_weight·‖a − a′‖ + discount·‖φ̄(s₊, g) − φ̄(s′₊, g′)‖₁,

    where s₊ follows s, φ̄ is a copy that follows by the fraction `tau` per step, and pairs are drawn by permuting the batch. r is −1 until
    the goal is there and 0 from then on, when nothing is done any more; r and a are not the single ones in the data but what another
    network expects of them from (s, g), since a metric of noisy ones would be one of the noise. φ also has to predict both by itself. ψ is
    fitted to ψ(g) − ψ(s) = φ(s, g) − φ(g, g). Goals are later frames of the episode (geometric, mean 1 / (1 − discount) steps); the share
    `arrived` of pairs has s as its own goal.

    metric_weight: of the bisimulation's error. warm_up: share of the first fit in which it does not count yet: while nothing is known of
    what is done, all pairs are to be one point, from which pictures were not seen to come apart again. With action_weight=0 the metric is
    that of rewards alone, as in the paper's equation; they are then a function of the steps that are left, and so is φ but for what it
    has to predict.
    key: pictures (`encoder`, as for the VAE, then dense layers) or a state (dense layers only). Inputs are standardised by the first fit's.
    Practice encodes goals too, which have pictures and ``achieved_goal`` alone.
    Source: GCB (Hansen-Estruch, Zhang, Nair, Yin & Levine 2022, "Bisimulation makes analogies in goal-conditioned reinforcement
    learning"), and its authors' code for predicted rewards and for a metric of actions (which is that of Agarwal et al. 2021, PSM). Not
    from there: features that φ and ψ share, expected actions, and the next latents themselves in place of a model of them.
    Raises `UserError` where `key` is no picture or state, an argument is out of range, no stored episode has a step, or actions are not
    continuous.
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
        discount: float = 0.9,
        reward_weight: float = 1.0,
        action_weight: float = 1.0,
        metric_weight: float = 0.1,
        warm_up: float = 0.2,
        arrived: float = 0.1,
        tau: float = 0.02,
        features: int = 64,
        hidden: Sequence[int] = (256, 256),
        first_steps: int = 4000,
        refit_steps: int = 300,
        batch_size: int = 128,
        lr: float = 1e-3,
        encoder: str = "conv",
        key: str = "image",
    ) -> None:
        for name, count, least in (
            ("first_steps", first_steps, 1),
            ("refit_steps", refit_steps, 0),
            ("batch_size", batch_size, 2),
            ("features", features, 1),
        ):
            at_least("GCB", name, count, least)
        for name, weight in (("reward_weight", reward_weight), ("action_weight", action_weight), ("metric_weight", metric_weight)):
            at_least("GCB", name, weight, 0)
        positive("GCB", "lr", lr)
        if not 0 < discount < 1:
            raise UserError(f"GCB: discount = {discount}; expected a number between 0 and 1, without either")
        for name, share in (("warm_up", warm_up), ("arrived", arrived)):
            if not 0 <= share < 1:
                raise UserError(f"GCB: {name} = {share}; expected a share from 0 to below 1")
        if not 0 < tau <= 1:
            raise UserError(f"GCB: tau = {tau}; expected above 0 and at most 1")
        self.keys = (key,)
        self.latent_dim = latent_dim
        self._discount, self._arrived, self._tau = discount, arrived, tau
        self._weights = (reward_weight, action_weight)
        self._metric_weight, self._warm_up = metric_weight, warm_up
        self._steps = {True: first_steps, False: refit_steps}
        self._batch_size, self._lr, self._seed = batch_size, lr, seed
        trunk = embedding(observation_space, key, "GCB", latent_dim=features, hidden=hidden, encoder=encoder, seed=seed, device=device)
        at_least("GCB", "latent_dim", latent_dim, 1)
        self._network = seeded(lambda: PairNetwork(trunk, features, latent_dim), seed).to(torch.device(device))
        self._target = copy.deepcopy(self._network).requires_grad_(False)
        self._guesses: Guesses | None = None  # made once it is known how many numbers an action has
        self._optimizers: list[tuple[Adam, nn.Module]] = []

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32 latents of pictures (n, H, W, c) or states (n, ...)."""
        trunk = self._network.trunk
        given = np.asarray(observations[self.keys[0]])
        given = given if trunk.pictures else given.astype(np.float32)
        return in_chunks(lambda chunk: self._network.state(trunk(trunk.raw(chunk))), torch.as_tensor(given), self.latent_dim)

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Take `first_steps` or `refit_steps` Adam steps from the present weights, on rows that `draw` yields (asked once).

        Metrics: ``train_gcb_loss``; on held-out episodes ``action_error``, the mean square error of expected actions in units of their
        mean square, and ``difference_error``, that of ψ(g) − ψ(s) in units of what it stands for. Raises `FloatingPointError` where the
        loss is no longer finite.
        """
        held_out = HoldOut(experience)
        drawn = draw(self._steps[first] * self._batch_size)
        windows, rows = training_starts(experience, drawn, held_out, "GCB")
        goals = self._goals(windows, rows, generator)
        if len(rows):
            self._begin(experience, rows[:1024], first)
        losses = []
        for at in range(0, len(rows), self._batch_size):
            part = slice(at, at + self._batch_size)
            counts = not first or at >= self._warm_up * len(rows)
            order = generator.permutation(len(rows[part]))
            losses.append(self._step(experience, rows[part], goals[part], order, self._metric_weight if counts else 0.0))
        return fit_metrics("GCB", "train_gcb_loss", losses) | self._score(experience, held_out.rows(generator), generator)

    def _goals(self, windows: Windows, rows: Rows, generator: np.random.Generator) -> Rows:
        later = windows.later(rows, 1.0 / (1.0 - self._discount), generator)
        return np.where(generator.random(len(rows)) < self._arrived, rows, later)

    def _begin(self, experience: Experience, rows: Rows, first: bool) -> None:
        """Find the units of inputs and actions, once, and make what depends on the number of these."""
        actions = continuous_actions(experience, rows, "GCB")
        if self._guesses is None:
            self._make(actions.shape[1])
        assert self._guesses is not None
        if first:
            for network in (self._network, self._target):
                network.trunk.centre(experience.read(self.keys[0], rows))
            size = float(np.sqrt(np.square(actions).mean()))
            self._guesses.unit.fill_(size if size > 1e-6 else 1.0)

    def _make(self, actions: int) -> None:
        features = self._network.features
        made = seeded(lambda: Guesses(features, self.latent_dim, actions), self._seed)
        self._guesses = made.to(self._network.trunk.mean.device)
        self._optimizers = [(Adam(self._lr, part), part) for part in (self._network, self._guesses)]

    def _batch(self, experience: Experience, rows: Rows, goals: Rows) -> tuple[torch.Tensor, ...]:
        """Return the raw observations s, s₊, g, whether s = g, and (n, a + 1) what is done and earned there."""
        assert self._guesses is not None
        trunk = self._network.trunk
        now, after, goal = (trunk.raw(experience.read(self.keys[0], found)) for found in (rows, rows + 1, goals))
        there = torch.as_tensor(rows == goals).to(now.device)[:, None]
        actions = torch.as_tensor(np.asarray(experience.read("action", rows), np.float32)).to(now.device) / self._guesses.unit
        rewards = -torch.as_tensor((rows + 1 < goals).astype(np.float32)).to(now.device)[:, None]
        return now, after, goal, there, torch.cat([torch.where(there, 0.0, actions), rewards], 1)

    def _step(self, experience: Experience, rows: Rows, goals: Rows, order: Rows, metric_weight: float) -> torch.Tensor:
        assert self._guesses is not None
        now, after, goal, there, truth = self._batch(experience, rows, goals)
        here, end = self._network.trunk(torch.cat([now, goal])).chunk(2)
        pair = self._network.pair(torch.cat([here, end], 1))
        guess = self._guesses.of_features(torch.cat([here, end], 1))
        loss = (guess - truth).square().mean() + (self._guesses.of_pair(pair) - truth).square().mean()
        if metric_weight:
            with torch.no_grad():
                before, later, last = self._target.trunk(torch.cat([now, after, goal])).chunk(3)
                next_ = self._target.pair(torch.cat([torch.where(there, before, later), last], 1))
                apart = guess - guess[order]
                wanted = self._weights[0] * apart[:, -1].abs() + self._weights[1] * apart[:, :-1].norm(dim=1)
                wanted += self._discount * (next_ - next_[order]).abs().sum(1)
            loss = loss + metric_weight * ((pair - pair[order]).abs().sum(1) - wanted).square().mean()
        loss = loss + (self._network.state(end) - self._network.state(here) - self._left(pair, end)).square().mean()
        for optimizer, _ in self._optimizers:
            optimizer.clear()
        loss.backward()
        for optimizer, _ in self._optimizers:
            optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self._target.parameters()), list(self._network.parameters()), self._tau)
        value: torch.Tensor = loss.detach()
        return value

    def _left(self, pair: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        """Return (n, d) what ψ(g) − ψ(s) stands for: φ(s, g) − φ(g, g), without gradients."""
        with torch.no_grad():
            arrived: torch.Tensor = self._network.pair(torch.cat([end, end], 1))
        return pair.detach() - arrived

    @torch.no_grad()
    def _score(self, experience: Experience, rows: Rows, generator: np.random.Generator) -> dict[str, float]:
        whole = Windows.stored(experience)
        rows = whole.starts(rows)
        if not len(rows) or self._guesses is None:
            return {}
        now, _, goal, _, truth = self._batch(experience, rows, whole.later(rows, 1.0 / (1.0 - self._discount), generator))
        here, end = self._network.trunk(torch.cat([now, goal])).chunk(2)
        both = torch.cat([here, end], 1)
        wrong = (self._guesses.of_features(both) - truth)[:, :-1].square().mean()
        left = self._left(self._network.pair(both), end)
        missed = (self._network.state(end) - self._network.state(here) - left).square().mean()
        return {"action_error": float(wrong), "difference_error": float(missed / left.square().mean().clamp(min=1e-12))}

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"network": module_state(self._network), "target": module_state(self._target)}
        if self._guesses is not None:
            state["guesses"] = module_state(self._guesses)
            state["optimizers"] = {str(at): optimizer_state(*pair) for at, pair in enumerate(self._optimizers)}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_module(self._network, entry(state, "network", "GCB"), "GCB")
        load_module(self._target, entry(state, "target", "GCB"), "GCB")
        if "guesses" not in state:
            self._guesses, self._optimizers = None, []
            return
        guesses = entry(state, "guesses", "GCB")
        self._make(len(guesses["of_pair.bias"]) - 1)
        assert self._guesses is not None
        load_module(self._guesses, guesses, "GCB")
        for at, (optimizer, module) in enumerate(self._optimizers):
            load_optimizer_state(optimizer, module, entry(state, "optimizers", "GCB")[str(at)], "GCB")


class PairNetwork(nn.Module):
    """Features of observations (`trunk`), φ of two observations' features (`pair`) and ψ of one's (`state`)."""

    def __init__(self, trunk: Embedding, features: int, latent_dim: int) -> None:
        super().__init__()
        self.trunk, self.features = trunk, features
        self.pair = two_layers(2 * features, latent_dim)
        self.state = two_layers(features, latent_dim)


class Guesses(nn.Module):
    """What is done and earned (a + 1 numbers): expected from two observations' features, and predicted from φ. unit: of actions."""

    def __init__(self, features: int, latent_dim: int, actions: int) -> None:
        super().__init__()
        self.unit: torch.Tensor
        self.register_buffer("unit", torch.ones(()))
        self.of_features = two_layers(2 * features, actions + 1)
        self.of_pair = nn.Linear(latent_dim, actions + 1)
