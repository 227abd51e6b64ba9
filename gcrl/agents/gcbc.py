"""Goal-conditioned behavioural cloning (Ghosh et al. 2021, "Learning to reach goals via iterated supervised learning")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gymnasium import spaces

from gcrl.agents.api import Batch, Metrics
from gcrl.agents.base import GaussianAgent
from gcrl.agents.grids import GridActor, grid_of
from gcrl.agents.losses import clone_loss, finite_check
from gcrl.agents.networks import OfflineActor
from gcrl.agents.targets import Polyak, frozen_copy
from representations.adam import Adam


class GCBC(GaussianAgent):
    """Imitates what was done on the way to goals that were then reached: relabelled goals should come from the same episode.

    Rewards play no part. hidden: widths of the layers.
    exploration: as in `GaussianAgent`. average: how much of the weights that act is kept at an update, the rest being those that learn: a
    policy of averaged weights is better at one skill and worse at another by less from one moment of its training to the next (Polyak &
    Juditsky 1992); 0: those that learn act. grid: (rows, columns, entries of a cell) of latents that are grids, in which `GridPoints`
    finds things by `maps` maps; (): latents are vectors like others. Raises `UserError` for an action space that is not a bounded Box, for
    latents that are no such grids and for hyperparameters out of range.
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
        exploration: float = 1.0,
        average: float = 0.0,
        grid: Sequence[int] = (),
        maps: int = 32,
    ) -> None:
        shared: dict[str, Any] = {"seed": seed, "device": device, "hidden": hidden, "batch_size": batch_size, "lr": lr}
        super().__init__(input_dim, goal_dim, action_space, exploration=exploration, average=average, maps=maps, **shared)
        sizes = grid_of(self.name, grid, input_dim, goal_dim)
        self.latent_first = bool(sizes)
        shape = (self.range.dim, self.hidden, self.weights)
        actor = GridActor(sizes, input_dim - goal_dim, maps, *shape) if sizes else OfflineActor(self.dim, *shape)
        self.actor = actor.to(device)
        self.averaged = frozen_copy(self.actor) if average else None
        self.slow = Polyak(1 - average, *([(self.averaged, self.actor)] if self.averaged else []))
        averaged = {"averaged": self.averaged} if self.averaged else {}
        self.assemble({"actor": Adam(lr, self.actor)}, actor=self.actor, **averaged)

    @property
    def gaussian(self) -> OfflineActor:
        return self.averaged or self.actor

    def acting(self) -> OfflineActor:
        return self.gaussian

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step; metrics are 0-d tensors, ``finite`` is the loss."""
        goals = batch.goals if batch.actor_goals is None else batch.actor_goals
        rows = self.normalizer(batch.inputs, goals)
        loss, metrics = clone_loss(self.actor.log_prob(rows, self.range.to_unit(batch.actions)))
        self.learner.step("actor", loss)
        if self.averaged:
            self.slow.step()
        self.learner.updates += 1
        return {**metrics, "finite": finite_check(metrics)}
