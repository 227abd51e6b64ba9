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
    rewards: Tensor, terminated: Tensor, next_values: Tensor, discount: float | Tensor, bounds: tuple[float, float] | None = None
) -> Tensor:
    """Return r + γ (1 - terminated) V(s'), (B,), clipped to `bounds` where given. All tensors (B,).

    Haarnoja et al. 2018, eq. 6; Fujimoto et al. 2018 (TD3), alg. 1; the clipping: Andrychowicz et al. 2017 (HER), app. A.
    """
    if isinstance(discount, Tensor):
        target = torch.addcmul(rewards, (1.0 - terminated) * discount, next_values)
    else:
        target = torch.addcmul(rewards, 1.0 - terminated, next_values, value=discount)
    return target if bounds is None else target.clamp_(*bounds)


def td_loss(values: Tensor, target: Tensor, *, huber: bool = False) -> Loss:
    """Return the squared (or Huber) error of critics' values (m, B) to one target (B,): mean over rows, sum over critics.

    Haarnoja et al. 2018, eq. 5.
    """
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


def expectile_loss(error: Tensor, expectile: float, advantage: Tensor | None = None) -> Tensor:
    """Return E[|τ - 1(A < 0)| error²], with A = `advantage` or else the error itself.

    Minimised by the τ-expectile of what `error` is the excess of (Kostrikov et al. 2021, eq. 3).
    """
    weighing = error if advantage is None else advantage
    return (torch.where(weighing < 0, 1.0 - expectile, expectile) * error.square()).mean()


def advantage_weighted_loss(log_prob: Tensor, advantage: Tensor, inverse_temperature: float, most: float = 100.0) -> Loss:
    """Return -E[min(exp(β A), `most`) log π(a|s, g)] for rows (B,).

    Peng et al. 2019, "Advantage-weighted regression", alg. 1; Nair et al. 2020, "AWAC", eq. 13 (β = 1/λ); Kostrikov et al. 2021, eq. 7.
    """
    weight = (inverse_temperature * advantage.detach()).exp().clamp(max=most)
    loss = -(weight * log_prob).mean()
    capped = (weight >= most).float().mean()
    return loss, {"actor_loss": loss.detach(), "advantage": advantage.detach().mean(), "weights_capped": capped}


def value_and_clone_loss(values: Tensor, log_prob: Tensor, weight: float) -> Loss:
    """Return -E[Q(s, π(s))] / E|Q| - `weight` E[log π(a|s, g)] for rows (B,): TD3+BC's compromise (Fujimoto & Gu 2021, eq. 3 and 5)."""
    loss = -values.mean() / values.detach().abs().mean().clamp(min=1e-6) - weight * log_prob.mean()
    return loss, {"actor_loss": loss.detach(), "clone_log_prob": log_prob.detach().mean()}


def clone_loss(log_prob: Tensor) -> Loss:
    """Return -E[log π(a|s, g)] for rows (B,): behavioural cloning (Ghosh et al. 2021, "GCSL")."""
    loss = -log_prob.mean()
    return loss, {"actor_loss": loss.detach()}


def demonstration_loss(policy: Tensor, shown: Tensor, kept: Tensor | None) -> Loss:
    """Return E[|π(s, g) - a|²] over D demonstrated rows, for actions (D, a) in [-1, 1]; rows that are not `kept` (D,) bool count as 0.

    Nair et al. 2018, "Overcoming exploration in reinforcement learning with demonstrations", sections IV-B and (for `kept`) IV-C.
    """
    error = (policy - shown).square().sum(-1)
    share = torch.ones_like(error) if kept is None else kept.to(error.dtype)
    loss = (share * error).mean()
    return loss, {"bc_loss": loss.detach(), "bc_kept": share.mean()}


def finite_check(metrics: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of all losses among `metrics` (0-d): finite exactly when each of them is."""
    losses = [value for name, value in metrics.items() if name.endswith("_loss")]
    return torch.stack(losses).sum()
