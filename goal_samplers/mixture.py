"""Two samplers in one, each for its share of the goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.errors import UserError
from goal_samplers.api import DrawRows, GoalContext, Goals, GoalSampler, Rows
from goal_samplers.told import told
from representations.api import Representation


class Mixture:
    """Proposes `share` of the goals by `first` and the rest by `second`, in random order; more than two by nesting.

    Among them are OMEGA's mix of the commanded goals with MEGA's (Pitis et al. 2020; their share is adapted, this one is
    fixed), and LEXA's of proposed goals with uniform ones. Weights for training the representation are the first's, else the second's.
    Raises `UserError` for a share outside [0, 1] and for a part that is no goal sampler.
    """

    def __init__(self, first: GoalSampler, second: GoalSampler, share: float = 0.5) -> None:
        for name, sampler in (("first", first), ("second", second)):
            if not isinstance(sampler, GoalSampler):
                raise UserError(f"Mixture: {name} = {type(sampler).__name__}; expected a goal sampler, with sample(context, n)")
        if not 0.0 <= share <= 1.0:
            raise UserError(f"Mixture: share = {share}; expected the first sampler's part of the goals, from 0 to 1")
        self._parts, self._share = {"first": first, "second": second}, share
        self.needs_commanded, self.needs_value, self.needs_value_spread, self.imagines = (
            any(getattr(part, name, False) for part in self._parts.values())
            for name in ("needs_commanded", "needs_value", "needs_value_spread", "imagines")
        )
        self.example_files = tuple(pair for part in self._parts.values() for pair in getattr(part, "example_files", ()))
        self.paired_files = tuple(group for part in self._parts.values() for group in getattr(part, "paired_files", ()))
        weighing = [part for part in self._parts.values() if hasattr(part, "log_weights")]
        if weighing:
            self.log_weights = weighing[0].log_weights
            self.candidates = getattr(weighing[0], "candidates", 4096)

    def check(self, representation: Representation) -> None:
        """Raise `UserError` where a part does not fit `representation`."""
        for part in self._parts.values():
            if hasattr(part, "check"):
                part.check(representation)

    def fit(self, context: GoalContext, draw: DrawRows) -> dict[str, float]:
        """Fit both; metrics are ``first_NAME`` and ``second_NAME``."""
        metrics: dict[str, float] = {}
        for name, part in self._parts.items():
            found = part.fit(context, draw) if hasattr(part, "fit") else {}
            metrics |= {f"{name}_{key}": value for key, value in found.items()}
        return metrics

    def sample(self, context: GoalContext, n: int) -> Goals | Rows:
        """Return `n` goals, the first's share rounded up or down at random: rows where both proposed rows."""
        of_first = int(self._share * n + context.generator.random())
        counts = {"first": of_first, "second": n - of_first}
        proposed = [part.sample(context, counts[name]) for name, part in self._parts.items() if counts[name]]
        order = context.generator.permutation(n)
        rows = [goals for goals in proposed if not isinstance(goals, Goals)]
        if len(rows) == len(proposed):
            return np.concatenate(rows)[order]
        return joined(context, proposed, order)

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() if hasattr(part, "state_dict") else {} for name, part in self._parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, part in self._parts.items():
            if name not in state:
                raise UserError(f"the saved state of Mixture has no '{name}'; expected first, second")
            if hasattr(part, "load_state_dict"):
                part.load_state_dict(state[name])


def joined(context: GoalContext, proposed: Sequence[Goals | Rows], order: Rows) -> Goals:
    """Return all goals of `proposed` in the given order, (n,) places; what a part does not tell is unknown (NaN, a black picture)."""
    parts = [told(context.goal_space, part if isinstance(part, Goals) else _stored(context, part, proposed)) for part in proposed]

    def column(name: str, missing: float) -> Any:
        given = [getattr(part, name) for part in parts]
        shapes = [np.shape(values)[1:] for values in given if values is not None]
        if not shapes:
            return None
        kinds = [values.dtype for values in given if values is not None]
        filled = [np.full((len(p), *shapes[0]), missing, kinds[0]) if v is None else v for p, v in zip(parts, given)]
        return np.concatenate(filled)[order]

    return Goals(column("params", np.nan), column("rows", -1), column("images", 0), column("achieved", np.nan), column("starts", np.nan))


def _stored(context: GoalContext, rows: Rows, beside: Sequence[Goals | Rows]) -> Goals:
    pictures = any(isinstance(part, Goals) and part.images is not None for part in beside)
    read = context.experience.read
    images = read("image", rows) if pictures else None
    return Goals(np.asarray(read("latent", rows), np.float32), np.asarray(rows, np.int64), images, read("achieved_goal", rows))
