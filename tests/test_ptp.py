"""PTP: affordance models that know what can come, searches that find what is best, plans from coarse to fine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from run_cases import BITFLIP, differences, finish_steps, outcome, settings

import gcrl
from envs.errors import UserError
from gcrl.config import check_parts
from gcrl.evaluate import evaluate_run
from gcrl.practice import Practice
from gcrl.run import load
from goal_samplers.api import GoalContext
from goal_samplers.goal_space import LatentGoals
from goal_samplers.planners.affordance import Pairs
from goal_samplers.planners.api import PlanContext
from goal_samplers.planners.conformance import run_checks
from goal_samplers.planners.costs import ReachByValue
from goal_samplers.planners.ptp import PTP
from goal_samplers.planners.search import search
from representations.identity import Identity
from representations.made_up import Frames, made_up_space

STEPS, STRIDE = 24, 0.05
SMALL = {"scales": [8, 4], "subgoals": 8, "hidden": 48, "codes": 2, "candidates": 128, "first_steps": 400, "batch_size": 128, "lr": 3e-3}


def crossroads(episodes: int = 200) -> GoalContext:
    """Return walks on the plane that go straight along one axis, either way, by STRIDE a step."""
    generator = np.random.default_rng(5)
    ways = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])[generator.integers(4, size=episodes)]
    starts = generator.uniform(-1, 1, (episodes, 2))
    states = starts[:, None] + STRIDE * np.arange(STEPS + 1)[:, None] * ways[:, None]
    columns = {"latent": states.reshape(-1, 2).astype(np.float32)}
    return GoalContext(Frames(columns, STEPS), Identity(made_up_space(2)), np.random.default_rng(6))


def planner(**given) -> PTP:
    return PTP(LatentGoals(2), given.pop("cost", ReachByValue(value_weight=0)), **(SMALL | given))


@pytest.fixture(scope="module")
def fitted() -> PTP:
    made = planner()
    metrics = made.fit(crossroads())
    assert metrics["moved"] == pytest.approx(4 * STRIDE, rel=0.01)
    assert metrics["best_of_64"] < 0.2 * metrics["moved"]
    return made


def test_affordances_are_what_came_that_many_steps_later(fitted: PTP) -> None:
    models, codes = fitted.affordances, torch.randn(400, 1, 2, generator=torch.Generator().manual_seed(0))
    for level, scale in enumerate((8, 4)):
        z = models.standardised(np.zeros((400, 2), np.float32))
        moved = models.latents(models.unrolled(level, z, codes)[:, 0])
        assert np.abs(moved).max(axis=1).mean() == pytest.approx(scale * STRIDE, rel=0.2)
        directions = {(int(axis), bool(row[axis] > 0)) for row, axis in zip(moved, np.abs(moved).argmax(axis=1))}
        assert len(directions) == 4


def test_pairs_lie_in_one_episode_that_many_steps_apart() -> None:
    columns = {"latent": np.arange(3 * 11, dtype=np.float32)[:, None]}
    pairs = Pairs(Frames(columns, 10), 4)
    rows, left = pairs.draw(2000, np.random.default_rng(0))
    assert (rows // 11 == (rows + 4 * left) // 11).all()
    assert set(rows % 11) == set(range(7))
    assert np.array_equal(left, (10 - rows % 11) // 4)
    with pytest.raises(UserError, match="affordances of 11 steps need an episode as long; the longest stored one has 10"):
        Pairs(Frames(columns, 10), 11)


@pytest.mark.parametrize("method", ["mppi", "cem"])
def test_a_search_finds_what_costs_least_for_each_problem_on_its_own(method: str) -> None:
    wanted = torch.tensor([[0.5, -1.0], [-1.5, 1.0], [0.0, 0.3]])[:, None]

    def costs(of: torch.Tensor):
        return lambda codes: (codes - of[:, None]).square().sum((2, 3))

    settings_ = {"method": method, "candidates": 256, "iterations": 6, "temperature": 0.1, "seed": 3}
    found = search(costs(wanted), 3, 1, 2, **settings_)
    assert (found - wanted).abs().max() < 0.25
    assert torch.allclose(search(costs(wanted[1:2]), 1, 1, 2, **settings_), found[1:2], atol=1e-5)


def test_plans_lead_to_goals_by_ways_that_are_possible_and_stop_there(fitted: PTP) -> None:
    starts, goals = np.array([[-0.4, -0.4], [0, 0]], np.float32), np.array([[0.4, 0.0], [0.0, 0.35]], np.float32)
    plans = fitted.plan(PlanContext(starts), goals)
    assert plans.shape == (2, 8, 2)
    assert (plans[:, -1] == goals).all()
    for start, plan in zip(starts, plans):
        hops = np.linalg.norm(np.diff(np.concatenate([start[None], plan]), axis=0), axis=1)
        assert hops.max() < 2.5 * 4 * STRIDE
    assert len(np.unique(plans[1], axis=0)) < len(np.unique(plans[0], axis=0))  # a nearer goal takes fewer


def test_a_goal_that_no_plan_gets_nearer_to_is_aimed_at_directly() -> None:
    backwards = planner(cost=lambda paths, goals, codes, value: -np.linalg.norm(paths[:, 1:] - goals[:, None], axis=2).astype(np.float32))
    backwards.fit(crossroads())
    goal = np.array([[0.4, 0.0]], np.float32)
    assert (backwards.plan(PlanContext(np.zeros((1, 2), np.float32)), goal)[0] == goal).all()


def test_values_keep_plans_from_ways_that_are_not_trusted() -> None:
    paths = np.array([[[0, 0], [1, 0], [2, 0]], [[0, 0], [0, 1], [2, 0]]], np.float32)
    goals, codes = np.array([[2, 0], [2, 0]], np.float32), np.zeros((2, 2, 3), np.float32)
    value = lambda latents, ends: -10 * np.linalg.norm(latents - ends, axis=1)  # noqa: E731
    plain = ReachByValue(value_weight=0.1)(paths, goals, codes, value)
    assert np.allclose(plain[0], [1 + 1, 0 + 2])
    trusted = ReachByValue(value_weight=0.1, trusted=-10)(paths, goals, codes, value)
    assert np.allclose(trusted[0], [1, 0])
    assert trusted[1, 1] > 1
    with pytest.raises(UserError, match="this agent has none"):
        ReachByValue()(paths, goals, codes, None)


def test_the_way_counts_where_it_is_told_to() -> None:
    paths = np.array([[[0, 0], [1, 0], [2, 0]], [[0, 0], [1, 3], [2, 0]]], np.float32)
    goals, codes = np.array([[2, 0], [2, 0]], np.float32), np.zeros((2, 2, 3), np.float32)
    free = ReachByValue(value_weight=0)(paths, goals, codes, None)
    assert free[0, 1] == free[1, 1]
    weighed = ReachByValue(value_weight=0, way_weight=0.1)(paths, goals, codes, None)
    assert np.allclose(weighed - free, 0.1 * np.array([[1, 2], [10**0.5, 2 * 10**0.5]]))


@pytest.mark.parametrize("refit_steps", [0, 3])
def test_a_planner_told_not_to_refit_plans_as_before_whatever_is_practised(refit_steps: int) -> None:
    """Later episodes lie elsewhere and are five times as wide, which a scale of their own would show."""
    made = planner(refit_steps=refit_steps, first_steps=50, doubt_weight=0.1, doubt_steps=20, iterations=2)
    first, later = crossroads(), crossroads(50)
    later.experience.columns["latent"] = 5 * later.experience.columns["latent"] + 3  # type: ignore[attr-defined]
    made.fit(first)
    context, goals = PlanContext(np.zeros((1, 2), np.float32)), np.array([[0.4, 0]], np.float32)
    before = made.plan(context, goals)
    made.fit(later)
    after = made.plan(context, goals)
    assert (before.shape == after.shape and np.array_equal(before, after)) == (refit_steps == 0)


def test_it_keeps_the_contract_of_planners() -> None:
    make = lambda space: PTP(space, ReachByValue(), **(SMALL | {"first_steps": 20, "candidates": 32, "iterations": 2}))  # noqa: E731
    assert [problem for check in run_checks(make) for problem in check.problems] == []


def test_a_run_sends_its_values_along_and_resumes_exactly(tmp_path: Path) -> None:
    small = ["planner=ptp", "planner.scales=[2,1]", "planner.subgoals=2", "planner.first_steps=5", "planner.refit_steps=2"]
    overrides = [*BITFLIP, "practice.inputs=[latent]", *small, "planner.candidates=8", "planner.iterations=2", "planner.hidden=8"]
    whole, broken = (Practice(settings(overrides, tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    for _ in range(3):
        broken.step()
    broken.close()
    finish_steps(Practice(settings(overrides, tmp_path / "broken"), resume=True))
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []
    learner, values = whole.learner, whole.learner.policy.snapshot()["values"]
    inputs, goals = np.eye(5, dtype=np.float32), np.ones((5, 5), np.float32)
    other = Practice(settings(overrides, tmp_path / "other")).learner.agent
    before = other.value(inputs, goals)
    other.load_actor_state(learner.agent.actor_state())
    other.load_value_state(values)
    assert not np.allclose(other.value(inputs, goals), before)
    assert np.array_equal(other.value(inputs, goals), learner.agent.value(inputs, goals))


@pytest.fixture(scope="module")
def practised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = ["planner=ptp", "planner.scales=[2,1]", "planner.subgoals=4", "planner.first_steps=5", "planner.refit_steps=2"]
    folder = tmp_path_factory.mktemp("practised") / "run"
    small += ["planner.codes=2", "planner.candidates=8", "planner.iterations=2", "planner.hidden=8", "practice.inputs=[latent]"]
    finish_steps(Practice(settings([*BITFLIP, *small], folder)))
    return folder


def test_a_run_is_evaluated_with_other_settings_of_its_planner_or_without_it(practised: Path) -> None:
    own = evaluate_run(practised)
    assert "planner" not in own
    fewer = evaluate_run(practised, planner=["planner.subgoals=2", "planner.cost.way_weight=0.5"])
    assert fewer["plan_subgoals"] < own["plan_subgoals"]
    assert fewer["planner"] == ["planner.subgoals=2", "planner.cost.way_weight=0.5"]
    assert not [name for name in evaluate_run(practised, planner=["planner=none"]) if name.startswith("plan_")]
    assert isinstance(gcrl.load(practised, {"cost": "test_ptp:NearestEnd"}).policy.planner._cost, NearestEnd)
    assert evaluate_run(practised) == own  # and nothing of that is left behind


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("agent=sac", "agent=sac: of a run that has been practised only the planner may change; expected planner=NAME"),
        ("planner.subgoalz=2", "planner.subgoalz.*did you mean 'planner.subgoals'"),
        ("planner.codes=3", "planner.codes=3 does not go with what the planner of .* has learnt"),
        ("planner=shortest_path", "this planner learns while a run practises.*expected that one, or one that learns nothing"),
        ("planner=nnoe", "unknown planner 'nnoe'.*did you mean 'none'"),
        ("planner.cost=valve", "'valve'.*did you mean 'value'"),
        ("planner.scales.x=1", "planner.scales.x=1"),
    ],
)
def test_a_planner_that_does_not_go_with_the_run_is_refused(practised: Path, given: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        load(practised, [given])


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"scales": [10, 4]}, r"scales = \[10, 4\]; expected numbers of steps, each half"),
        ({"subgoals": 3}, "subgoals = 3 at 2 scales; expected a multiple of 2"),
        ({"method": "cme"}, "unknown PTP method 'cme'.*cem"),
        ({"candidates": 0}, "candidates = 0; expected at least 1"),
        ({"dwell": -1}, "dwell = -1; expected a number of steps"),
        ({"reach": 0.0}, "reach = 0.0; expected a positive number"),
    ],
)
def test_arguments_out_of_range_are_refused(given, match: str) -> None:
    with pytest.raises(UserError, match=match):
        planner(**given)


class NearestEnd:
    """A cost of one's own, with an argument of its own."""

    by_value = False

    def __init__(self, power: float = 1.0) -> None:
        self.power = power

    def __call__(self, paths, goals, codes, value):
        return np.linalg.norm(paths[:, 1:] - goals[:, None], axis=2).astype(np.float32) ** self.power


def test_a_cost_of_ones_own_takes_the_place_of_ours_and_of_what_a_preset_said_of_it(tmp_path: Path) -> None:
    chosen = settings(["experiment=ptp_drawer", "planner.cost=test_ptp:NearestEnd", "planner.cost.power=2"], tmp_path / "run")
    assert chosen.planner.arguments["cost"] == {"target": "test_ptp:NearestEnd", "power": 2}
    check_parts(chosen)
    small = ["planner=ptp", "planner.cost=test_ptp:NearestEnd", "planner.scales=[2]", "planner.subgoals=2", "planner.first_steps=2"]
    run = Practice(settings([*BITFLIP, "practice.inputs=[observation]", *small, "planner.candidates=8"], tmp_path / "run"))
    run.step()
    run.close()
    with pytest.raises(UserError, match=r"planner.cost: the chosen planner has no cost; expected planner=ptp"):
        settings(["planner=none", "planner.cost=test_ptp:NearestEnd"], tmp_path / "run")


def test_a_cost_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"planner.cost: envs.bitflip:BitFlipEnv lacks the method '__call__'"):
        check_parts(settings([*BITFLIP, "planner=ptp", "planner.cost=envs.bitflip:BitFlipEnv"], tmp_path / "run"))


def test_a_policy_that_sees_more_than_latents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"planner PTP asks the agent about latents alone.*expected practice.inputs=\[latent\]"):
        Practice(settings([*BITFLIP, "practice.inputs=[observation]", "planner=ptp"], tmp_path / "run"))


def test_without_values_a_policy_may_see_more_than_latents_and_no_values_are_sent_along(tmp_path: Path) -> None:
    small = ["planner.scales=[2]", "planner.subgoals=2", "planner.first_steps=2", "planner.candidates=8", "planner.cost.value_weight=0"]
    run = Practice(settings([*BITFLIP, "practice.inputs=[observation]", "planner=ptp", *small], tmp_path / "run"))
    run.step()
    assert "values" not in run.learner.policy.snapshot()
    run.close()
