"""Telling a critic that diverges by values which no rewards could sum to, long before they become NaN."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

MARGIN = 10.0  # times what rewards can sum to: errors of an honest critic stay far below
SMALLEST = 1.0  # values up to this size are what networks begin with, whatever the rewards
VALUES = ("agent/q_min", "agent/q_max", "agent/v_min", "agent/v_max")
TURNED = {"lr": "a lower agent.lr", "tau": "a lower agent.tau", "discount": "a lower agent.discount"}
TURNED |= {"reward_range": "agent.reward_range=[LOW,HIGH]", "layer_norm": "agent.layer_norm=true"}


def judged(metrics: Mapping[str, float]) -> bool:
    """Return whether `metrics` of an update say what `diverging` looks at."""
    return any(name in metrics for name in VALUES)


def diverging(agent: Any, metrics: Mapping[str, float], largest_reward: float, update: int) -> str:
    """Return what to say of an agent whose values lie far outside of what its rewards can sum to, "" where they do not.

    Values of rewards within ±r lie within ±r/(1 - γ). metrics: those of one update. largest_reward: the largest |reward| that was seen.
    An entropy bonus (`SAC`) counts as reward. Values that are no sums of rewards (CRL, QRL) are measured against the agent's own
    ``largest_value``. What is not finite is not judged here: it ends the run.
    """
    found = {name: metrics[name] for name in VALUES if name in metrics}
    discount, own = getattr(agent, "discount", None), getattr(agent, "largest_value", None)
    if not found or (discount is None and own is None):
        return ""
    if own is None:
        assert discount is not None
        bonus = abs(metrics.get("agent/temperature", 0.0) * metrics.get("agent/entropy", 0.0))
        most = (largest_reward + bonus) / (1.0 - discount)
        bound = f"rewards of up to ±{largest_reward:.3g} with discount {discount:g} sum to ±{most:.3g} at most"
    else:
        most, bound = own, f"such values stay within ±{own:.3g}"
    name, value = max(found.items(), key=lambda item: abs(item[1]))
    if not math.isfinite(value) or abs(value) <= MARGIN * max(most, SMALLEST):
        return ""
    offered = inspect.signature(type(agent)).parameters
    turn = ", ".join(text for option, text in TURNED.items() if option in offered)
    return (
        f"warning: agent {type(agent).__name__} may be diverging: {name.removeprefix('agent/')} is {value:.3g} at update {update}, but "
        f"{bound}; try {turn}"
    )
