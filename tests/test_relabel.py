"""Relabelling: where goals come from, in which proportion, and what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_cases import HORIZON, Doubling, episodes, picture, replay

from envs.errors import UserError
from gcrl.relabel import Relabel


def filled(lengths, capacity=100, pictures=False):
    store = replay(capacity, pictures)
    for number, length in enumerate(lengths):
        store.reencode(Doubling(), store.add(episodes(number, [length], pictures)), goals=False)
    return store


lengths_of_episodes = st.lists(st.integers(1, HORIZON), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(lengths_of_episodes, st.integers(0, 2**31))
def test_future_goals_come_from_the_same_episode_and_later(lengths, seed):
    store, generator = filled(lengths), np.random.default_rng(seed)
    rows = store.sample_transitions(128, generator)
    goals = Relabel(rollout=0, future=1, sampler=0)(store, rows, generator)
    here = store.read("achieved_goal", rows)
    assert (goals.achieved[:, 0] == here[:, 0]).all()
    assert (goals.achieved[:, 1] > here[:, 1]).all()
    assert np.array_equal(goals.params, 2 * goals.achieved)
    assert np.array_equal(store.read("achieved_goal", goals.rows), goals.achieved)


@settings(deadline=None, max_examples=30)
@given(lengths_of_episodes)
def test_final_is_the_true_last_frame_and_next_the_next(lengths):
    store, generator = filled(lengths), np.random.default_rng(0)
    rows = store.sample_transitions(64, generator)
    here = store.read("achieved_goal", rows)
    final = Relabel(rollout=0, future=0, final=1, sampler=0)(store, rows, generator)
    assert np.array_equal(final.achieved[:, 1], [lengths[int(episode)] for episode in here[:, 0]])
    assert (final.achieved[:, 0] == here[:, 0]).all()
    following = Relabel(rollout=0, future=0, next=1, sampler=0)(store, rows, generator)
    assert np.array_equal(following.rows, rows + 1)


def test_future_is_uniform_over_all_later_frames_the_last_included():
    store, generator = filled([10]), np.random.default_rng(0)
    goals = Relabel(rollout=0, future=1, sampler=0)(store, np.full(80_000, 2), generator)
    times, counts = np.unique(goals.achieved[:, 1], return_counts=True)
    assert times.tolist() == list(range(3, 11))
    assert abs(counts - 10_000).max() < 5 * 100


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 20), min_size=5, max_size=5).filter(any), st.integers(1, 300), st.integers(0, 1000))
def test_shares_differ_from_their_fractions_by_less_than_one_row(parts, n, seed):
    store, generator = filled([12, 12]), np.random.default_rng(seed)
    store.set_goal_pool(store.goals_at(np.array([26 - 1])))
    fractions = np.array(parts) / sum(parts)
    rows = np.zeros(n, dtype=np.int64)  # frame 0 of episode 0: what each part yields there can be told apart
    goals = Relabel(*fractions)(store, rows, generator)
    names = goals.achieved[:, 0], goals.achieved[:, 1]
    sampler = int((names[0] == 1).sum())
    rollout = int(((goals.params == 0).all(axis=1)).sum())
    assert abs(sampler - n * fractions[4]) < 1
    assert abs(rollout - n * fractions[0]) < 1
    if fractions[1] == 0:
        assert abs((names == np.array([[0], [12]])).all(axis=0).sum() - n * fractions[2]) < 1
        assert abs((names == np.array([[0], [1]])).all(axis=0).sum() - n * fractions[3]) < 1


def test_shares_are_exact_in_expectation_even_of_single_rows():
    store, generator, mix = filled([12, 12]), np.random.default_rng(0), Relabel(rollout=0.3, future=0.7, sampler=0)
    rollout = sum(mix(store, np.array([3]), generator).rows[0] == -1 for _ in range(4000))
    assert abs(rollout - 1200) < 5 * np.sqrt(4000 * 0.21)


def test_rollout_goals_are_those_of_the_episode_and_goalless_episodes_get_any_stored_frame():
    store, generator = replay(100, False), np.random.default_rng(0)
    some = episodes(3, [8, 8], False)
    some.goals[1] = np.nan
    store.reencode(Doubling(), store.add(some), goals=False)
    goals = Relabel(rollout=1, future=0, sampler=0)(store, np.tile([0, 12, 5, 9], 100), generator)
    with_goal = np.tile([True, False], 200)
    assert (goals.params[with_goal] == [-3, 0, 0]).all()
    assert (goals.achieved[with_goal] == [-3, 0, 0]).all()
    assert set(goals.rows[~with_goal].tolist()) == set(range(18))  # no hindsight: frames of both episodes, earlier ones too
    assert np.array_equal(goals.achieved[~with_goal], store.read("achieved_goal", goals.rows[~with_goal]))


def test_pictures_belong_to_the_goals():
    store, generator = filled([12] * 6, pictures=True), np.random.default_rng(0)
    store.set_goal_pool(store.goals_at(store.sample_rows(30, generator)))
    rows = store.sample_transitions(200, generator)
    goals = Relabel(rollout=0.25, future=0.25, final=0.1, next=0.1, sampler=0.3)(store, rows, generator)
    images = goals.images
    for index in range(200):
        if goals.rows[index] >= 0:
            episode, t = goals.achieved[index, :2].astype(int)
        else:
            episode, t = int(-goals.params[index, 0]), 0
        assert np.array_equal(images[index], picture(episode, t))


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"rollout": 0.5, "future": 0.6, "sampler": 0}, "sum to 1.1 .*expected a sum of 1"),
        ({"rollout": -0.1, "future": 0.8}, "relabel.rollout=-0.1; expected a fraction between 0 and 1"),
        ({"future": "most"}, "relabel.future='most'"),
    ],
)
def test_fractions_that_make_no_mix_are_refused(fractions, message):
    with pytest.raises(UserError, match=message):
        Relabel(**fractions)


def test_a_missing_pool_is_named():
    store = filled([5])
    with pytest.raises(UserError, match=r"relabel.sampler=0.3 needs sampler goals"):
        Relabel()(store, np.zeros(20, dtype=np.int64), np.random.default_rng(0))
