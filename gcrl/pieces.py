"""Planned episodes as what was tried in them: one piece for each subgoal, toward that subgoal (PTP, Fang et al. 2022)."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from gcrl.aims import Decode
from gcrl.episodes import Episodes


def by_subgoal(episodes: Episodes, aims: NDArray[np.float32], decode: Decode | None = None) -> Episodes:
    """Return `episodes` cut wherever what they aimed at changed; every piece is an episode whose goal is what was aimed at.

    Where one piece ends the next begins, with the same frame. What a subgoal looks like is drawn by `decode`, and what it would be to
    have reached it is not known (NaN); a piece that aims at the goal itself keeps all that is known of it.

    Args:
        aims: (n, T, k) what each of the n episodes aimed at in each of its steps.
        decode: goals (m, k) -> pictures (m, H, W, 3); needed where goals have pictures.
    """
    cuts = []  # (episode, first step, step after the last)
    for episode, length in enumerate(episodes.lengths.tolist()):
        changed = np.flatnonzero((aims[episode, 1:length] != aims[episode, : length - 1]).any(axis=-1)) + 1
        bounds = [0, *changed.tolist(), length]
        cuts += [(episode, first, after) for first, after in itertools.pairwise(bounds)]
    owner, first, after = (np.array(column, np.int64) for column in zip(*cuts))
    steps = int((after - first).max())
    rows = np.minimum(first[:, None] + np.arange(steps + 1), after[:, None])  # (m, steps + 1), the last one repeated
    taken = np.minimum(rows[:, :-1], (after - 1)[:, None])
    goals = aims[owner, first]
    at_goal = (goals == episodes.goals[owner]).all(axis=1)
    images, achieved = episodes.goal_images, episodes.goal_achieved
    if images is not None:
        assert decode is not None, "pictures of subgoals have to be drawn"
        images = images[owner].copy()
        images[~at_goal] = decode(goals[~at_goal])
    if achieved is not None:
        achieved = np.where(at_goal.reshape(-1, *[1] * (achieved.ndim - 1)), achieved[owner], np.nan)
    return Episodes(
        {key: values[owner[:, None], rows] for key, values in episodes.observations.items()},
        episodes.actions[owner[:, None], taken],
        episodes.terminated[owner[:, None], taken],
        after - first,
        episodes.seeds[owner],
        goals,
        np.where(at_goal, episodes.goal_rows[owner], -1),
        images,
        achieved,
        epoch=episodes.epoch,
        provenance=episodes.provenance,
        aborted=episodes.aborted,
    )
