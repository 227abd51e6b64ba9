"""Quasimetric reinforcement learning (Wang et al. 2023, "Optimal goal-reaching reinforcement learning via quasimetric learning")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from envs.errors import UserError
from gcrl.agents.api import Batch, Metrics
from gcrl.agents.base import GaussianAgent, Valued
from gcrl.agents.improve import Improvement
from gcrl.agents.losses import finite_check
from gcrl.agents.networks import MLP, OfflineActor
from gcrl.agents.quasimetric import Quasimetric
from gcrl.agents.spaces import require_all
from representations.adam import Adam

SOFTENING = 100.0  # steps over which pushing apart fades out beyond `far`


class QRL(GaussianAgent, Valued):
    """Learns how many steps away a goal is: distances as long as possible, while no step of the data is longer than 1. No rewards.

    Equation 10 with a learnt multiplier and ε = `slack`; pushing apart is softened around `far` steps (section 3.3). A model of what
    an action does to the embedding lets the policy descend the distance, and `clone_weight` keeps it near the data (OGBench's DDPG+BC).
    Inputs and goals must be of one kind, since a distance is between states; goals should be random frames (``relabel=random``).
    multiplier: the constraint's weight at first (OGBench's, Park et al. 2024, whose parametrisation it is too).
    An update is three of SAC's with 256 x 256 units (1.7 with 512 x 3): it embeds three sets of states and takes five distances, and the
    sorting of their intervals, a quarter of the time, does not get cheaper with smaller networks.
    latent, component: sizes of the embedding and of its parts. Values are minus the distance in steps. Other arguments: as in `SAC`.
    Raises `UserError` where inputs and goals differ in size, for an action space that is not a bounded Box and for hyperparameters out
    of range.
    """

    actor: OfflineActor
    relabels = ("random",)  # the only goals that it can be taught with

    def __init__(
        self,
        input_dim: int,
        goal_dim: int,
        action_space: spaces.Space[Any],
        *,
        seed: int,
        device: str = "cpu",
        hidden: Sequence[int] = (256, 256),
        batch_size: int = 256,
        lr: float = 3e-4,
        latent: int = 128,
        component: int = 8,
        slack: float = 0.05,
        far: float = 500.0,
        clone_weight: float = 0.003,
        multiplier: float = 1.0,
        layer_norm: bool = True,
    ) -> None:
        super().__init__(input_dim, goal_dim, action_space, seed=seed, device=device, hidden=hidden, batch_size=batch_size, lr=lr)
        if input_dim != goal_dim:
            raise UserError(
                f"QRL measures distances between states, but inputs have {input_dim} entries and goals {goal_dim}; "
                "expected one size, as with practice.inputs=[latent]"
            )
        if latent < 1 or component < 1 or latent % component:
            raise UserError(
                f"QRL latent={latent} and component={component}; expected a latent that its component divides, such as 128 and 8"
            )
        require_all(self.name, multiplier=multiplier, slack=slack, far=far)
        self.input_dim, self.slack, self.far = input_dim, slack, far
        self.largest_value = far + SOFTENING  # nothing pushes states farther apart
        self.improve = Improvement(self.name, "value", 0.0, clone_weight)
        self.actor = self.improve.actor(self.dim, self.range.dim, self.hidden, self.weights).to(device)
        self.distance = Quasimetric(input_dim, latent, component, self.hidden, self.weights, layer_norm).to(device)
        self.dynamics = MLP([latent + self.range.dim, *self.hidden, latent], self.weights, layer_norm=layer_norm).to(device)
        self.multiplier = Multiplier(multiplier).to(device)
        self.assemble(
            {"actor": Adam(lr, self.actor), "model": Adam(lr, self.distance, self.dynamics), "multiplier": Adam(lr, self.multiplier)},
            actor=self.actor,
            distance=self.distance,
            dynamics=self.dynamics,
            multiplier=self.multiplier,
        )

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of distance and model, one of the actor; metrics are 0-d tensors, ``finite`` is the sum of the losses."""
        now, after = self.now_and_after(batch)
        taken = self.range.to_unit(batch.actions)
        states = torch.cat([now[:, : self.input_dim], after[:, : self.input_dim], now[:, self.input_dim :]])
        here, there, goal = self.distance.embed(states).chunk(3)
        apart, step = self.distance(here, goal), self.distance(here, there)
        spread_loss = SOFTENING * F.softplus((self.far - apart) / SOFTENING).mean()
        excess = (step - 1.0).relu().square().mean() - self.slack**2
        predicted = self.after(here, taken)
        model_loss = (self.distance(predicted, there) + self.distance(there, predicted)).mean() / 2
        weight = self.multiplier()
        self.learner.step("model", spread_loss + weight.detach() * excess + model_loss)
        self.learner.step("multiplier", -weight * excess.detach())

        toward = self.toward_actor_goals(batch, now)
        loss, metrics = self.improve(self.actor, toward, taken, lambda: taken, self.of_rows)
        self.learner.step("actor", loss)
        self.learner.updates += 1
        metrics |= {"spread_loss": spread_loss.detach(), "model_loss": model_loss.detach(), "multiplier": weight.detach()}
        metrics |= {"distance": apart.detach().mean(), "step_length": step.detach().mean()}
        nearest, farthest = torch.aminmax(apart.detach())
        metrics |= {"v_min": -farthest, "v_max": -nearest}
        return {**metrics, "finite": finite_check(metrics)}

    def after(self, embedded: Tensor, actions: Tensor, frozen: bool = False) -> Tensor:
        """Return the embeddings (B, latent) expected after actions (B, a) in [-1, 1]."""
        moved: Tensor = self.dynamics(torch.cat([embedded, actions], -1), frozen)
        return embedded + moved

    def of_rows(self, rows: Tensor, actions: Tensor, frozen: bool = False) -> Tensor:
        """Return (1, B) minus the steps from where actions (B, a) lead to the goals of standardised rows (B, i + k)."""
        with torch.no_grad() if frozen else torch.enable_grad():
            here, goal = self.distance.embed(torch.cat(rows.tensor_split([self.input_dim], -1))).chunk(2)
        steps: Tensor = self.distance(self.after(here, actions, frozen), goal)
        return -steps[None]

    def row_values(self, rows: Tensor) -> Tensor:
        here, goal = self.distance.embed(torch.cat(rows.tensor_split([self.input_dim], -1))).chunk(2)
        steps: Tensor = self.distance(here, goal)
        return -steps


class Multiplier(nn.Module):
    """The weight of the constraint, `first` at first; its logarithm is learnt, so that it grows by a factor while steps stay too long."""

    def __init__(self, first: float) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(first).log())

    def forward(self) -> Tensor:
        return self.log.exp()
