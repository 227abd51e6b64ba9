"""The losses of one fit: whether they stayed finite, and what is reported of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

LAST = 50  # losses that the reported one is the mean of


def finite_curve(owner: str, losses: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the losses of a fit (steps,), of which there is one at least; raise `FloatingPointError` at the first that is not finite."""
    curve = torch.stack(list(losses))
    if not bool(curve.isfinite().all()):
        at = int((~curve.isfinite()).nonzero()[0])
        raise FloatingPointError(f"{owner}: the loss is not finite at step {at} of its fit; try a smaller lr")
    return curve


def fit_metrics(owner: str, name: str, losses: Sequence[torch.Tensor]) -> dict[str, float]:
    """Return ``fit_steps`` and, under `name`, the mean of the last losses; raise `FloatingPointError` where one is not finite."""
    if not losses:
        return {"fit_steps": 0.0}
    curve = finite_curve(owner, losses)
    return {"fit_steps": float(len(curve)), name: float(curve[-LAST:].mean())}
