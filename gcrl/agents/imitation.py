"""Cloning of demonstrations beside reinforcement learning.

Nair et al. 2018, "Overcoming exploration in reinforcement learning with demonstrations".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gcrl.agents.losses import Loss, demonstration_loss
from gcrl.agents.networks import Critics
from gcrl.agents.spaces import require_all


class Imitation:
    """Pulls an actor toward demonstrated actions, where its critics do not know a better one.

    bc_weight: how much one unit of cloning loss counts against one of the actor's own; 0: nothing is cloned. The paper's λ2 = 1 beside
    λ1 = 0.001 is 1000. q_filter: clone only where Q(s, a, g) > Q(s, π(s, g), g) (section IV-C), with the smallest of several critics.
    The paper's reason: cloned without end, an actor stays as good as its demonstrations. Where those are an expert's, the filter was not
    seen to help (results/demos.md).
    Raises `UserError` for a negative weight.
    """

    def __init__(self, owner: str, bc_weight: float, q_filter: bool) -> None:
        require_all(owner, bc_weight=bc_weight)
        self.weight, self.q_filter = bc_weight, q_filter

    def __call__(self, own: Loss, demos: int, rows: Tensor, taken: Tensor, policy: Callable[[Tensor], Tensor], critics: Critics) -> Loss:
        """Return the actor's `own` loss and that of cloning the first `demos` of B rows; `own` itself where nothing is to be cloned.

        rows: (B, i + k) standardised. taken: (B, a) the actions in the data, in [-1, 1]. policy: the actor without noise, by rows.
        """
        if not self.weight or not demos:
            return own
        seen, shown = rows[:demos], taken[:demos]
        chosen, kept = policy(seen), None
        if self.q_filter:
            with torch.no_grad():
                # One pass for both sides of the comparison.
                both = critics(torch.cat([torch.cat([seen, seen]), torch.cat([shown, chosen])], -1)).amin(0)
                kept = both[:demos] > both[demos:]
        loss, metrics = demonstration_loss(chosen, shown, kept)
        return own[0] + self.weight * loss, {**own[1], **metrics}
