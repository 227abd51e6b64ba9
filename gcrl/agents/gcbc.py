"""Goal-conditioned behavioural cloning (Ghosh et al. 2021, "Learning to reach goals via iterated supervised learning")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gymnasium import spaces

from gcrl.agents.api import Batch, Metrics
from gcrl.agents.base import GaussianAgent
from gcrl.agents.losses import clone_loss, finite_check
from gcrl.agents.networks import OfflineActor
from representations.adam import Adam


class GCBC(GaussianAgent):
    """Imitates what was done on the way to goals that were then reached: relabelled goals should come from the same episode.

    Rewards play no part. hidden: widths of the layers. Raises `UserError` for an action space that is not a bounded Box and for
    hyperparameters out of range.
    """

    actor: OfflineActor
    policy_alone = True
    relabels = ("future", "geometric", "final", "next", "rollout")  # goals that what was done may have led to

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
    ) -> None:
        super().__init__(input_dim, goal_dim, action_space, seed=seed, device=device, hidden=hidden, batch_size=batch_size, lr=lr)
        self.actor = OfflineActor(self.dim, self.range.dim, self.hidden, self.weights).to(device)
        self.assemble({"actor": Adam(lr, self.actor)}, actor=self.actor)

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step; metrics are 0-d tensors, ``finite`` is the loss."""
        goals = batch.goals if batch.actor_goals is None else batch.actor_goals
        rows = self.normalizer(batch.inputs, goals)
        loss, metrics = clone_loss(self.actor.log_prob(rows, self.range.to_unit(batch.actions)))
        self.learner.step("actor", loss)
        self.learner.updates += 1
        return {**metrics, "finite": finite_check(metrics)}
