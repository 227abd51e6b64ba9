"""A lossy encoder: of what is seen, latents keep what values and actions toward goals ask for, and as little else as they can."""

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
from representations.chunks import in_chunks
from representations.curve import fit_metrics
from representations.elbo import kl_to_unit
from representations.embedding import embedding
from representations.holdout import HoldOut
from representations.lossy_heads import Heads, LossyNetwork
from representations.state import entry, load_module, load_optimizer_state, module_state, optimizer_state
from representations.windows import Windows, continuous_actions, training_starts


class Lossy:
    """Latent (n, d) of pictures or states: the means of q(h | s), an encoder with an information bottleneck.

    It is trained through the losses of implicit Q-learning (`Heads`), which see samples h ~ q(h | s) alone, and pays `kl_weight` per nat
    of KL(q(h | s) ‖ N(0, I)). What neither values nor actions toward goals depend on, such as what moves in the background, is not worth
    its price. Rewards are −1 until the goal is the next frame, which ends what is learnt. Goals are later frames of the episode (geometric,
    mean 1 / (1 − discount) steps); the share `negatives` are other training rows, which may never be reached, and the share `arrived` the
    next frame. Critics, value and policy serve the encoder alone: an agent learns its own from the latents.

    expectile, inverse_temperature: of the losses. tau: how far their targets follow per minibatch. key: pictures (`encoder`, as for the
    VAE, then dense layers) or a state (dense layers only), standardised by the first fit's inputs.
    Source: FLAP (Fang, Yin, Nair, Walke, Yan & Levine 2022, "Generalization with lossy affordances"), which trains encoder and agent at
    once offline and then keeps the encoder; here practice may refit it. Expectile, latent size and share of negatives are the paper's; with
    its KL weight of 0.1 a point's place was lost that 0.03 keeps (on the walks of tests/test_lossy.py, one seed). It is tried on such walks
    alone: what an agent makes of its latents is not measured.
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
        latent_dim: int = 64,
        kl_weight: float = 0.03,
        discount: float = 0.98,
        expectile: float = 0.8,
        inverse_temperature: float = 0.5,
        negatives: float = 0.3,
        arrived: float = 0.1,
        tau: float = 0.02,
        hidden: Sequence[int] = (256, 256),
        first_steps: int = 4000,
        refit_steps: int = 300,
        batch_size: int = 128,
        lr: float = 5e-4,
        encoder: str = "conv",
        key: str = "image",
    ) -> None:
        for name, count, least in (("first_steps", first_steps, 1), ("refit_steps", refit_steps, 0), ("batch_size", batch_size, 2)):
            at_least("Lossy", name, count, least)
        for name, weight in (("kl_weight", kl_weight), ("inverse_temperature", inverse_temperature)):
            at_least("Lossy", name, weight, 0)
        positive("Lossy", "lr", lr)
        for name, value in (("discount", discount), ("expectile", expectile)):
            if not 0 < value < 1:
                raise UserError(f"Lossy: {name} = {value}; expected a number between 0 and 1, without either")
        if not (negatives >= 0 and arrived >= 0 and negatives + arrived <= 1):
            raise UserError(f"Lossy: negatives = {negatives} and arrived = {arrived}; expected shares that come to 1 at most")
        if not 0 < tau <= 1:
            raise UserError(f"Lossy: tau = {tau}; expected above 0 and at most 1")
        at_least("Lossy", "latent_dim", latent_dim, 1)
        self.keys = (key,)
        self.latent_dim = latent_dim
        self._kl_weight, self._discount, self._tau = kl_weight, discount, tau
        self._losses = {"expectile": expectile, "inverse_temperature": inverse_temperature}
        self._negatives, self._arrived = negatives, arrived
        self._steps = {True: first_steps, False: refit_steps}
        self._batch_size, self._lr, self._seed = batch_size, lr, seed
        self._encoder = embedding(
            observation_space, key, "Lossy", latent_dim=2 * latent_dim, hidden=hidden, encoder=encoder, seed=seed, device=device
        )
        self._network: LossyNetwork | None = None  # made once it is known how many numbers an action has

    def encode(self, observations: Observations, context: Floats | None = None) -> Floats:
        """Return (n, d) float32 latents of pictures (n, H, W, c) or states (n, ...)."""
        given = np.asarray(observations[self.keys[0]])
        given = given if self._encoder.pictures else given.astype(np.float32)
        means = lambda chunk: self._encoder(self._encoder.raw(chunk))[:, : self.latent_dim]  # noqa: E731
        return in_chunks(means, torch.as_tensor(given), self.latent_dim)

    def fit(self, experience: Experience, draw: DrawRows, generator: np.random.Generator, *, first: bool) -> dict[str, float]:
        """Take `first_steps` or `refit_steps` Adam steps from the present weights, on rows that `draw` yields (asked once).

        Metrics: ``train_lossy_loss``; on held-out episodes ``information``, the mean KL divergence in nats; ``action_error``, the mean
        square error of the policy in units of the actions' mean square; ``steps_spearman``, the rank correlation of −V(s, g) with the
        steps from s to g. Raises `FloatingPointError` where the loss is no longer finite.
        """
        held_out = HoldOut(experience)
        windows, rows = training_starts(experience, draw(self._steps[first] * self._batch_size), held_out, "Lossy")
        goals = self._goals(windows, rows, generator)
        if len(rows):
            self._begin(experience, rows[:1024], first)
        noise = torch.Generator().manual_seed(int(generator.integers(2**63)))
        losses = []
        for at in range(0, len(rows), self._batch_size):
            part = slice(at, at + self._batch_size)
            losses.append(self._step(experience, rows[part], goals[part], noise))
        return fit_metrics("Lossy", "train_lossy_loss", losses) | self._score(experience, held_out.rows(generator), generator)

    def _goals(self, windows: Windows, rows: Rows, generator: np.random.Generator) -> Rows:
        chance, later = generator.random(len(rows)), windows.later(rows, 1.0 / (1.0 - self._discount), generator)
        goals = np.where(chance < self._negatives, generator.permutation(rows), later)
        return np.where(chance >= 1.0 - self._arrived, rows + 1, goals)

    def _begin(self, experience: Experience, rows: Rows, first: bool) -> None:
        """Find the units of inputs and actions, once, and make what depends on the number of these."""
        actions = continuous_actions(experience, rows, "Lossy")
        network = self._network or self._made(actions.shape[1])
        if first:
            network.encoder.centre(experience.read(self.keys[0], rows))
            size = float(np.sqrt(np.square(actions).mean()))
            network.heads.unit.fill_(size if size > 1e-6 else 1.0)
            self._target.load_state_dict(network.state_dict())

    def _made(self, actions: int) -> LossyNetwork:
        heads = Heads(self.latent_dim, actions, self._seed, **self._losses)
        self._network = network = LossyNetwork(self._encoder, heads.to(self._encoder.mean.device))
        self._target = copy.deepcopy(network).requires_grad_(False)
        self._optimizer = Adam(self._lr, network)
        return network

    def _batch(self, network: LossyNetwork, experience: Experience, rows: Rows, goals: Rows) -> tuple[torch.Tensor, ...]:
        """Return the raw observations s, s₊, g, and actions (n, a) in their unit."""
        now, after, goal = (network.encoder.raw(experience.read(self.keys[0], found)) for found in (rows, rows + 1, goals))
        actions = torch.as_tensor(continuous_actions(experience, rows, "Lossy")).to(now.device) / network.heads.unit
        return now, after, goal, actions

    def _step(self, experience: Experience, rows: Rows, goals: Rows, noise: torch.Generator) -> torch.Tensor:
        network, target = self._network, self._target
        assert network is not None
        now, after, goal, actions = self._batch(network, experience, rows, goals)
        there = torch.as_tensor(rows + 1 == goals).to(now.device)
        with torch.no_grad():
            before, next_, last = target.posterior(torch.cat([now, after, goal]))[0].chunk(3)
            best = target.heads.critics_of(torch.cat([before, last], 1), actions).amin(0)
            ahead = network.heads.value(torch.cat([next_, last], 1))
            wanted = (-1.0 + self._discount * ahead).clamp(-1.0 / (1.0 - self._discount), 0.0).masked_fill(there, 0.0)
        means, log_variances = network.posterior(torch.cat([now, goal]))
        drawn = torch.randn(means.shape, generator=noise).to(means.device)
        here, end = (means + (0.5 * log_variances).exp() * drawn).chunk(2)
        loss = network.heads.loss(torch.cat([here, end], 1), actions, wanted, best)
        loss = loss + self._kl_weight * kl_to_unit(means, log_variances).mean()
        self._optimizer.descend(loss)
        with torch.no_grad():
            torch._foreach_lerp_(list(target.parameters()), list(network.parameters()), self._tau)
        return loss.detach()

    @torch.no_grad()
    def _score(self, experience: Experience, rows: Rows, generator: np.random.Generator) -> dict[str, float]:
        whole = Windows.stored(experience)
        rows = whole.starts(rows)
        if not len(rows) or self._network is None:
            return {}
        later = whole.later(rows, np.inf, generator)
        now, _, goal, actions = self._batch(self._network, experience, rows, later)
        means, log_variances = self._network.posterior(torch.cat([now, goal]))
        pair, heads = torch.cat(means.chunk(2), 1), self._network.heads
        metrics = {"information": float(kl_to_unit(means, log_variances).mean())}
        metrics["action_error"] = float((heads.policy(pair) - actions).square().mean())
        steps, values = later - rows, heads.value(pair).cpu().numpy()
        if steps.std() > 0 and values.std() > 0:
            metrics["steps_spearman"] = float(spearmanr(steps, -values).statistic)
        return metrics

    def state_dict(self) -> dict[str, Any]:
        if self._network is None:
            return {"encoder": module_state(self._encoder)}
        return {
            "network": module_state(self._network),
            "target": module_state(self._target),
            "optimizer": optimizer_state(self._optimizer, self._network),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if "network" not in state:
            self._network = None
            load_module(self._encoder, entry(state, "encoder", "Lossy"), "Lossy")
            return
        weights = entry(state, "network", "Lossy")
        network = self._made(len(entry(weights, "heads.log_deviation", "Lossy")))
        load_module(network, weights, "Lossy")
        load_module(self._target, entry(state, "target", "Lossy"), "Lossy")
        load_optimizer_state(self._optimizer, network, entry(state, "optimizer", "Lossy"), "Lossy")
