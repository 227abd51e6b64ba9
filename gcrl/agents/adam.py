"""Adam without what torch's own step does around its one kernel: of the smallest agent's update at 256 units, an eighth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """torch's fused Adam (Kingma & Ba 2015) over all parameters of `networks` that are learnt: the same numbers, state and checkpoints."""

    def __init__(self, lr: float, *networks: nn.Module) -> None:
        self._learnt: list[Tensor] = [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]
        self._moments: list[list[Tensor]] = []  # of each parameter, by kind; empty until there are any
        super().__init__(self._learnt, lr=lr, fused=True)

    def descend(self, loss: Tensor) -> None:
        """Take one step down the gradient of `loss` (0-d)."""
        for parameter in self._learnt:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in self._learnt if parameter.grad is not None]
        if not self._moments or len(gradients) < len(self._learnt):
            self.step()
            if len(self.state) == len(self._learnt):
                kinds = ("exp_avg", "exp_avg_sq", "step")
                self._moments = [[self.state[parameter][kind] for parameter in self._learnt] for kind in kinds]
            return
        group = self.param_groups[0]
        with torch.no_grad():
            first, second, steps = self._moments
            torch._foreach_add_(steps, 1)
            torch._fused_adam_(
                self._learnt,
                gradients,
                first,
                second,
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=0.0,
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._moments = []
        super().load_state_dict(dict(state_dict))
