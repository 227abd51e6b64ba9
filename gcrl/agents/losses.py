"""Losses of goal-conditioned off-policy agents: each a function returning (scalar loss, metrics as 0-d tensors).

Agents pass networks' outputs, so that every loss is usable with any network. B rows, m critics, a action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = tuple[Tensor, dict[str, Tensor]]


def td_target(
    rewards: Tensor, terminated: Tensor, next_values: Tensor, discount: float, bounds: tuple[float, float] | None = None
) -> Tensor:
    """Return r + γ (1 - terminated) V(s'), (B,), clipped to `bounds` where given. All arguments (B,)."""
    target = torch.addcmul(rewards, 1.0 - terminated, next_values, value=discount)
    return target if bounds is None else target.clamp_(*bounds)


def td_loss(values: Tensor, target: Tensor, *, huber: bool = False) -> Loss:
    """Return the squared (or Huber) error of critics' values (m, B) to one target (B,): mean over rows, sum over critics."""
    error = (F.huber_loss if huber else F.mse_loss)(values, target.expand_as(values)) * len(values)
    raw = values.detach()
    low, high = torch.aminmax(raw)
    return error, {"critic_loss": error.detach(), "q_mean": raw.mean(), "q_min": low, "q_max": high}


def sac_actor_loss(values: Tensor, log_prob: Tensor, temperature: Tensor) -> Loss:
    """Return E[α log π - min Q] for values (m, B) of the policy's own actions (Haarnoja et al. 2018, eq. 7, twin minimum: sec. 6)."""
    loss = (temperature * log_prob - values.amin(0)).mean()
    return loss, {"actor_loss": loss.detach()}


def temperature_loss(log_temperature: Tensor, log_prob: Tensor, target_entropy: float) -> Loss:
    """Return E[-log α (log π + target entropy)], which raises α while the policy is less random than wanted (Haarnoja et al. 2018, eq. 18).

    In log α rather than α, as in common practice: the step does not vanish with α.
    """
    entropy = -log_prob.detach().mean()
    loss = log_temperature * (entropy - target_entropy)
    return loss, {"temperature_loss": loss.detach(), "temperature": log_temperature.detach().exp(), "entropy": entropy}


def deterministic_actor_loss(values: Tensor, actions: Tensor, action_l2: float = 0.0) -> Loss:
    """Return -E[Q(s, π(s))] + `action_l2` E[π(s)²], for values (B,) and actions (B, a) in [-1, 1].

    Lillicrap et al. 2016, eq. 6; the penalty keeps tanh from saturating (Plappert et al. 2018, "Multi-goal reinforcement learning").
    """
    loss = -values.mean()
    if action_l2:
        loss = loss + action_l2 * actions.square().mean()
    return loss, {"actor_loss": loss.detach()}


def finite_check(metrics: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of all losses among `metrics` (0-d): finite exactly when each of them is."""
    losses = [value for name, value in metrics.items() if name.endswith("_loss")]
    return torch.stack(losses).sum()
