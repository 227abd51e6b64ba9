"""Twin delayed deterministic policy gradient (Fujimoto et al. 2018), with DDPG (Lillicrap et al. 2016) as a setting of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from gcrl.agents.api import Batch, Floats, Metrics
from gcrl.agents.base import Ensemble, GoalAgent
from gcrl.agents.imitation import Imitation
from gcrl.agents.inference import ACT_ROWS, in_chunks
from gcrl.agents.losses import deterministic_actor_loss, finite_check, td_loss, td_target
from gcrl.agents.networks import Critics, DeterministicActor
from gcrl.agents.spaces import ActionRange
from gcrl.agents.targets import Polyak, frozen_copy, value_range
from representations.adam import Adam


class TD3(GoalAgent, Ensemble):
    """Goal-conditioned TD3. All noises are in units of half the action range.

    DDPG is ``critics=1, policy_delay=1, target_noise=0``. HER's settings are DDPG with ``exploration_noise=0.2,
    random_actions=0.3, action_l2=1, discount=0.98, reward_range=[-1, 0]`` (Plappert et al. 2018, "Multi-goal reinforcement learning").

    exploration_noise: standard deviation of the noise on actions; random_actions: the fraction replaced by uniform ones.
    target_noise, target_noise_clip: smoothing of the target action. policy_delay: critic updates per actor update.
    action_l2: weight of the mean squared action in the actor's loss. tau: Polyak step of the target networks. n_step: as in `SAC`.
    layer_norm: in the critics. reward_range: where rewards are known to lie, targets are clipped to what they can sum to.
    bc_weight, q_filter: cloning of demonstrations, as in `Imitation`.
    Raises `UserError` for an action space that is not a bounded Box and for hyperparameters out of range.
    """

    actor_goals = False

    def __init__(
        self,
        input_dim: int,
        goal_dim: int,
        action_space: spaces.Space[Any],
        *,
        seed: int,
        device: str = "cpu",
        hidden: Sequence[int] = (256, 256),
        batch_size: int = 128,
        discount: float = 0.98,
        lr: float = 1e-3,
        n_step: int = 1,
        tau: float = 0.005,
        critics: int = 2,
        policy_delay: int = 2,
        target_noise: float = 0.2,
        target_noise_clip: float = 0.5,
        exploration_noise: float = 0.1,
        random_actions: float = 0.0,
        action_l2: float = 0.0,
        layer_norm: bool = False,
        reward_range: Sequence[float] | None = None,
        bc_weight: float = 0.0,
        q_filter: bool = True,
    ) -> None:
        super().__init__(
            input_dim,
            goal_dim,
            seed=seed,
            device=device,
            hidden=hidden,
            batch_size=batch_size,
            discount=discount,
            n_step=n_step,
            lr=lr,
            tau=tau,
            critics=critics,
            policy_delay=policy_delay,
            target_noise=target_noise,
            target_noise_clip=target_noise_clip,
            exploration_noise=exploration_noise,
            random_actions=random_actions,
            action_l2=action_l2,
        )
        self.range = ActionRange(action_space, self.name, device)
        self.policy_delay, self.action_l2 = policy_delay, action_l2
        self.target_noise, self.target_noise_clip = target_noise, target_noise_clip
        self.exploration_noise, self.random_actions = exploration_noise, random_actions
        self.bounds = value_range(self.name, reward_range, discount)
        self.imitate = Imitation(self.name, bc_weight, q_filter)
        self.actor = DeterministicActor(self.dim, self.range.dim, self.hidden, self.weights).to(device)
        self.critics = Critics(critics, self.dim + self.range.dim, self.hidden, self.weights, layer_norm=layer_norm).to(device)
        self.target_actor = frozen_copy(self.actor)
        self.target_critics = frozen_copy(self.critics)
        self.targets = Polyak(tau, (self.target_actor, self.actor), (self.target_critics, self.critics))
        self.assemble(
            {"actor": Adam(lr, self.actor), "critics": Adam(lr, self.critics)},
            actor=self.actor,
            critics=self.critics,
            target_actor=self.target_actor,
            target_critics=self.target_critics,
        )

    def act(self, inputs: Floats, goals: Floats, explore: Sequence[np.random.Generator] | None = None) -> Floats:
        """Return (n, a) actions in the environment's range: the policy's, with noise where `explore` is given; a NaN stays in its row."""
        unit = in_chunks(self._policy, inputs, goals, ACT_ROWS, self.device)
        if explore is not None:
            unit = np.stack([self._explore(row, generator) for row, generator in zip(unit, explore)])
        return self.range.from_unit(unit)

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step of the critics, and every `policy_delay` calls one of the actor and the targets.

        Metrics are 0-d tensors; ``finite`` is the sum of the losses; ``actor_loss`` is there when the actor was updated.
        """
        now, after = self.now_and_after(batch)
        with torch.no_grad():
            next_actions = self._smoothed(self.target_actor(after))
            next_values = self.target_critics(torch.cat([after, next_actions], -1)).amin(0)
            target = td_target(batch.rewards, batch.terminated, next_values, self.next_discount(batch), self.bounds)
        taken = self.range.to_unit(batch.actions)
        values = self.critics(torch.cat([now, taken], -1))
        loss, metrics = td_loss(values, target)
        self.learner.step("critics", loss)

        self.learner.updates += 1
        if self.learner.updates % self.policy_delay == 0 or self.learner.measuring:
            actions = self.actor(now)
            first = self.critics(torch.cat([now, actions], -1), frozen=True, members=1)[0]
            own = deterministic_actor_loss(first, actions, self.action_l2)
            loss, more = self.imitate(own, batch.demos, now, taken, self.actor, self.critics)
            metrics |= more
            self.learner.step("actor", loss)
            self.targets.step()
        return {**metrics, "finite": finite_check(metrics)}

    def _explore(self, unit: Floats, generator: np.random.Generator) -> Floats:
        # Drawn whether used or not, so that a row's stream does not depend on what was drawn before.
        noise = generator.standard_normal(len(unit), dtype=np.float32)
        uniform = generator.uniform(-1.0, 1.0, len(unit)).astype(np.float32)
        replace = generator.random() < self.random_actions
        return uniform if replace else np.clip(unit + np.float32(self.exploration_noise) * noise, -1.0, 1.0)

    def _smoothed(self, actions: Tensor) -> Tensor:
        if not self.target_noise:
            return actions
        noise = self.learner.noise(*actions.shape).mul_(self.target_noise)
        return noise.clamp_(-self.target_noise_clip, self.target_noise_clip).add_(actions).clamp_(-1.0, 1.0)

    def _policy(self, inputs: Tensor, goals: Tensor) -> Tensor:
        actions: Tensor = self.actor(self.normalizer(inputs, goals))
        return actions

    def member_values(self, rows: Tensor) -> Tensor:
        values: Tensor = self.critics(torch.cat([rows, self.actor(rows)], -1))
        return values

    def members(self) -> int:
        return len(self.critics.members)
