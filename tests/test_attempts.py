"""Plans learn from what practice came to: pieces that attempts never bring about are gone around."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.errors import UserError
from goal_samplers.api import GoalContext
from goal_samplers.goal_space import LatentGoals
from goal_samplers.planners.api import PlanContext
from goal_samplers.planners.costs import ReachByValue
from goal_samplers.planners.ptp import PTP
from representations.identity import Identity
from representations.made_up import Frames, made_up_space

STEPS, REACH, WALL = 10, 0.1, 0.5
START, GOAL = np.array([[-0.6, 0.0]], np.float32), np.array([[0.6, 0.0]], np.float32)


def crosses(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return whether ways from a to b (n, 2) go through the wall: x = 0 with |y| below `WALL`."""
    share = np.clip(a[:, 0] / np.where(a[:, 0] == b[:, 0], 1, a[:, 0] - b[:, 0]), 0, 1)
    return (a[:, 0] * b[:, 0] < 0) & (np.abs(a[:, 1] + share * (b[:, 1] - a[:, 1])) < WALL)


def moves(episodes: int, seed: int, wall: bool) -> tuple[GoalContext, np.ndarray]:
    """Return straight moves of up to 0.7 along either axis on a square, and where each was to end; with a `wall` they end before it."""
    generator = np.random.default_rng(seed)
    first = generator.uniform(-1, 1, (episodes, 2))
    aims = np.clip(first + generator.uniform(-0.7, 0.7, (episodes, 2)), -1, 1)
    stopped = crosses(first, aims) & wall
    last = np.where(stopped[:, None], first, aims)
    share = np.linspace(0, 1, STEPS + 1)[None, :, None]
    latents = (first[:, None] * (1 - share) + last[:, None] * share).reshape(-1, 2).astype(np.float32)
    context = GoalContext(Frames({"latent": latents}, STEPS), Identity(made_up_space(2)), np.random.default_rng(seed + 1))
    wanted = aims.astype(np.float32)
    return replace(context, aims=lambda rows: wanted[rows // (STEPS + 1)]), wanted


def planner(**given) -> PTP:
    sizes = {
        "scales": [STEPS],
        "subgoals": 4,
        "hidden": 64,
        "codes": 2,
        "first_steps": 800,
        "batch_size": 128,
        "lr": 3e-3,
        "kl_weight": 0.05,
    }
    sizes |= {"candidates": 512, "iterations": 10, "refit_steps": 0, "reach": REACH, "patience": STEPS}
    cost = ReachByValue(value_weight=0, code_weight=0.002, way_weight=0.05)
    return PTP(LatentGoals(2), cost, **(sizes | {"attempt_weight": 0.3} | given))


def through(made: PTP) -> bool:
    """Return whether the plan from start to goal goes through the wall."""
    path = np.concatenate([START[:, None], made.plan(PlanContext(START), GOAL)], axis=1)[0]
    return bool(crosses(path[:-1], path[1:]).any())


def test_a_plan_goes_around_what_practice_never_brings_about() -> None:
    made = planner()
    shown, _ = moves(600, seed=0, wall=False)
    assert not any(name.startswith("attempts") for name in made.fit(replace(shown, aims=None)))
    assert through(made)  # the data know of no wall
    tried, _ = moves(1000, seed=1, wall=True)
    metrics = made.fit(tried)
    assert metrics["attempts_count"] == 1000
    assert 0.8 < metrics["attempts_came"] < 1
    assert not through(made)
    again = planner()
    again.load_state_dict(made.state_dict())
    assert not through(again)
    careless = planner(attempt_weight=0)
    careless.load_state_dict(made.state_dict())
    assert through(careless)


def test_attempts_that_were_cut_short_say_nothing() -> None:
    """An episode that ends while its subgoal is aimed at did not fail."""
    made = planner(first_steps=2, patience=STEPS + 1, attempt_steps=2)
    made.fit(moves(20, seed=0, wall=False)[0])
    tried, wanted = moves(400, seed=1, wall=True)
    starts, lengths = tried.experience.episodes()
    away = np.linalg.norm(tried.experience.read("latent", starts + lengths) - wanted, axis=1)
    metrics = made.fit(tried)
    assert metrics["attempts_count"] == (away <= REACH).sum() < 400
    assert metrics["attempts_came"] == 1


def test_without_a_single_attempt_plans_stay_as_they_are() -> None:
    made, plain = planner(first_steps=20), planner(first_steps=20, attempt_weight=0)
    shown = [replace(moves(50, seed=0, wall=False)[0], aims=None) for _ in range(2)]
    for one, context in zip((made, plain), shown):
        one.fit(context)
    assert np.array_equal(*(one.plan(PlanContext(START), GOAL) for one in (made, plain)))
    unknown = replace(moves(50, seed=2, wall=False)[0], aims=lambda rows: np.full((len(rows), 2), np.nan, np.float32))
    assert made.fit(unknown) == {"attempts_count": 0.0, "attempts_came": 0.0}


def test_a_weight_below_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="attempt_weight = -1; expected a number of at least 0"):
        planner(attempt_weight=-1)
