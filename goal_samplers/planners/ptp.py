"""Planning to practise: subgoals that an affordance model holds possible, refined from coarse to fine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
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
from goal_samplers.planners.attempts import Attempts
from goal_samplers.planners.costs import Cost
from goal_samplers.planners.doubt import Doubt
from goal_samplers.planners.meet import met
from goal_samplers.planners.search import METHODS, search
from goal_samplers.planners.ways import Ways, Weighted
from representations.api import Floats
from representations.state import entry

MEET, ATTEMPTS = "meet", "attempts"


class PTP:
    """Plans by searching the codes of affordance models, the coarsest one first; then each way between two subgoals is halved by the next.

    scales: steps of the models, each half of the one before, coarse to fine. subgoals: how many a plan has at most, at the finest scale;
    a multiple of 2^(scales − 1). A plan ends where its cost is least, which may be earlier, and its last subgoal is the goal itself; one
    that does not end nearer to the goal than it began is given up for the goal alone.
    cost: what judges plans (`goal_samplers.planners.costs`). method, candidates, iterations, temperature: of `search`; the method "meet"
    grows the coarsest plans from both ends (`goal_samplers.planners.meet`, not in the paper), for goals to which no way comes nearer at
    once. codes, hidden, unroll, kl_weight, first_steps, refit_steps, batch_size, lr: of `Affordances`.
    doubt_weight: latent units per nat of doubt that a piece is one which the data show (`goal_samplers.planners.doubt`); 0: none.
    attempt_weight: the same of doubt that an attempt at a piece of the finest scale comes to its end, by what practice came to
    (`goal_samplers.planners.attempts`); it is learnt from every epoch's practice, whatever `refit_steps` says; 0: none.
    reach, dwell, rest, patience, replan: as in `SubgoalPlanner`. Source: PTP (Fang, Yin, Nair & Levine 2022). Raises `UserError` for
    arguments out of range.
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
        doubt_weight: float = 0.0,
        doubt_hidden: int = 256,
        doubt_steps: int = 15000,
        attempt_weight: float = 0.0,
        attempt_hidden: int = 64,
        attempt_steps: int = 1000,
        reach: float = 0.5,
        dwell: int = 0,
        rest: bool = False,
        patience: int = 30,
        replan: bool = True,
    ) -> None:
        if not scales or min(scales) < 1 or any(2 * fine != coarse for coarse, fine in itertools.pairwise(scales)):
            raise UserError(f"PTP: scales = {list(scales)}; expected numbers of steps, each half of the one before, such as [60,30,15]")
        halvings = 2 ** (len(scales) - 1)
        if subgoals < halvings or subgoals % halvings:
            raise UserError(f"PTP: subgoals = {subgoals} at {len(scales)} scales; expected a multiple of {halvings}")
        if method not in (*METHODS, MEET):
            raise unknown("PTP method", method, (*METHODS, MEET))
        counts = {"candidates": candidates, "iterations": iterations, "codes": codes, "hidden": hidden, "unroll": unroll}
        counts |= {"first_steps": first_steps, "batch_size": batch_size, "doubt_hidden": doubt_hidden, "doubt_steps": doubt_steps}
        counts |= {"attempt_hidden": attempt_hidden, "attempt_steps": attempt_steps}
        for name, value in counts.items():
            if value < 1:
                raise UserError(f"PTP: {name} = {value}; expected at least 1")
        for name, weight in (("doubt_weight", doubt_weight), ("attempt_weight", attempt_weight)):
            if not 0 <= weight < float("inf"):
                raise UserError(f"PTP: {name} = {weight}; expected a number of at least 0")
        if dwell < 0:
            raise UserError(f"PTP: dwell = {dwell}; expected a number of steps, at least 0")
        for name, number in (("temperature", temperature), ("lr", lr), ("reach", reach)):
            if not 0 < number < float("inf"):
                raise UserError(f"PTP: {name} = {number}; expected a positive number")
        self.reach, self.dwell, self.rest, self.patience, self.replan = reach, dwell, rest, patience, replan
        self.plans_by_value = getattr(cost, "by_value", True)
        self._space, self._cost, self._seed, self._steps = goal_space, cost, seed, subgoals // halvings
        self._meet, self._doubt_weight, self._attempt_weight = method == MEET, doubt_weight, attempt_weight
        self._sizes = {"candidates": candidates, "iterations": iterations}
        kind = "mppi" if self._meet else method
        self._search = partial(search, codes=codes, method=kind, temperature=temperature, candidates=candidates, iterations=iterations)
        self._refits = refit_steps > 0
        fitted: dict[str, Any] = {"seed": seed, "refit_steps": refit_steps, "batch_size": batch_size, "lr": lr}
        sizes: dict[str, Any] = {"codes": codes, "hidden": hidden, "unroll": unroll, "kl_weight": kl_weight, "first_steps": first_steps}
        models = partial(Affordances, goal_space.latent_dim, scales, **fitted, **sizes)
        self.affordances = models()
        self._parts: dict[str, Any] = {"affordances": self.affordances}
        if self._meet:
            self._parts["backward"] = self.backward = models(backward=True)
        self.doubt: Doubt | None = None
        if doubt_weight:
            self.doubt = Doubt(self.affordances, goal_space.latent_dim, hidden=doubt_hidden, first_steps=doubt_steps, **fitted)
            self._parts["doubt"] = self.doubt
        self.attempts: Attempts | None = None
        if attempt_weight:
            tried: dict[str, Any] = {"seed": seed, "hidden": attempt_hidden, "steps": attempt_steps, "batch_size": batch_size, "lr": lr}
            self.attempts = Attempts(self.affordances, goal_space.latent_dim, reach, patience, **tried)
            self._parts[ATTEMPTS] = self.attempts

    def fit(self, context: GoalContext) -> dict[str, float]:
        """Fit the affordance models, and what else there is, to the stored episodes; metrics as of `Affordances.fit`, those of what else
        there is behind ``backward_``, ``doubt_`` and ``attempts_``. With ``refit_steps`` of 0 only attempts are learnt from after the first
        fit."""
        models = self.affordances.scale is None or self._refits
        fitted = {name: part.fit(context) for name, part in self._parts.items() if models or name == ATTEMPTS}
        own: dict[str, float] = fitted.pop("affordances", {})
        return own | {f"{name}_{what}": value for name, metrics in fitted.items() for what, value in metrics.items()}

    def plan(self, context: PlanContext, goals: Floats) -> Floats:
        """Return (n, m, k) subgoals on the way to goals (n, k), and the goals; those alone before anything is fitted."""
        if self.affordances.scale is None:
            return goals[:, None]
        ends = goals[:, : self._space.latent_dim]
        path, length = self._coarsest(context, context.latents, ends)
        away = np.linalg.norm(ends - context.latents, axis=1)
        arrived = np.linalg.norm(path[np.arange(len(path)), length] - ends, axis=1)
        length = np.where(arrived < away, length, 0)
        for level in range(1, len(self.affordances.scales)):
            path, length = self._halved(level, context, path), 2 * length
        plans = np.repeat(goals[:, None], path.shape[1] - 1, axis=1)
        subgoal = np.arange(1, path.shape[1]) < length[:, None]  # the last one of a plan is the goal itself
        plans[subgoal] = self._space.points(path[:, 1:][subgoal])
        return plans

    def _coarsest(self, context: PlanContext, starts: Floats, ends: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """Return the best paths (n, m + 1, d) from `starts` to `ends` (n, d), and the number of their steps after which they end."""
        ways = self._ways(0, context)
        if self._meet:
            each = [met(ways, self.backward, start, end, self._steps, seed=self._seed, **self._sizes) for start, end in zip(starts, ends)]
            codes = torch.stack(each)
        else:
            cost = lambda codes: ways.least(starts, ends, codes.flatten(0, 1)).view(codes.shape[:2])  # noqa: E731
            codes = self._search(cost, len(starts), self._steps, seed=self._seed)
        paths = ways.paths(starts, codes)
        return paths, ways.costs(paths, ends, codes).argmin(axis=1) + 1

    def _halved(self, level: int, context: PlanContext, path: Floats) -> Floats:
        """Return paths (n, 2m + 1, d) of paths (n, m + 1, d): with a step in the middle of each of their pieces."""
        n, points, width = path.shape
        starts, ends = (part.reshape(-1, width) for part in (path[:, :-1], path[:, 1:]))
        ways = self._ways(level, context)

        def cost(codes: Tensor) -> Tensor:
            flat = codes.flatten(0, 1)
            return torch.from_numpy(ways.costs(ways.paths(starts, flat), ends, flat)[:, -1]).view(codes.shape[:2])

        middle = ways.paths(starts, self._search(cost, len(starts), 2, seed=self._seed + level))[:, 1]
        halved = np.empty((n, 2 * points - 1, width), np.float32)
        halved[:, ::2], halved[:, 1::2] = path, middle.reshape(n, points - 1, width)
        return halved

    def _ways(self, level: int, context: PlanContext) -> Ways:
        value = context.value
        between = None if value is None else lambda latents, ends: value(latents, self._space.points(ends))
        doubts: list[Weighted] = [(self._doubt_weight, partial(self.doubt.of, level))] if self.doubt else []
        if self.attempts and level == len(self.affordances.scales) - 1:  # what is tried are pieces of the finest
            doubts.append((self._attempt_weight, self.attempts.of))
        return Ways(self.affordances, level, self._cost, between, doubts)

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(entry(state, name, "PTP"))
