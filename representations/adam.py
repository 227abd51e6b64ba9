"""Adam by torch's fused kernel, for everything that learns.

torch's own class imports its compiler when the first one is made, for which every command that learns would wait; and at a few hundred
units, what it does around the kernel is a good part of a small agent's update.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Kingma & Ba 2015, algorithm 1, over all parameters of `networks` that are learnt, with the bits of ``torch.optim.Adam(fused=True)``.

    lr: the step size α. `state` holds a dict per parameter: the moments ``exp_avg`` and ``exp_avg_sq``, shaped as it, and the number of its
    steps, ``step`` (0-d); empty before the first step.
    """

    def __init__(self, lr: float, *networks: nn.Module) -> None:
        self.lr = lr
        self.parameters: list[Tensor] = [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]
        self.state: list[dict[str, Tensor]] = []

    def descend(self, loss: Tensor) -> None:
        """Take one step down the gradient of `loss` (0-d)."""
        self.clear()
        loss.backward()  # type: ignore[no-untyped-call]
        self.step()

    def clear(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take one step down the parameters' gradients; those without one stay where they are."""
        if not self.state:
            self.state = [
                {"exp_avg": torch.zeros_like(one), "exp_avg_sq": torch.zeros_like(one), "step": torch.zeros((), device=one.device)}
                for one in self.parameters
            ]
        moved = [(one, state) for one, state in zip(self.parameters, self.state, strict=True) if one.grad is not None]
        if not moved:
            return
        steps = [state["step"] for _, state in moved]
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            [one for one, _ in moved],
            [one.grad for one, _ in moved if one.grad is not None],
            [state["exp_avg"] for _, state in moved],
            [state["exp_avg_sq"] for _, state in moved],
            [],
            steps,
            lr=self.lr,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )
