"""DrQ: soft actor-critic from pixels, end to end, regularised by random shifts of the pictures.

Yarats, Kostrikov & Fergus 2021, "Image augmentation is all you need: regularizing deep reinforcement learning from pixels" (DrQ), with the
encoder of Yarats et al. 2021, "Mastering visual continuous control" (DrQ-v2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from envs.errors import UserError
from gcrl.agents.api import Batch, Floats
from gcrl.agents.networks import Critics, GaussianActor
from gcrl.agents.pictures import SMALLEST, PictureEncoder, TrunkedActor, TrunkedCritics
from gcrl.agents.sac import SAC
from gcrl.agents.spaces import require_all
from representations.shift import random_shift

COLOURS = 3


class DrQ(SAC):
    """Goal-conditioned DrQ: `SAC` on features of pictures that an encoder learns from the critics' loss alone.

    Goals (n, k) are square RGB pictures, flattened, in [0, 1], and so are the first k of the inputs (n, i), as with
    ``representation=pixels`` and ``practice.inputs`` that begin with ``latent``; what else there is in the inputs joins the features,
    standardised. Pictures are not: they are what they are in every dataset.

    From DrQ: shifts, one of each picture per update (its K = M = 1). From DrQ-v2: the actor sees the encoder's output detached, there
    is no target encoder, actor and critics have a trunk (linear, LayerNorm, tanh) each, ``agent.n_step``. Not from DrQ-v2: its
    deterministic actor with scheduled noise, so that a latent method beside it can learn by the same rule, SAC's.

    An update takes about ten times as long as SAC's on latents, since it convolves 512 pictures and their gradients.

    shift: the largest shift in pixels (the papers' 4 at 84 pixels are 2 at 48). maps: channels of each convolution. features: width of
    the trunks. mixed_precision: convolutions in bfloat16, for processors that multiply it faster. The others are those of `SAC`.
    Raises `UserError` for goals that are no square pictures, inputs that hold none, and what `SAC` refuses.
    """

    latent_first = True

    def __init__(
        self,
        input_dim: int,
        goal_dim: int,
        action_space: spaces.Space[Any],
        *,
        seed: int,
        device: str = "cpu",
        shift: int = 2,
        maps: int = 32,
        features: int = 50,
        mixed_precision: bool = False,
        hidden: Sequence[int] = (256, 256),
        batch_size: int = 128,
        discount: float = 0.98,
        lr: float = 1e-3,
        n_step: int = 1,
        tau: float = 0.01,
        critics: int = 2,
        temperature: float = 0.1,
        target_entropy: float | None = None,
        layer_norm: bool = False,
        reward_range: Sequence[float] | None = None,
        bc_weight: float = 0.0,
        q_filter: bool = True,
    ) -> None:
        require_all(type(self).__name__, shift=shift, maps=maps, features=features)
        self.side, self.pixels = side_of(goal_dim, input_dim), goal_dim
        self.shift, self.maps, self.features, self.mixed_precision = shift, maps, features, mixed_precision
        # To `SAC`, and to the normaliser, the inputs are what they hold beside the picture.
        super().__init__(
            input_dim - goal_dim,
            0,
            action_space,
            seed=seed,
            device=device,
            hidden=hidden,
            batch_size=batch_size,
            discount=discount,
            lr=lr,
            n_step=n_step,
            tau=tau,
            critics=critics,
            temperature=temperature,
            target_entropy=target_entropy,
            layer_norm=layer_norm,
            reward_range=reward_range,
            bc_weight=bc_weight,
            q_filter=q_filter,
        )

    def build(self, critics: int, layer_norm: bool) -> tuple[GaussianActor, Critics, dict[str, nn.Module]]:
        # Picture and goal as six channels of one picture: half the time of encoding them one by one (a goal would have to be encoded
        # beside both of a transition's pictures), and the first layers can compare what lies at the same place.
        encoder = PictureEncoder(self.side, 2 * COLOURS, self.maps, self.weights, mixed_precision=self.mixed_precision)
        self.encoder = encoder.to(self.device)
        width, actions = self.encoder.width, self.range.dim
        actor = TrunkedActor(width, self.features, self.dim, actions, self.hidden, self.weights)
        values = TrunkedCritics(critics, width, self.features, self.dim + actions, self.hidden, self.weights, layer_norm=layer_norm)
        return actor, values, {"encoder": self.encoder}

    def rows(self, inputs: Tensor, goals: Tensor) -> Tensor:
        return self._rows(inputs, self._picture(inputs), self._picture(goals))

    def now_and_after(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return rows before and after each transition, of pictures that are shifted independently of each other.

        No gradient reaches the encoder through the latter.
        """
        now = self._rows(batch.inputs, self._shifted(batch.inputs), self._shifted(batch.goals))
        with torch.no_grad():
            after = self._rows(batch.next_inputs, self._shifted(batch.next_inputs), self._shifted(batch.goals))
        return now, after

    def set_normalizer(self, inputs_mean: Floats, inputs_std: Floats, goals_mean: Floats, goals_std: Floats) -> None:
        """Standardise what is beside the pictures: (i,), (i,), (k,), (k,); raises `UserError` for other shapes."""
        none = goals_mean[self.pixels :], goals_std[self.pixels :]
        super().set_normalizer(inputs_mean[self.pixels :], inputs_std[self.pixels :], *none)

    def acting(self) -> nn.Module:
        return nn.ModuleDict({"encoder": self.encoder, "policy": self.actor})

    def _rows(self, inputs: Tensor, pictures: Tensor, goals: Tensor) -> Tensor:
        beside = inputs[:, self.pixels :]
        both = torch.cat([pictures, goals], -1).sub_(0.5)
        return torch.cat([self.encoder(both), self.normalizer(beside, beside[:, :0])], -1)

    def _picture(self, rows: Tensor) -> Tensor:
        return rows[:, : self.pixels].reshape(-1, self.side, self.side, COLOURS)

    def _shifted(self, rows: Tensor) -> Tensor:
        return random_shift(self._picture(rows), self.shift, self.learner.generator)


def side_of(goal_dim: int, input_dim: int) -> int:
    """Return the side in pixels of the square RGB pictures that goals are; raises `UserError` where they or the inputs are none."""
    side = math.isqrt(goal_dim // COLOURS)
    if side * side * COLOURS != goal_dim or side < SMALLEST:
        square = side * side * COLOURS == goal_dim and side > 1
        mend = f"env.image_size={SMALLEST} at least" if square else "representation=pixels, in an environment with pictures"
        shown = f" ({side} x {side} pixels)" if square else ""
        raise UserError(
            f"DrQ was given goals of {goal_dim} numbers{shown}; expected square RGB pictures of at least {SMALLEST} pixels a side, "
            f"flattened: {mend}"
        )
    if input_dim < goal_dim:
        raise UserError(
            f"DrQ was given inputs of {input_dim} numbers, too few for a picture of {goal_dim}; expected practice.inputs=[latent]"
        )
    return side
