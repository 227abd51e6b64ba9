"""Plans that meet in the middle and doubt what no data show: a door that has to be opened and shut again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from run_cases import BITFLIP, differences, finish_steps, outcome, settings

from envs.errors import UserError
from gcrl.evaluate import evaluate_run
from gcrl.practice import Practice
from gcrl.run import load
from goal_samplers.api import GoalContext
from goal_samplers.goal_space import LatentGoals
from goal_samplers.planners.affordance import Pairs
from goal_samplers.planners.api import PlanContext
from goal_samplers.planners.conformance import run_checks
from goal_samplers.planners.costs import ReachByValue
from goal_samplers.planners.meet import refined
from goal_samplers.planners.ptp import PTP
from representations.identity import Identity
from representations.made_up import Frames, made_up_space

STEPS = 10
SIZES = {"scales": [STEPS], "subgoals": 3, "hidden": 64, "codes": 2, "first_steps": 1500, "batch_size": 128, "lr": 3e-3, "kl_weight": 0.05}
CHEAP = ReachByValue(value_weight=0, code_weight=0.002, way_weight=0.05)
START, GOAL = np.array([[-0.6, 0.0]], np.float32), np.array([[0.6, 0.0]], np.float32)


def doorway(episodes: int = 600) -> GoalContext:
    """Return moves of (x, door): the door opens or shuts, 0 to 0.8, wherever x is; x goes to the other side only while it is open."""
    generator = np.random.default_rng(5)
    door = generator.integers(2, size=episodes)
    starts, ends = generator.uniform(0.3, 0.9, (2, episodes)) * generator.choice([-1, 1], (2, episodes))
    ends = np.where(door == 0, np.copysign(ends, starts), ends)
    moves_door = generator.random(episodes) < 0.5
    first = np.stack([starts, 0.8 * door], 1)
    last = np.where(moves_door[:, None], np.stack([starts, 0.8 * (1 - door)], 1), np.stack([ends, 0.8 * door], 1))
    share = np.linspace(0, 1, STEPS + 1)[None, :, None]
    states = first[:, None] * (1 - share) + last[:, None] * share
    columns = {"latent": states.reshape(-1, 2).astype(np.float32)}
    return GoalContext(Frames(columns, STEPS), Identity(made_up_space(2)), np.random.default_rng(6))


def planner(**given) -> PTP:
    given = {"method": "meet", "candidates": 512, "iterations": 10, "doubt_weight": 0.05, "doubt_hidden": 64, "doubt_steps": 1500} | given
    return PTP(LatentGoals(2), CHEAP, **(SIZES | given))


@pytest.fixture(scope="module")
def fitted() -> PTP:
    made = planner()
    metrics = made.fit(doorway())
    assert metrics["doubt_made_up"] > 2 * metrics["doubt_real"]
    return made


def test_a_door_is_opened_and_shut_again_though_nothing_comes_nearer_by_it(fitted: PTP) -> None:
    plan = fitted.plan(PlanContext(START), GOAL)[0]
    assert np.abs(plan - [[-0.6, 0.8], [0.6, 0.8], [0.6, 0.0]]).max() < 0.15
    assert (fitted.plan(PlanContext(START), GOAL)[0] == plan).all()
    careless = planner(doubt_weight=0)
    careless.load_state_dict(fitted.state_dict())
    assert careless.plan(PlanContext(START), GOAL)[0][:, 1].max() < 0.4  # models make up what lies between two ways to go on
    there = fitted.plan(PlanContext(np.array([[0.4, 0.0]], np.float32)), GOAL)
    assert (there == GOAL[:, None]).all()  # what one piece does takes no subgoal


def test_pieces_that_no_data_show_are_doubted(fitted: PTP) -> None:
    models = fitted.affordances

    def doubt(start: list[float], end: list[float]) -> float:
        return float(fitted.doubt.of(0, models.standardised(np.array([start])), models.standardised(np.array([end]))))

    shown = max(doubt([-0.6, 0.0], [-0.6, 0.8]), doubt([-0.6, 0.8], [0.6, 0.8]), doubt([0.6, 0.8], [0.6, 0.0]))
    assert doubt([-0.6, 0.0], [0.6, 0.0]) > shown + 1
    assert doubt([-0.6, 0.0], [0.6, 0.8]) > shown + 1


def test_backward_models_are_of_what_there_was_before() -> None:
    columns = {"latent": np.arange(3 * 11, dtype=np.float32)[:, None]}
    pairs = Pairs(Frames(columns, 10), 4, backward=True)
    rows, left = pairs.draw(2000, np.random.default_rng(0))
    assert (rows // 11 == (rows + pairs.stride * left) // 11).all()
    assert set(rows % 11) == set(range(4, 11))
    assert np.array_equal(left, rows % 11 // 4)


def test_refining_never_makes_a_plan_worse_and_ends_near_what_costs_least() -> None:
    wanted = torch.tensor([[0.5, -1.0], [1.0, 0.0]])
    cost = lambda codes: (codes - wanted).square().sum((1, 2))  # noqa: E731
    plans = torch.randn(8, 2, 2, generator=torch.Generator().manual_seed(1))
    least = cost(plans).min()
    found = [cost(refined(cost, plans, iterations=iterations, seed=0)[None]).item() for iterations in (1, 30)]
    assert found[0] <= least
    assert found[1] < 0.05


def test_it_keeps_the_contract_of_planners() -> None:
    small = {"first_steps": 20, "doubt_steps": 20, "candidates": 32, "iterations": 2, "scales": [8, 4], "subgoals": 4}
    make = lambda space: PTP(space, CHEAP, **(SIZES | {"method": "meet", "doubt_weight": 0.1} | small))  # noqa: E731
    assert [problem for check in run_checks(make) for problem in check.problems] == []


def test_a_run_resumes_exactly_and_is_evaluated_without_what_it_learnt_for_it(tmp_path: Path) -> None:
    small = ["planner=ptp", "planner.scales=[2]", "planner.subgoals=2", "planner.first_steps=5", "planner.refit_steps=2"]
    small += ["planner.hidden=8", "planner.iterations=2"]
    small += ["planner.method=meet", "planner.doubt_weight=0.1", "planner.doubt_steps=3", "planner.doubt_hidden=8", "planner.candidates=8"]
    small += ["planner.attempt_weight=0.1", "planner.attempt_steps=3", "planner.attempt_hidden=8"]
    small += ["practice.by_subgoal=true", "reward=sparse", "reward.on=latent", "reward.epsilon=0.1"]
    overrides = [*BITFLIP, "practice.inputs=[latent]", *small]
    whole, broken = (Practice(settings(overrides, tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    for _ in range(3):
        broken.step()
    broken.close()
    finish_steps(Practice(settings(overrides, tmp_path / "broken"), resume=True))
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []
    assert load(tmp_path / "whole").policy.planner.attempts.network is not None
    changed = ["planner.method=mppi", "planner.doubt_weight=0", "planner.attempt_weight=0"]
    assert evaluate_run(tmp_path / "whole", planner=changed)["planner"] == changed
    plain = [text for text in overrides if not text.startswith(("planner.method", "planner.doubt", "planner.attempt"))]
    finish_steps(Practice(settings(plain, tmp_path / "plain")))
    with pytest.raises(UserError, match=r"planner\.method=meet does not go with what the planner of .* has learnt"):
        load(tmp_path / "plain", ["planner.method=meet"])


def test_a_planner_that_is_not_to_be_refitted_stays_as_it_is() -> None:
    made = planner(refit_steps=0, first_steps=2, doubt_steps=3)
    steps = [{name: value for name, value in made.fit(doorway(20)).items() if name.endswith("fit_steps")} for _ in range(2)]
    assert steps[0] == {"fit_steps": 2, "backward_fit_steps": 2, "doubt_fit_steps": 3}
    assert steps[1] == {}  # nothing is fitted, so there is nothing to say of it


def test_a_weight_below_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="doubt_weight = -1; expected a number of at least 0"):
        planner(doubt_weight=-1)
