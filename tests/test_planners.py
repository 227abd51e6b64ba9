"""Subgoal planners: paths over stored frames, plans gone through in episodes, and what planners may not return."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from run_cases import BITFLIP, DOOR, differences, finish_steps, outcome, settings

import envs
import gcrl
from envs.errors import UserError
from gcrl.aims import Aims
from gcrl.finite import NotFinite
from gcrl.metrics_log import read_metrics
from gcrl.plan_quality import PlanQuality, fallback_warning
from gcrl.policy import Policy
from gcrl.practice import Practice
from gcrl.report import film
from gcrl.subgoals import Subgoals, planned
from goal_samplers.goal_space import LatentGoals
from goal_samplers.made_up import made_up, representation_of
from goal_samplers.planners.api import PlanContext
from goal_samplers.planners.direct import Direct
from goal_samplers.planners.shortest_path import ShortestPath, spread
from representations.identity import Identity

LONGEST = 0.4


def walled_plan(walled: bool = True, **arguments):
    """Return a planner that was fitted to made-up frames, between whose two halves values see a wall, with a gap at its top."""
    context = made_up(representation_of(2, pictures=False))
    experience = context.experience

    def value(rows, goals):
        here = experience.read("latent", rows)
        blocked = (np.sign(here[:, 0]) != np.sign(goals[:, 0])) & (np.maximum(here[:, 1], goals[:, 1]) < 0) & walled
        return np.where(blocked, -1000, -np.linalg.norm(here - goals, axis=1)).astype(np.float32)

    planner = ShortestPath(LatentGoals(2), **({"longest": LONGEST, "discount": 1.0, "landmarks": 200} | arguments))
    metrics = planner.fit(replace(context, value=value))
    return planner, metrics, experience.read("latent", np.arange(experience.size))


def test_paths_are_of_short_ways_and_lead_round_what_the_values_say_cannot_be_passed() -> None:
    planner, metrics, seen = walled_plan()
    assert metrics["joined"] > 0.9
    start, goal = np.array([[-0.6, -0.5]], np.float32), np.array([[0.6, -0.5]], np.float32)
    plan = planner.plan(PlanContext(start), goal)[0]
    assert np.array_equal(plan[-1], goal[0])
    assert all((np.abs(seen - subgoal).sum(axis=1) < 1e-6).any() for subgoal in plan[:-1])  # stored frames
    hops = np.linalg.norm(np.diff(np.concatenate([start, plan]), axis=0), axis=1)
    assert hops[1:-1].max() <= LONGEST + 1e-5
    assert plan[:, 1].max() >= 0  # through the gap
    direct = walled_plan(walled=False)[0].plan(PlanContext(start), goal)[0]
    assert direct[:, 1].max() < -0.2


def test_plans_of_many_episodes_are_those_of_each_alone_and_repeat_their_goal() -> None:
    planner, _, seen = walled_plan()
    generator = np.random.default_rng(2)
    starts, goals = seen[generator.integers(len(seen), size=30)], seen[generator.integers(len(seen), size=30)]
    plans = planner.plan(PlanContext(starts), goals)
    assert len({len(np.unique(plan, axis=0)) for plan in plans}) > 2  # of several lengths
    for start, goal, plan in zip(starts, goals, plans):
        alone = planner.plan(PlanContext(start[None]), goal[None])[0]
        assert np.array_equal(plan[: len(alone)], alone)
        assert (plan[len(alone) - 1 :] == goal).all()


def test_where_no_path_leads_the_goal_is_the_plan() -> None:
    planner, metrics, _ = walled_plan(longest=1e-4)
    assert metrics["joined"] < 0.1
    start, goal = np.array([[-0.6, -0.5]], np.float32), np.array([[0.6, -0.5]], np.float32)
    assert np.array_equal(planner.plan(PlanContext(start), goal), goal[:, None])
    assert np.array_equal(ShortestPath(LatentGoals(2)).plan(PlanContext(start), goal), goal[:, None])  # nothing was fitted yet


def test_a_fitted_planner_goes_on_from_its_state() -> None:
    planner, _, seen = walled_plan()
    other = ShortestPath(LatentGoals(2))
    other.load_state_dict(planner.state_dict())
    assert np.array_equal(other.plan(PlanContext(seen[:5]), seen[-5:]), planner.plan(PlanContext(seen[:5]), seen[-5:]))


@given(st.floats(0, 200), st.sampled_from([(-1.0, 0.0), (0.0, 1.0), (-2.0, -1.0)]), st.sampled_from([0.9, 0.99]))
def test_values_are_read_as_the_steps_that_they_discount(steps: float, rewards: tuple[float, float], discount: float) -> None:
    low, high = rewards
    before = (1 - discount**steps) / (1 - discount)
    value = low * before + high * discount**steps / (1 - discount)  # low until it is there, high from then on
    planner = ShortestPath(LatentGoals(2), reward_range=rewards, discount=discount)
    assert planner.steps(np.array([value])) == pytest.approx(steps, rel=1e-3, abs=1e-3)


@examples(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_landmarks_are_spread(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(40, 3)).astype(np.float32)
    chosen = spread(points, n, generator)
    assert len(set(chosen.tolist())) == n
    between = np.linalg.norm(points[chosen][:, None] - points[chosen], axis=2)
    nearest = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1)
    if n > 1:
        assert between[~np.eye(n, dtype=bool)].min() >= nearest.max() - 1e-5  # no other point would have been farther away


# in episodes ---------------------------------------------------------------------------------------------------------


class Corner:
    """Plans one subgoal, a place that is the same for all."""

    replan = False

    def __init__(self, reach: float = 0.3, patience: int = 0, corner: tuple[float, float] = (0.5, 0.5)) -> None:
        self.reach, self.patience, self.corner = reach, patience, np.array(corner, np.float32)
        self.asked = 0

    def plan(self, context, goals):
        self.asked += 1
        return np.stack([np.repeat(self.corner[None], len(goals), axis=0), goals], axis=1)


class Straight:
    """An agent that goes straight to whatever goal it is told, and remembers them."""

    batch_size = 1

    def __init__(self) -> None:
        self.told: list[np.ndarray] = []

    def act(self, inputs, goals, explore=None):
        self.told.append(goals.copy())
        away = goals - inputs
        return (away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1)).astype(np.float32)


def walk(planner, steps: int = 12):
    """Walk from the origin to (0, -3) and (1, 0) by unit steps; return the agent."""
    space = envs.make("gcrl/Corridor-v0").observation_space
    agent = Straight()
    policy = Policy(Identity(space), agent, ("latent",), planner=planner)  # type: ignore[arg-type]
    goals, at, act = np.array([[0, -3], [1, 0]], np.float32), np.zeros((2, 2), np.float32), Subgoals(policy)
    for step in range(steps):
        at = at + 0.5 * act({"achieved_goal": at}, goals, [], step)
    return np.stack(agent.told)


def test_a_subgoal_is_aimed_at_until_it_is_reached_and_the_goal_from_then_on() -> None:
    planner = Corner()
    told = walk(planner)
    assert planner.asked == 1
    reached = int(np.argmax((told[:, 0] != planner.corner).any(axis=1)))
    assert 0 < reached < 6
    assert (told[:reached] == planner.corner).all()
    assert (told[reached:, 0] == [0, -3]).all()
    assert (walk(Direct())[:, 1] == [1, 0]).all()


@pytest.mark.parametrize("dwell", [1, 4])
def test_a_subgoal_is_dwelt_on_as_long_as_the_planner_says(dwell: int) -> None:
    planner = Corner()
    at_once = walk(planner, steps=20)
    planner.dwell = dwell
    later = walk(planner, steps=20)
    left = [(told != planner.corner).any(axis=2).argmax(axis=0) for told in (at_once, later)]
    assert (left[1] - left[0] == dwell).all()
    assert (later[-1] == [[0, -3], [1, 0]]).all()


@pytest.mark.parametrize("rest", [False, True])
def test_nothing_is_done_once_the_goal_was_there_for_as_long_as_the_planner_dwells(rest: bool) -> None:
    """Of two episodes one stands at its goal from the second step on, and is pushed away for a step later; the other never gets there."""
    planner = Corner(corner=(0.1, 0.1))
    planner.dwell, planner.rest = 2, rest
    space = envs.make("gcrl/Corridor-v0").observation_space
    policy = Policy(Identity(space), Straight(), ("latent",), planner=planner)  # type: ignore[arg-type]
    act, goals = Subgoals(policy), np.array([[3, 0], [0, 3]], np.float32)
    near, corner, off = [2.9, 0], [0, 0], [2, 0]
    places = [corner, corner, corner, corner, near, near, near, near, off, near, near, near]
    idle = [
        (act({"achieved_goal": np.array([place, off], np.float32)}, goals, [], step) == 0).all(axis=1) for step, place in enumerate(places)
    ]
    assert np.flatnonzero(np.array(idle)[:, 0]).tolist() == ([6, 7, 11] if rest else [])
    assert not np.array(idle)[:, 1].any()


@pytest.mark.parametrize(("replan", "asked"), [(False, 1), (True, 4)])
def test_a_subgoal_that_cannot_be_reached_is_given_up_or_planned_anew(replan: bool, asked: int) -> None:
    planner = Corner(patience=3, corner=(50, 50))
    planner.replan = replan
    told = walk(planner)
    assert (told[:3] == 50).all()
    assert planner.asked == asked
    assert (told[3:] == 50).all() == replan


@pytest.mark.parametrize(
    ("plans", "error", "match"),
    [
        (lambda goals: goals, UserError, r"planner Odd returned plans of shape \(2, 3\); expected \(2, at least 1, 3\)"),
        (lambda goals: goals[:, None, :2], UserError, "planner Odd returned plans of shape"),
        (lambda goals: goals[:, None] * np.nan, NotFinite, "a subgoal of planner Odd became nan"),
        (lambda goals: goals[:, None][:, :0], UserError, "at least 1"),
    ],
)
def test_what_is_no_plan_names_the_planner(plans, error, match) -> None:
    class Odd(Direct):
        def plan(self, context, goals):
            return plans(goals)

    policy = Policy(representation_of(3, pictures=False), Straight(), ("latent",), planner=Odd())  # type: ignore[arg-type]
    with pytest.raises(error, match=match):
        planned(policy, np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32))


PLANNED = [*BITFLIP, "planner=shortest_path", "planner.landmarks=20", "planner.candidates=200", "planner.longest=3", "planner.reach=0.5"]


def test_a_run_plans_while_it_practises_and_resumes_exactly(tmp_path: Path) -> None:
    whole, broken = (Practice(settings(PLANNED, tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    for _ in range(3):
        broken.step()
    broken.close()
    finish_steps(Practice(settings(PLANNED, tmp_path / "broken"), resume=True))
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []
    assert len(whole.learner.policy.planner.state_dict()["nodes"]) == 20


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="planner ShortestPath needs an agent with values, and GCBC has none"):
        Practice(settings(["experiment=door_state", "agent=gcbc", "relabel=future", "planner=shortest_path"], tmp_path / "run"))
    with pytest.raises(UserError, match=r"landmarks = 0; expected at least 1"):
        ShortestPath(LatentGoals(2), landmarks=0)
    with pytest.raises(UserError, match=r"reward_range = \[0.0, 0.0\]; expected \[low, high\]"):
        ShortestPath(LatentGoals(2), reward_range=(0.0, 0.0))


def test_a_run_from_pictures_films_the_subgoals(tmp_path: Path) -> None:
    """The report's arrays hold, for each step of a filmed episode, the decoded picture of what was aimed at."""
    folder = tmp_path / "run"
    overrides = ["planner=shortest_path", "planner.landmarks=10", "planner.candidates=50", "planner.longest=1000", "planner.patience=2"]
    practice = Practice(settings([*DOOR, *overrides, "practice.epochs=2", "practice.film_goals=2"], folder))
    practice.run()
    with np.load(folder / "evaluation.npz") as arrays:
        frames, aims, goals = arrays["frames"], arrays["aims"], arrays["film_goal_images"]
    assert aims.shape == frames.shape == (2, 11, 48, 48, 3)
    representation, planner = practice.learner.representation, practice.learner.policy.planner
    goal = representation.decode(representation.encode({"image": goals}))
    landmarks = representation.decode(planner.state_dict()["nodes"])
    known = np.concatenate([goal, landmarks]).astype(int)
    away = np.abs(aims.reshape(-1, 1, 48, 48, 3).astype(int) - known).mean(axis=(2, 3, 4)).min(axis=1)
    assert away.max() <= 1  # every aim is a landmark or the goal
    assert (aims[:, -1] == aims[:, -2]).all()


def test_film_shows_the_subgoals_beside_the_goal(tmp_path: Path) -> None:
    import imageio.v3 as imageio

    frames, aims = (np.full((1, 3, 48, 48, 3), shade, np.uint8) for shade in (40, 200))
    path = film(frames, np.full((1, 48, 48, 3), 120, np.uint8), tmp_path / "film.mp4", aims=aims)
    page = imageio.imread(path)[0].astype(int)
    for panel, shade in enumerate((120, 200, 40)):
        shown = page[20:180, 20 + panel * 200 : 180 + panel * 200]
        assert np.abs(shown - shade).mean() < 12


def test_aims_of_later_waves_belong_to_their_episodes() -> None:
    policy = Policy(representation_of(3, pictures=False), Straight(), ("latent",), planner=Corner(corner=(0.5, 0.5, 0.5)))  # type: ignore[arg-type]
    aims = Aims(Subgoals(policy), episodes=3, horizon=2)
    for wave in range(2):
        for step in range(2):
            aims({"achieved_goal": np.zeros((2, 3), np.float32)}, np.full((2, 3), wave, np.float32), [], step)
            aims.subgoals.at[:] = 1  # the goal itself from now on
    assert np.array_equal(aims.goals[:, 0], np.full((3, 3), 0.5))
    assert np.array_equal(aims.goals[:, 1, 0], [0, 0, 1])
    assert aims.pictures() is None  # no decoder


# how good plans are --------------------------------------------------------------------------------------------------------------


@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_the_figures_of_plans_are_those_of_their_subgoals(counts: list[int], seed: int) -> None:
    """Plans of known numbers of subgoals, the last one a known way from the goal; pieces are valued once each, up to the goal."""
    generator = np.random.default_rng(seed)
    starts, goals = (generator.normal(size=(len(counts), 3)).astype(np.float32) for _ in range(2))
    plans = np.repeat(goals[:, None], 5, axis=1)
    for plan, count in zip(plans, counts, strict=True):
        plan[:count] += generator.normal(size=(count, 3)).astype(np.float32) + 1
    valued: list[np.ndarray] = []

    def value(latents: np.ndarray, ends: np.ndarray) -> np.ndarray:
        valued.append(np.stack([latents, ends], axis=1))
        return -np.linalg.norm(latents - ends, axis=1)

    quality = PlanQuality()
    assert quality.figures() == {}
    quality.add(starts, goals, plans, value)
    figures, some = quality.figures(), [index for index, count in enumerate(counts) if count]
    assert figures["direct"] == pytest.approx(1 - len(some) / len(counts))
    assert figures["subgoals"] == pytest.approx(np.mean(counts))
    assert ("last_distance" in figures) == bool(some)
    if some:
        away = [np.linalg.norm(plans[index, counts[index] - 1] - goals[index]) for index in some]
        assert figures["last_distance"] == pytest.approx(np.mean(away), rel=1e-5)
        pieces = [
            (start, end)
            for index in some
            for start, end in zip([starts[index], *plans[index, : counts[index]]], plans[index, : counts[index] + 1], strict=True)
        ]
        assert len(valued[0]) == len(pieces)
        lengths = [np.linalg.norm(start - end) for start, end in pieces]
        assert (-figures["value_high"], -figures["value_low"]) == pytest.approx((min(lengths), max(lengths)), rel=1e-5)


def test_plans_that_are_mostly_the_goal_alone_are_warned_of() -> None:
    assert fallback_warning(Corner(), {"direct": 0.5}) == ""
    assert fallback_warning(Corner(), {}) == ""
    assert fallback_warning(Corner(), {"direct": 0.8}).startswith("warning: planner Corner fell back to the commanded goal in 80% of")


def test_a_run_whose_planner_finds_no_way_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A single landmark leads nowhere: every plan is the goal alone."""
    practice = Practice(settings([*PLANNED, "planner.landmarks=1", "practice.epochs=3"], tmp_path / "run"))
    practice.run()
    assert capsys.readouterr().err.count("warning: planner ShortestPath fell back to the commanded goal in 100% of") == 1
    summary = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert (summary["plan_direct"], summary["plan_subgoals"]) == (1.0, 0.0)
    assert {row["plans/direct"] for row in read_metrics(tmp_path / "run") if "plans/direct" in row} == {1.0}


def test_a_run_whose_planner_finds_ways_is_not_warned_of_what_it_could_not_know_untrained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["planner=ptp", "planner.scales=[1]", "planner.subgoals=2", "planner.first_steps=200", "planner.candidates=64"]
    small += ["planner.refit_steps=100", "practice.epochs=4"]
    practice = Practice(settings([*BITFLIP, "practice.inputs=[latent]", *small], tmp_path / "run"))
    practice.run()
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["plan_direct"] <= 0.5
    assert json.loads((tmp_path / "run" / "baselines.json").read_text())["untrained"]
    assert "fell back" not in capsys.readouterr().err


def test_a_loaded_run_acts_through_an_episode_by_its_subgoals(tmp_path: Path) -> None:
    finish_steps(Practice(settings([*BITFLIP, "practice.epochs=1"], tmp_path / "run")))
    run = gcrl.load(tmp_path / "run")
    goal, states = np.ones(5, np.float32), np.eye(5, dtype=np.float32)
    observations = [{"observation": state, "achieved_goal": state} for state in states]
    direct = run.toward(goal)
    assert [int(direct(seen)) for seen in observations] == [int(run.act(seen, goal)) for seen in observations]
    run.policy.planner = Corner(reach=0.1, corner=tuple(states[1]))  # type: ignore[assignment]
    planned_, corner = run.toward(goal), states[1]
    given = [int(planned_(seen)) for seen in observations]
    assert given[0] == int(run.act(observations[0], corner))
    assert given[1:] == [int(run.act(seen, goal)) for seen in observations[1:]]  # the second observation is the subgoal itself
