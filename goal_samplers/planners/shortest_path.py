"""Shortest paths over what was seen: short ways that the agent trusts itself with, joined to long ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from envs.errors import UserError
from goal_samplers.api import GoalContext
from goal_samplers.experience import require_frames
from goal_samplers.goal_space import GoalSpace
from goal_samplers.planners.api import PlanContext
from representations.api import Floats


class ShortestPath:
    """Subgoals are stored frames on the shortest path from where the episode stands, by the steps that the agent's values say apart.

    landmarks: frames that are the graph's nodes, spread evenly over the latent space among `candidates` stored ones. Two are joined where
    the agent expects to need at most `longest` steps between them: beyond, values are not trusted. Where an episode and its goal stand
    in the graph is the landmark nearest to them in the latent space.
    reward_range, discount: of the run. With rewards of [a, b] that go on once a goal is reached, a value V stands for
    log_discount((V − V_a) / (V_b − V_a)) steps, V_a = a / (1 − discount) and V_b likewise being what is expected from a goal that is never
    reached and from one that is; with `discount` 1, V is minus the steps (QRL).
    reach, patience, replan: as in `SubgoalPlanner`. Source: SoRB (Eysenbach, Salakhutdinov & Levine 2019, "Search on the replay buffer"),
    whose nodes are drawn uniformly and whose distances are those of an ensemble. Raises `UserError` for arguments out of range.
    """

    needs_value = True

    def __init__(
        self,
        goal_space: GoalSpace,
        landmarks: int = 400,
        candidates: int = 8000,
        longest: float = 20.0,
        reward_range: Sequence[float] = (-1.0, 0.0),
        discount: float = 0.99,
        reach: float = 0.5,
        patience: int = 40,
        replan: bool = True,
    ) -> None:
        for name, value, least in (("landmarks", landmarks, 1), ("candidates", candidates, landmarks), ("patience", patience, 0)):
            if value < least:
                raise UserError(f"ShortestPath: {name} = {value}; expected at least {least}")
        for name, number in (("longest", longest), ("reach", reach)):
            if not 0 < number < float("inf"):
                raise UserError(f"ShortestPath: {name} = {number}; expected a positive number")
        if not 0 < discount <= 1:
            raise UserError(f"ShortestPath: discount = {discount}; expected more than 0, at most 1")
        if len(reward_range) != 2 or not reward_range[0] < reward_range[1]:
            raise UserError(f"ShortestPath: reward_range = {list(reward_range)}; expected [low, high], such as [-1,0]")
        self.reach, self.patience, self.replan = reach, patience, replan
        self._space, self._landmarks, self._candidates, self._longest = goal_space, landmarks, candidates, longest
        self._range, self._discount = tuple(reward_range), discount
        self._nodes = np.zeros((0, goal_space.latent_dim), np.float32)
        self._steps = np.zeros((0, 0), np.float32)  # along the shortest path; infinite where there is none
        self._before = np.zeros((0, 0), np.int32)  # [i, j]: the node before j on the path from i

    def fit(self, context: GoalContext) -> dict[str, float]:
        """Choose landmarks and find all paths between them.

        Metrics: ``joined``, the share of pairs with a path; ``edge_steps``, the mean steps between those that were joined, if any.
        """
        require_frames(context.experience, "ShortestPath")
        assert context.value is not None
        rows = np.unique(context.experience.sample_rows(self._candidates, context.generator))
        latents = context.experience.read("latent", rows)
        chosen = spread(latents, min(self._landmarks, len(rows)), context.generator)
        nodes, count = latents[chosen], len(chosen)
        values = context.value(np.repeat(rows[chosen], count), np.tile(nodes, (count, 1)))
        steps = self.steps(values).reshape(count, count)
        trusted = (steps <= self._longest) & ~np.eye(count, dtype=bool)
        graph = csr_array((np.maximum(steps[trusted], 1e-3), np.nonzero(trusted)), shape=(count, count))
        paths, before = dijkstra(graph, return_predecessors=True)
        self._nodes, self._steps, self._before = nodes, paths.astype(np.float32), before.astype(np.int32)
        edges = {"edge_steps": float(steps[trusted].mean())} if trusted.any() else {}
        return {"joined": float(np.isfinite(paths).mean())} | edges

    def steps(self, values: Floats) -> NDArray[np.float64]:
        """Return the steps that `values` stand for, at least 0."""
        if self._discount == 1:
            return np.maximum(-np.asarray(values, np.float64), 0.0)
        worst, best = (reward / (1 - self._discount) for reward in self._range)
        share = np.clip((np.asarray(values, np.float64) - worst) / (best - worst), 1e-12, 1.0)
        return np.asarray(np.log(share) / np.log(self._discount))

    def plan(self, context: PlanContext, goals: Floats) -> Floats:
        """Return (n, m, k) the landmarks on the way to goals (n, k), and the goals; those alone where no path leads there."""
        if not len(self._nodes):
            return goals[:, None]
        starts, ends = (self._nearest(points) for points in (context.latents, goals[:, : self._space.latent_dim]))
        paths = [self._path(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
        plans = np.repeat(goals[:, None], max(map(len, paths)) + 1, axis=1)
        for plan, path in zip(plans, paths, strict=True):
            if path:
                plan[: len(path)] = self._space.points(self._nodes[path])
        return plans

    def _path(self, start: int, end: int) -> list[int]:
        """Return the landmarks after `start` to `end`; none where they are the same or no path leads there."""
        if start == end or not np.isfinite(self._steps[start, end]):
            return []
        path = [end]
        while (node := int(self._before[start, path[-1]])) != start:
            path.append(node)
        return path[::-1]

    def _nearest(self, points: Floats) -> NDArray[np.int64]:
        away = np.square(points[:, None] - self._nodes).sum(axis=2)
        return np.asarray(away.argmin(axis=1))

    def state_dict(self) -> dict[str, Any]:
        return {"nodes": self._nodes, "steps": self._steps, "before": self._before}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._nodes, self._steps, self._before = (np.asarray(state[name]) for name in ("nodes", "steps", "before"))


def spread(latents: Floats, n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return (n,) indices of latents (m, d) that are spread evenly over them: each the farthest from those before it, the first random."""
    chosen = np.zeros(n, np.int64)
    chosen[0] = generator.integers(len(latents))
    away = np.square(latents - latents[chosen[0]]).sum(axis=1)
    for index in range(1, n):
        chosen[index] = away.argmax()
        away = np.minimum(away, np.square(latents - latents[chosen[index]]).sum(axis=1))
    return chosen
