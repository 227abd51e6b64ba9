"""Rewards of several steps in a row, for targets that look further ahead than one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from representations.api import Floats, Rows

Reward = Callable[[Rows], tuple[Floats, NDArray[np.bool_]]]  # rows (n,) -> reward and termination (n,) of the steps that begin there


@dataclass
class Returns:
    """What n transitions of up to k steps yielded.

    rewards: (n,) float32, discounted sums. terminated: (n,) whether the goal ended them. after: (n,) rows to which they led.
    discounts: (n,) float32, what values there count for: γ to the power of the steps taken.
    """

    rewards: Floats
    terminated: NDArray[Any]
    after: Rows
    discounts: Floats


def n_step_returns(rows: Rows, last: Rows, steps: int, discount: float, reward: Reward) -> Returns:
    """Sum the rewards of up to `steps` steps from `rows` (n,) on, cut where an episode ends or its goal is terminal.

    Sutton & Barto 2018, eq. 7.1; with hindsight goals: Yang et al. 2021, "Bias-reduced multi-step hindsight experience replay".

    last: (n,) the last row of each row's episode. `reward` is asked for the n goals of the rows, at rows that lie k steps later.
    The actions between are the data's, so that the sums are of its policy; nothing corrects for that.
    """
    total, terminated = np.zeros(len(rows), np.float32), np.zeros(len(rows), np.bool_)
    taken = np.zeros(len(rows), np.int64)
    for step in range(steps):
        going = ~terminated & (rows + step < last)
        if not going.any():
            break
        # Rows that have ended are asked again for their last step, since goals are given for all of them at once; it is not counted.
        gained, ended = reward(np.minimum(rows + step, last - 1))
        total += np.where(going, np.float32(discount**step) * gained, np.float32(0))
        terminated |= going & ended
        taken += going
    return Returns(total, terminated, rows + taken, np.power(discount, taken).astype(np.float32))
