"""What samplers share that score stored frames and propose the best of a few."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from goal_samplers.api import Density, GoalContext, Rows
from representations.api import Floats


def require_density(density: object, owner: str) -> None:
    """Raise `UserError` unless `density` is one."""
    if not isinstance(density, Density):
        raise UserError(f"{owner}: density = {type(density).__name__}; expected a Density (key, fit, log_prob), e.g. KDE")


def starts(context: GoalContext, n: int) -> Rows:
    """Return (n,) first rows of stored episodes, drawn uniformly: the states from which goals are practised."""
    first, _ = context.experience.episodes()
    return np.asarray(first[context.generator.integers(len(first), size=n)], np.int64)


def expected_returns(context: GoalContext, rows: Rows, owner: str) -> Floats:
    """Return (n,) what the agent expects (reward units) from the start of some stored episode toward each of the frames `rows` (n,).

    Raises `UserError` where the agent has no values.
    """
    if context.value is None:
        raise UserError(f"{owner} asks the agent for values, which it has none of; expected an agent with critics, such as sac, td3 or iql")
    return context.value(starts(context, len(rows)), np.asarray(context.experience.read("latent", rows), np.float32))


def pick(rows: Rows, scores: NDArray[Any], n: int, choices: int, generator: np.random.Generator) -> Rows:
    """Return (n,) of the candidate `rows` (m,): each the one of highest score (m,) among `choices` drawn uniformly with replacement."""
    drawn = generator.integers(len(rows), size=(n, choices))
    best = scores[drawn].argmax(axis=1)
    chosen: Rows = rows[drawn[np.arange(n), best]]
    return chosen
