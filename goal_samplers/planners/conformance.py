"""Does a planner keep the contract of `goal_samplers.planners.api`? Run on every planner of ours; meant for yours too."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from envs.conformance import Check, outcome_of
from envs.errors import UserError
from goal_samplers.api import GoalContext
from goal_samplers.goal_space import GoalSpace, LatentGoals
from goal_samplers.made_up import ODD, made_up, representation_of
from goal_samplers.planners.api import PlanContext, SubgoalPlanner
from representations.api import Floats
from representations.made_up import BOUND
from representations.watch import global_generators, odd_leaves, odd_metrics, touched

Make = Callable[[GoalSpace], Any]
COUNTS = (1, 7, 64)


def run_checks(make: Make, seed: int = 0) -> Iterator[Check]:
    """Yield the outcome of each of `CHECKS` in turn; ``make(goal_space)`` returns a fresh planner. What is not claimed comes unchecked."""
    planner = make(LatentGoals(2))
    if not isinstance(planner, SubgoalPlanner):
        lacks = f"contract: {type(planner).__name__} lacks plan(latents, goals), reach, patience or replan"
        yield Check("contract", "it has what goal_samplers.planners.api.SubgoalPlanner says", True, [lacks])
        return
    for check, promise, attribute in CHECKS:
        yield outcome_of(check.__name__, promise, hasattr(planner, attribute), functools.partial(check, make, seed))


def _plans(make: Make, seed: int) -> Iterator[str]:
    for fitted in (False, True):
        planner, context = _fresh(make, seed, fitted)
        for n in COUNTS:
            where, goals = _ends(context, n)
            yield from (f"plans: {problem}" for problem in wrong_with(planner.plan(where, goals), goals))


def _alone(make: Make, seed: int) -> Iterator[str]:
    planner, context = _fresh(make, seed)
    where, goals = _ends(context, 12)
    together = planner.plan(where, goals)
    for index in range(12):
        part = slice(index, index + 1)
        alone = planner.plan(replace(where, latents=where.latents[part]), goals[part])[0]
        if not np.allclose(together[index][: len(alone)], alone, atol=1e-2 * BOUND):
            yield "alone: an episode planned among others is given other subgoals than alone; expected the same"
            return


def _experience(make: Make, seed: int) -> Iterator[str]:
    for title, case in ODD.items():
        dims = case.get("dims", 2)
        planner, context = make(LatentGoals(dims)), made_up(representation_of(dims, pictures=False), seed=seed, **case)
        try:
            planner.fit(context)
            where, goals = _ends(context, 5)
            yield from (f"experience: of {title}: {problem}" for problem in wrong_with(planner.plan(where, goals), goals))
        except UserError:
            continue  # it says why not, which is as good


def _randomness(make: Make, seed: int) -> Iterator[str]:
    before = global_generators()
    planned = []
    for _ in range(2):
        planner, context = _fresh(make, seed)
        planned += [planner.plan(*_ends(context, 9)) for _ in range(2)]
    if any(np.shape(plans) != np.shape(planned[0]) or not np.array_equal(plans, planned[0]) for plans in planned[1:]):
        yield "randomness: the same ends were planned in another way; expected plans to follow from the ends and what was fitted"
    for name in touched(before):
        yield f"randomness: it drew from the global generator of {name}; expected context.generator, and none while planning"


def _fitting(make: Make, seed: int) -> Iterator[str]:
    planner, context = _fresh(make, seed, fitted=False)
    yield from (f"fitting: {problem}" for problem in odd_metrics(planner.fit(context)))


def _state(make: Make, seed: int) -> Iterator[str]:
    planner, context = _fresh(make, seed)
    twin = make(LatentGoals(2))
    if hasattr(planner, "state_dict"):
        state = copy.deepcopy(planner.state_dict())
        if odd := list(odd_leaves(state)):
            yield f"state: state_dict holds {', '.join(odd)}; expected nested dicts of arrays, tensors, numbers and strings"
            return
        twin.load_state_dict(state)
    ends = _ends(context, 20)
    if not np.array_equal(planner.plan(*ends), twin.plan(*ends)):
        yield "state: one restored from state_dict plans otherwise; expected state_dict to hold all that fit learns"


CHECKS: tuple[tuple[Callable[[Make, int], Iterator[str]], str, str], ...] = (
    (_plans, "finite plans (n, m, k) that end at the goals, before anything is fitted and after", "plan"),
    (_alone, "an episode's plan does not depend on the others", "plan"),
    (_experience, "any experience is enough, or it says why not: one frame, one episode, identical frames, one dimension", "fit"),
    (_randomness, "the same ends are planned alike, and no global generator is drawn from", "plan"),
    (_fitting, "fit returns finite figures by name", "fit"),
    (_state, "a restored planner plans what the original would", "plan"),
)


def wrong_with(plans: Any, goals: Floats) -> Iterator[str]:
    """Yield what is wrong with `plans` toward goals (n, k), a line each."""
    plans, (n, width) = np.asarray(plans), goals.shape
    if plans.ndim != 3 or plans.shape[0] != n or plans.shape[1] < 1 or plans.shape[2] != width:
        yield f"plan returned an array of shape {plans.shape}; expected ({n}, at least 1, {width})"
    elif not np.isfinite(plans).all():
        yield f"{int((~np.isfinite(plans)).any(axis=2).sum())} subgoals are not finite"
    elif not np.array_equal(plans[:, -1], goals):
        yield "a plan does not end at its goal; expected the goal itself as its last step"


def _fresh(make: Make, seed: int, fitted: bool = True) -> tuple[Any, GoalContext]:
    planner, context = make(LatentGoals(2)), made_up(representation_of(2, pictures=False), seed=seed)
    if fitted and hasattr(planner, "fit"):
        planner.fit(context)
    return planner, context


def _ends(context: GoalContext, n: int) -> tuple[PlanContext, Floats]:
    """Return where n episodes stand and goals (n, d): places that need not have been seen, the same every time; values as in `made_up`."""
    generator = np.random.default_rng(n)
    shape = (n, context.representation.latent_dim)
    value = lambda latents, goals: -np.linalg.norm(latents - goals[:, : shape[1]], axis=1).astype(np.float32)  # noqa: E731
    latents, goals = (generator.uniform(-BOUND, BOUND, shape).astype(np.float32) for _ in range(2))
    return PlanContext(latents, value, lambda latents, goals: np.asarray((latents + goals) / 2, np.float32)), goals
