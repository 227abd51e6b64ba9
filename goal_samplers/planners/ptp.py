"""Planning to practise: subgoals that an affordance model holds possible, refined from coarse to fine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.errors import UserError, unknown
from goal_samplers.api import GoalContext
from goal_samplers.goal_space import GoalSpace
from goal_samplers.planners.affordance import Affordances
from goal_samplers.planners.api import PlanContext
from goal_samplers.planners.costs import Cost
from goal_samplers.planners.search import METHODS, search
from representations.api import Floats


class PTP:
    """Plans by searching the codes of affordance models, the coarsest one first; then each way between two subgoals is halved by the next.

    scales: steps of the models, each half of the one before, coarse to fine. subgoals: how many a plan has at most, at the finest scale;
    a multiple of 2^(scales − 1). A plan ends where its cost is least, which may be earlier, and its last subgoal is the goal itself; one
    that does not end nearer to the goal than it began is given up for the goal alone.
    cost: what judges plans (`goal_samplers.planners.costs`). method, candidates, iterations, temperature: of `search`.
    codes, hidden, unroll, kl_weight, first_steps, refit_steps, batch_size, lr: of `Affordances`.
    reach, dwell, patience, replan: as in `SubgoalPlanner`. Source: PTP (Fang, Yin, Nair & Levine 2022). Raises `UserError` for arguments
    out of range.
    """

    def __init__(
        self,
        goal_space: GoalSpace,
        cost: Cost,
        seed: int = 0,
        scales: Sequence[int] = (60, 30, 15),
        subgoals: int = 8,
        method: str = "mppi",
        candidates: int = 1024,
        iterations: int = 5,
        temperature: float = 0.1,
        codes: int = 4,
        hidden: int = 128,
        unroll: int = 2,
        kl_weight: float = 0.1,
        first_steps: int = 3000,
        refit_steps: int = 300,
        batch_size: int = 256,
        lr: float = 1e-3,
        reach: float = 0.5,
        dwell: int = 0,
        patience: int = 30,
        replan: bool = True,
    ) -> None:
        if not scales or min(scales) < 1 or any(2 * fine != coarse for coarse, fine in itertools.pairwise(scales)):
            raise UserError(f"PTP: scales = {list(scales)}; expected numbers of steps, each half of the one before, such as [60,30,15]")
        halvings = 2 ** (len(scales) - 1)
        if subgoals < halvings or subgoals % halvings:
            raise UserError(f"PTP: subgoals = {subgoals} at {len(scales)} scales; expected a multiple of {halvings}")
        if method not in METHODS:
            raise unknown("PTP method", method, METHODS)
        counts = {"candidates": candidates, "iterations": iterations, "codes": codes, "hidden": hidden, "unroll": unroll}
        counts |= {"first_steps": first_steps, "batch_size": batch_size}
        for name, value in counts.items():
            if value < 1:
                raise UserError(f"PTP: {name} = {value}; expected at least 1")
        if dwell < 0:
            raise UserError(f"PTP: dwell = {dwell}; expected a number of steps, at least 0")
        for name, number in (("temperature", temperature), ("lr", lr), ("reach", reach)):
            if not 0 < number < float("inf"):
                raise UserError(f"PTP: {name} = {number}; expected a positive number")
        self.reach, self.dwell, self.patience, self.replan = reach, dwell, patience, replan
        self.plans_by_value = getattr(cost, "by_value", True)
        self._space, self._cost, self._seed, self._steps = goal_space, cost, seed, subgoals // halvings
        self._search = {"method": method, "candidates": candidates, "iterations": iterations, "temperature": temperature}
        self.affordances = Affordances(
            goal_space.latent_dim,
            scales,
            seed=seed,
            codes=codes,
            hidden=hidden,
            unroll=unroll,
            kl_weight=kl_weight,
            first_steps=first_steps,
            refit_steps=refit_steps,
            batch_size=batch_size,
            lr=lr,
        )

    def fit(self, context: GoalContext) -> dict[str, float]:
        """Fit the affordance models to the stored episodes; metrics as in `Affordances.fit`."""
        return self.affordances.fit(context)

    def plan(self, context: PlanContext, goals: Floats) -> Floats:
        """Return (n, m, k) subgoals on the way to goals (n, k), and the goals; those alone before anything is fitted."""
        if self.affordances.scale is None:
            return goals[:, None]
        ends = goals[:, : self._space.latent_dim]
        path, length = self._level(0, context, context.latents, ends, self._steps, any_length=True)
        away = np.linalg.norm(ends - context.latents, axis=1)
        arrived = np.linalg.norm(path[np.arange(len(path)), length] - ends, axis=1)
        length = np.where(arrived < away, length, 0)
        for level in range(1, len(self.affordances.scales)):
            path, length = self._halved(level, context, path), 2 * length
        plans = np.repeat(goals[:, None], path.shape[1] - 1, axis=1)
        subgoal = np.arange(1, path.shape[1]) < length[:, None]  # the last one of a plan is the goal itself
        plans[subgoal] = self._space.points(path[:, 1:][subgoal])
        return plans

    def _halved(self, level: int, context: PlanContext, path: Floats) -> Floats:
        """Return paths (n, 2m + 1, d) of paths (n, m + 1, d): with a step in the middle of each of their pieces."""
        n, points, width = path.shape
        starts, ends = (part.reshape(-1, width) for part in (path[:, :-1], path[:, 1:]))
        middle, _ = self._level(level, context, starts, ends, 2, any_length=False)
        halved = np.empty((n, 2 * points - 1, width), np.float32)
        halved[:, ::2], halved[:, 1::2] = path, middle[:, 1].reshape(n, points - 1, width)
        return halved

    def _level(
        self, level: int, context: PlanContext, starts: Floats, ends: Floats, steps: int, *, any_length: bool
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Return the best paths (n, m + 1, d) of `steps` = m from `starts` to `ends` (n, d), at the scale number `level`, and the number of
        their steps after which they end, m unless `any_length`."""
        models, begin = self.affordances, self.affordances.standardised(starts)

        def paths_of(codes: Tensor) -> Floats:
            (n, m, _), width = codes.shape, starts.shape[1]
            each = n // len(starts)  # candidates of each problem
            moved = models.latents(models.unrolled(level, begin.repeat_interleave(each, 0), codes).reshape(-1, width))
            return np.concatenate([np.repeat(starts, each, axis=0)[:, None], moved.reshape(n, m, width)], axis=1)

        def costs_of(codes: Tensor) -> Floats:
            each = len(codes) // len(starts)
            value = context.value
            found = self._cost(paths_of(codes), np.repeat(ends, each, axis=0), codes.numpy(), value and self._between(value))
            return found if any_length else found[:, -1:]

        def cost(codes: Tensor) -> Tensor:
            return torch.from_numpy(costs_of(codes.flatten(0, 1)).min(axis=1)).view(codes.shape[:2])

        best = search(cost, len(starts), steps, models.codes, seed=self._seed + level, **self._search)  # type: ignore[arg-type]
        length = costs_of(best).argmin(axis=1) + 1 if any_length else np.full(len(starts), steps)
        return paths_of(best), np.asarray(length)

    def _between(self, value: Any) -> Any:
        return lambda latents, ends: value(latents, self._space.points(ends))

    def state_dict(self) -> dict[str, Any]:
        return {"affordances": self.affordances.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.affordances.load_state_dict(state["affordances"])
