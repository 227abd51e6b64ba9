"""A linear layer by whichever of torch's two CPU libraries multiplies faster.

torch multiplies float32 matrices on the CPU with MKL, which on processors of other makers than its own leaves half of AVX-512 unused;
oneDNN, which torch carries too, does not. The choice follows from the machine alone, never from a timing, so that runs stay repeatable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F


def maker() -> str:
    """Return who made the processor, as Linux names them; "" where it does not say."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(errors="replace").splitlines() if about.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


SMALLEST = 64**3  # multiplications; below, calling oneDNN costs more than it saves
ONEDNN = (
    maker() not in ("", "GenuineIntel")  # MKL's; where it is not known, torch's own choice stands
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x W^T + b for x (n, i), weight (o, i), bias (o,): `torch.nn.functional.linear`, differentiable once."""
    if not ONEDNN or x.device.type != "cpu" or len(x) * weight.numel() < SMALLEST:
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return cast(Tensor, _Linear.apply(x, weight, bias))  # type: ignore[no-untyped-call]
    return _product(x, weight, bias)


class _Linear(torch.autograd.Function):
    """The linear layer with all three products of its two passes by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            _product(grad, weight.t(), None) if for_x else None,
            _product(grad.t(), x.t(), None) if for_weight else None,
            grad.sum(0) if for_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))
