"""How good plans are, in figures that every planner's subgoals have, and what to say where there are hardly any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_DIRECT = 0.5  # share of plans without a subgoal above which a planner is hardly one

Floats = NDArray[np.float32]


class PlanQuality:
    """Collects what is known of each plan as it is made."""

    def __init__(self) -> None:
        self._subgoals: list[NDArray[np.int64]] = []
        self._last: list[Floats] = []
        self._range = (np.inf, -np.inf)

    def add(self, latents: Floats, goals: Floats, plans: Floats, value: Any = None) -> None:
        """Take in plans (n, m, k) from latents (n, d) to goals (n, k); `value(latents (m, d), goals (m, k)) -> (m,)` where it is asked."""
        width = latents.shape[1]
        between = (plans != goals[:, None]).any(axis=2)
        self._subgoals.append(between.sum(axis=1))
        planned = between.any(axis=1)
        if not planned.any():
            return
        last = plans.shape[1] - 1 - between[planned, ::-1].argmax(axis=1)
        ends = plans[planned][np.arange(len(last)), last, :width]
        self._last.append(np.linalg.norm(ends - goals[planned, :width], axis=1).astype(np.float32))
        if value is not None:
            starts = np.concatenate([latents[planned][:, None], plans[planned, :-1, :width]], axis=1)
            real = np.concatenate([np.ones((len(last), 1), bool), between[planned, :-1]], axis=1)  # pieces that begin before the goal
            values = value(starts[real], plans[planned][real])
            self._range = min(self._range[0], float(values.min())), max(self._range[1], float(values.max()))

    def figures(self) -> dict[str, float]:
        """Return {} where nothing was planned, else:

        ``direct``, the share of plans without a subgoal; ``subgoals``, their mean number; of those that have any ``last_distance``, the
        mean latent distance from the last one to the goal; ``value_low``, ``value_high``, of their pieces in reward units, where asked.
        """
        if not self._subgoals:
            return {}
        counts = np.concatenate(self._subgoals)
        found = {"direct": float((counts == 0).mean()), "subgoals": float(counts.mean())}
        if self._last:
            found["last_distance"] = float(np.concatenate(self._last).mean())
        if self._range[0] <= self._range[1]:
            found |= {"value_low": self._range[0], "value_high": self._range[1]}
        return found


def fallback_warning(planner: object, figures: Mapping[str, float]) -> str:
    """Return what to say of plans most of which are the commanded goal alone; "" otherwise."""
    direct = figures.get("direct", 0.0)
    if direct <= MOST_DIRECT:
        return ""
    return (
        f"warning: planner {type(planner).__name__} fell back to the commanded goal in {direct:.0%} of an evaluation's plans; goals may "
        "lie outside of what it has seen: try more data near them, or planner=none"
    )
