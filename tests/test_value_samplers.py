"""Samplers that ask the agent what is in reach (MEGA, DISCOVER), and mixtures of samplers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_cases import COMMON, differences, finish_steps, outcome, settings
from test_samplers import achieved, fit, heavy_mode, image_context, state_context

from envs.errors import UserError
from gcrl.practice import Practice
from goal_samplers.api import Goals, GoalSampler
from goal_samplers.commanded import Commanded
from goal_samplers.densities.kde import KDE
from goal_samplers.discover import Discover
from goal_samplers.made_up import made_up, representation_of
from goal_samplers.mega import MEGA
from goal_samplers.mixture import Mixture
from goal_samplers.neighbours import Neighbours
from goal_samplers.prior import Prior
from goal_samplers.single import Single
from goal_samplers.skewfit import SkewFit
from goal_samplers.uniform import Uniform


def valued(context, disagreement=lambda goals: np.zeros(len(goals), np.float32)):
    """Let the agent's return toward a goal be minus ten times the distance, and offer the corner (1, 1) as the task's only goal."""
    at = lambda rows: context.experience.read("latent", rows)  # noqa: E731
    context.value = lambda rows, goals: -10 * np.linalg.norm(at(rows) - goals, axis=-1)
    context.value_spread = lambda rows, goals: disagreement(goals)
    corner = np.ones((1, context.experience.read("latent", np.zeros(1, int)).shape[1]), np.float32)
    context.commanded = lambda n, generator: Goals(np.repeat(corner, n, axis=0), np.full(n, -1))
    return context


def every_sampler():
    return [
        MEGA(KDE(bandwidth=0.1), cutoff=None),
        MEGA(KDE(), candidates=50, choices=3),
        Discover(),
        Neighbours(),
        Mixture(MEGA(KDE()), Uniform()),
        Mixture(Uniform(), Discover(), share=1.0),
    ]


@pytest.mark.parametrize("index", range(len(every_sampler())))
@pytest.mark.parametrize("arguments", [{}, {"count": 2}, {"identical": True}, {"latent_dim": 1}, {"count": 1}])
def test_every_sampler_proposes_stored_frames_of_any_experience(index, arguments):
    sampler, context = every_sampler()[index], valued(image_context(**arguments))
    assert isinstance(sampler, GoalSampler)
    for _ in range(2):  # before and after a fit
        goals = sampler.sample(context, 5)
        assert goals.shape == (5,)
        assert ((goals >= 0) & (goals < context.experience.size)).all()
        assert np.isfinite(list(fit(sampler, context).values())).all()


@pytest.mark.parametrize("index", range(len(every_sampler())))
def test_no_experience_is_a_clear_error(index):
    empty = valued(image_context())
    for key, values in empty.experience.columns.items():
        empty.experience.columns[key] = values[:0]
    with pytest.raises(UserError, match="at least 1 stored frame"):
        every_sampler()[index].sample(empty, 3)


# MEGA


def test_mega_practises_what_is_rare():
    context = state_context(heavy_mode(2))
    sampler = MEGA(KDE("achieved_goal", bandwidth=0.1), cutoff=None)
    fit(sampler, context)
    goals = achieved(context, sampler.sample(context, 500))
    assert (np.abs(goals - 0.5) < 0.05).all(axis=1).mean() < 0.01
    assert np.linalg.norm(goals - 0.5, axis=1).mean() > 0.35  # rarer than uniform (0.38 less the mode): the edges, where kernels end


def test_mega_stays_in_reach_and_takes_the_nearest_where_nothing_is():
    context = valued(state_context(heavy_mode(2)))
    start = np.zeros(2, np.float32)
    columns = context.experience.columns
    context.experience.columns = {key: np.concatenate([[start], values]).astype(np.float32) for key, values in columns.items()}
    context.experience.episodes = lambda: (np.zeros(1, int), np.array([6000]))  # one long episode, from the corner (0, 0)
    near, nearest = MEGA(KDE(), cutoff=-6.0, choices=1000), MEGA(KDE(), cutoff=-0.01, choices=50)
    metrics = fit(near, context)
    goals = achieved(context, near.sample(context, 300))
    assert np.linalg.norm(goals, axis=1).max() <= 0.6
    assert 0 < metrics["in_reach"] < 0.3
    fit(nearest, context)
    chosen = np.linalg.norm(achieved(context, nearest.sample(context, 300)), axis=1)
    everywhere = np.linalg.norm(context.experience.columns["latent"], axis=1)
    assert np.median(chosen) < np.quantile(everywhere, 0.05)


def test_the_cutoff_follows_the_share_of_goals_reached():
    context = valued(state_context(heavy_mode(2)))
    sampler = MEGA(KDE(), cutoff=-3.0, step=1.0, lowest=-5.0)
    seen = []
    for reached in (float("nan"), 0.5, 0.7, 0.9, 1.0, 0.3, 0.0, 0.1):
        context.reached = reached
        seen.append(fit(sampler, context)["cutoff"])
    assert seen == [-3.0, -3.0, -4.0, -5.0, -5.0, -4.0, -3.0, -3.0]


# DISCOVER


def test_discover_weighs_what_is_in_reach_against_what_leads_to_the_goal():
    distances = {}
    for balance in (0.0, 1.0):
        context = valued(state_context(np.random.default_rng(0).random((2000, 2))))
        context.experience.episodes = lambda: (np.zeros(1, int), np.array([1999]))
        start = context.experience.read("latent", np.zeros(1, int))[0]
        goals = achieved(context, Discover(balance=balance).sample(context, 200))
        distances[balance] = np.linalg.norm(goals - start, axis=1).mean(), np.linalg.norm(goals - 1.0, axis=1).mean()
    assert distances[1.0][0] < 0.25 < distances[0.0][0]
    assert distances[0.0][1] < 0.25 < distances[1.0][1]


def test_discover_is_drawn_to_where_the_critics_disagree():
    left = lambda goals: 100.0 * (goals[:, 0] < 0.2).astype(np.float32)  # noqa: E731
    shares = []
    for bonus in (0.0, 1.0):
        context = valued(state_context(np.random.default_rng(0).random((2000, 2))), left)
        goals = achieved(context, Discover(balance=1.0, bonus=bonus).sample(context, 200))
        shares.append((goals[:, 0] < 0.2).mean())
    assert shares[0] < 0.5
    assert shares[1] == 1.0


def test_the_balance_moves_toward_reach_while_too_little_is_reached():
    context = valued(state_context(heavy_mode(2)))
    sampler, seen = Discover(balance=0.5, rate=0.5), []
    for reached in (float("nan"), 0.5, 0.0, 0.0, 0.0, 1.0):
        context.reached = reached
        seen.append(fit(sampler, context)["balance"])
    assert seen == [0.5, 0.5, 0.75, 1.0, 1.0, 0.75]


# mixtures


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mixture_gives_each_sampler_its_share_in_random_order(share):
    context = valued(state_context(np.random.default_rng(0).random((50, 2))))
    proposed = [Mixture(Commanded(), Uniform(), share=share).sample(context, 10) for _ in range(40)]
    if share == 0.0:
        assert all(goals.shape == (10,) for goals in proposed)
        return
    commanded = np.array([goals.rows < 0 for goals in proposed])
    assert abs(commanded.sum(axis=1) - 10 * share).max() < 1
    for goals, own in zip(proposed, commanded):
        np.testing.assert_array_equal(goals.params[own], np.ones((own.sum(), 2)))
        np.testing.assert_array_equal(goals.params[~own], context.experience.read("latent", goals.rows[~own]))
    if share == 0.3:  # every place is the commanded goals' at some time
        assert (commanded.mean(axis=0) > 0).all()


def test_a_mixture_tells_of_every_goal_what_its_part_tells():
    context = image_context()
    goals = Mixture(Prior(), Uniform()).sample(context, 20)
    stored = goals.rows >= 0
    assert stored.sum() == 10
    np.testing.assert_array_equal(goals.images[stored], context.experience.read("image", goals.rows[stored]))
    np.testing.assert_array_equal(goals.images[~stored], context.representation.decode(goals.params[~stored]))
    assert np.isnan(goals.achieved[~stored]).all()
    assert np.isfinite(goals.achieved[stored]).all()
    starts = Goals(np.ones((4, 8), np.float32), np.full(4, -1), starts=np.ones((4, 3)))
    context.commanded = lambda n, generator: Goals(starts.params[:n], starts.rows[:n], starts=starts.starts[:n])
    mixed = Mixture(Commanded(), Uniform()).sample(context, 8)
    np.testing.assert_array_equal(np.isfinite(mixed.starts).all(axis=1), mixed.rows < 0)


def test_a_mixture_needs_and_weighs_what_its_parts_do():
    mixture = Mixture(Uniform(), Mixture(Discover(), SkewFit(KDE(), candidates=77)))
    assert mixture.needs_commanded
    assert mixture.needs_value
    assert mixture.candidates == 77
    assert not hasattr(Mixture(Uniform(), Commanded()), "log_weights")
    assert Mixture(Prior(), Uniform()).imagines
    assert not Mixture(Uniform(), MEGA(KDE(), cutoff=None)).needs_value


# what is wrong


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MEGA("kde"), "MEGA: density = str; expected a Density"),
        (lambda: MEGA(KDE(), choices=0), "choices = 0; expected at least 1"),
        (lambda: MEGA(KDE(), step=-1.0), "step = -1.0"),
        (lambda: MEGA(KDE(), cutoff=-60.0), "lowest = -50.0; expected at most the cutoff, -60.0"),
        (lambda: MEGA(KDE()).load_state_dict({}), "no 'cutoff'"),
        (lambda: Discover(balance=2), "balance = 2; expected a share"),
        (lambda: Discover(bonus=-1), "bonus = -1"),
        (lambda: Discover(targets=0), "targets = 0"),
        (lambda: Discover().load_state_dict({}), "no 'balance'"),
        (lambda: Mixture(Uniform(), "uniform"), "second = str; expected a goal sampler"),
        (lambda: Mixture(Uniform(), Uniform(), share=1.5), "share = 1.5"),
        (lambda: Mixture(Uniform(), Uniform()).load_state_dict({"first": {}}), "no 'second'"),
        (lambda: MEGA(KDE()).fit(state_context(heavy_mode(1)), None), "MEGA asks the agent for values"),
        (lambda: Discover().sample(state_context(heavy_mode(1)), 3), "at least two critics"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(make, words):
    with pytest.raises(UserError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


# in the loop

POINTS = [
    "experiment=fetch_reach",
    "env=corridor",
    "agent=sac",
    "agent.hidden=[16,16]",
    "agent.batch_size=16",
    "relabel=mix",
    *COMMON,
    "practice.pool_size=32",
    "practice.updates_per_epoch=10",
    "practice.final_goals=2",
    "practice.eval_episodes=2",
]
MIX = ["goal_sampler=mixture", "goal_sampler.first=mega", "goal_sampler.second=discover", "goal_sampler.share=0.7"]


@pytest.mark.parametrize("sampler", [["goal_sampler=mega"], ["goal_sampler=discover"], MIX])
def test_a_run_that_stopped_goes_on_as_if_it_had_not(sampler: list[str], tmp_path: Path) -> None:
    through = Practice(settings(POINTS, tmp_path / "through", *sampler))
    finish_steps(through)
    assert 0.0 <= through.learner.reached <= 1.0
    stopped = Practice(settings(POINTS, tmp_path / "stopped", *sampler))
    for _ in range(2):
        stopped.step()
    stopped.close()
    resumed = Practice(settings(POINTS, tmp_path / "stopped", *sampler), resume=True)
    finish_steps(resumed)
    assert differences(outcome(tmp_path / "through"), outcome(tmp_path / "stopped")) == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["agent=gcbc", "relabel=future", "goal_sampler=mega"], "MEGA needs an agent with values, and GCBC has none"),
        (["agent=ddpg", "goal_sampler=discover"], "Discover needs critics that may disagree, and TD3 has no two"),
    ],
)
def test_an_agent_that_cannot_be_asked_is_refused_before_anything_is_collected(overrides, words, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        Practice(settings(POINTS, tmp_path / "run", *overrides))


# Neighbours and Single


def test_what_is_far_from_its_neighbours_is_practised():
    context = state_context(heavy_mode(2))
    goals = achieved(context, Neighbours(neighbours=5, choices=50).sample(context, 500))
    assert (np.abs(goals - 0.5) < 0.05).all(axis=1).mean() < 0.01  # the crowd in the middle is most of the data
    alone = np.linalg.norm(goals[:, None] - context.experience.read("achieved_goal", np.arange(context.experience.size))[None], axis=2)
    anyone = achieved(context, Uniform().sample(context, 500))
    others = np.linalg.norm(anyone[:, None] - context.experience.read("achieved_goal", np.arange(context.experience.size))[None], axis=2)
    assert np.sort(alone, axis=1)[:, 1:6].mean() > 3 * np.sort(others, axis=1)[:, 1:6].mean()


@pytest.mark.parametrize("argument", ["neighbours", "candidates", "choices"])
def test_neighbours_refuses_numbers_below_one(argument):
    with pytest.raises(UserError, match=f"{argument} = 0; expected at least 1"):
        Neighbours(**{argument: 0})


def test_a_single_goal_is_the_same_one_always_and_another_by_its_number():
    context = made_up(representation_of(2, pictures=True))
    first = Single().sample(context, 7)
    assert (first.params == first.params[0]).all()
    assert first.images.shape == (7, 16, 16, 3)
    assert np.array_equal(Single().sample(context, 2).params, first.params[:2])
    assert not np.array_equal(Single(goal=1).sample(context, 2).params, first.params[:2])
    with pytest.raises(UserError, match="expected at least 0"):
        Single(goal=-1)
    context.commanded = None
    with pytest.raises(UserError, match="not offered here"):
        Single().sample(context, 2)
