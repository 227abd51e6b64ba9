"""Replay: what lies where, what eviction leaves behind, and that latents and goals follow the representation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_cases import ACTIONS, HORIZON, Doubling, Seeing, episodes, frame, picture, replay, space

from envs.errors import UserError
from gcrl.data import Header, Reader, Writer
from gcrl.ring import Ring
from goal_samplers.api import Goals
from representations.api import Experience


def some_lengths(seed, n):
    """Return `n` batches of episode lengths, the shortest and the longest often, so that rings wrap at every kind of place."""
    generator = np.random.default_rng(seed)
    return [generator.choice([1, 2, 5, HORIZON - 1, HORIZON], size=generator.integers(1, 4)).tolist() for _ in range(n)]


batches_of_lengths = st.builds(some_lengths, st.integers(0, 2**31), st.integers(1, 60))


def filled(lengths, capacity=100, pictures=False):
    store, count = replay(capacity, pictures), 0
    for batch in lengths:
        store.add(episodes(count, batch, pictures))
        count += len(batch)
    return store, count


@settings(deadline=None, max_examples=60)
@given(batches_of_lengths, st.integers(55, 120))
def test_every_transition_joins_neighbours_of_one_episode_whatever_was_evicted(lengths, capacity):
    store, _ = filled(lengths, capacity)
    rows = store.sample_transitions(200, np.random.default_rng(0))
    here, there = store.read("achieved_goal", rows), store.read("achieved_goal", rows + 1)
    assert (here[:, 0] == there[:, 0]).all()
    assert (here[:, 1] + 1 == there[:, 1]).all()
    assert np.allclose(store.read("action", rows), here[:, :2] / 1000)


@settings(deadline=None, max_examples=60)
@given(batches_of_lengths, st.integers(55, 120))
def test_the_newest_episodes_are_kept_whole_in_order_and_the_oldest_go(lengths, capacity):
    store, count = filled(lengths, capacity)
    first, steps = store.episodes()
    flat = [length for batch in lengths for length in batch]
    assert steps.tolist() == flat[count - len(steps) :]
    for number, row, length in zip(range(count - len(steps), count), first, steps):
        expected = [frame(number, t) for t in range(length + 1)]
        assert np.array_equal(store.read("achieved_goal", np.arange(row, row + length + 1)), expected)
    used = np.concatenate([np.arange(row, row + length + 1) for row, length in zip(first, steps)])
    assert len(np.unique(used)) == len(used) == store.size
    # Nothing was evicted without need: one more of the longest episodes always leaves at least this much in use.
    assert store.size > capacity - 3 * (HORIZON + 1) or len(steps) == count


@settings(deadline=None, max_examples=40)
@given(batches_of_lengths, st.integers(55, 120), st.integers(1, 59))
def test_a_restored_ring_places_later_episodes_where_the_first_would(lengths, capacity, cut):
    flat = [length for batch in lengths for length in batch]
    whole, early, late = Ring(capacity), Ring(capacity), Ring(capacity)
    for length in flat:
        whole.place(length)
    for length in flat[:cut]:
        early.place(length)
    late.load_state_dict(early.state_dict())
    for length in flat[cut:]:
        late.place(length)
    assert np.array_equal(whole.starts(), late.starts())
    assert np.array_equal(whole.last, late.last)
    assert np.array_equal(whole.number, late.number)
    assert whole.cursor == late.cursor


def test_draws_are_uniform_over_transitions_and_over_rows():
    store, _ = filled([[1, 12], [3, 7], [12, 2]])
    generator = np.random.default_rng(0)
    for draw, total in ((store.sample_transitions, 37), (store.sample_rows, 43)):
        counts = np.unique(draw(total * 1000, generator), return_counts=True)[1]
        assert len(counts) == total
        assert abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_replay_is_an_experience_and_gathers_in_the_order_asked():
    store, _ = filled([[5, 6]], pictures=True)
    assert isinstance(store, Experience)
    rows = np.array([3, 0, 9])
    both = store.gather(rows, ("achieved_goal", "proprioception"))
    assert np.array_equal(both, np.concatenate([store.read("achieved_goal", rows), store.read("proprioception", rows)], axis=1))
    assert both.dtype == np.float32
    assert np.array_equal(store.read("image", rows), [picture(0, 3), picture(0, 0), picture(1, 3)])


def test_latents_do_not_depend_on_when_rows_were_encoded():
    one, other, representation = replay(1000, False), replay(1000, False), Doubling(0.3)
    for count in range(40):
        first = one.add(episodes(count, [7], False))
        one.reencode(representation, first)
        other.add(episodes(count, [7], False))
    other.reencode(representation)
    rows = one.ring.all_rows()
    assert np.array_equal(one.read("latent", rows), other.read("latent", rows))
    assert np.array_equal(one.read("latent", rows), np.float32(0.3) * one.read("achieved_goal", rows))
    assert representation.batches == {256}


class Positional(Doubling):
    """A caricature of floating point: the latent also depends on the place in the batch."""

    def encode(self, observations, context=None):
        latents = super().encode(observations)
        return latents + np.arange(len(latents), dtype=np.float32)[:, None]


def test_a_row_and_a_goal_keep_their_places_in_the_batch_whatever_is_encoded_with_them():
    one, other = replay(700, False), replay(700, False)
    for count in range(150):
        one.reencode(Positional(), one.add(episodes(count, [7], False)))
        other.add(episodes(count, [7], False))
    other.reencode(Positional())
    rows = one.ring.all_rows()
    assert np.array_equal(one.read("latent", rows), other.read("latent", rows))
    assert np.array_equal(one.rollout_goals(rows).params, other.rollout_goals(rows).params)


def test_after_a_refit_goals_are_encoded_again_from_pictures():
    store = replay(1000)
    store.add(episodes(0, [5, 5, 5]))
    store.reencode(Seeing(2.0))
    store.set_goal_pool(Goals(np.zeros((2, 3), np.float32), np.array([2, -1]), None, np.full((2, 3), np.nan)))
    store.reencode(Seeing(3.0))
    assert np.array_equal(store.rollout_goals(np.array([6, 12])).params, [3.0 * picture(1, 0)[0, 0], 3.0 * picture(2, 0)[0, 0]])
    assert np.array_equal(store.pool.params[0], 3.0 * picture(0, 2)[0, 0])


def test_after_a_refit_goals_without_pictures_follow_their_achieved_goal_and_unknown_ones_stay():
    store = replay(1000, False)
    some = episodes(0, [5, 5], False)
    some.goal_achieved[1] = np.nan
    store.add(some)
    store.reencode(Doubling(4.0))
    goals = store.rollout_goals(np.array([0, 6])).params
    assert np.array_equal(goals, [4.0 * some.goal_achieved[0], some.goals[1]])


def test_goals_survive_the_eviction_of_their_source_rows():
    store = replay(40, True)
    store.add(episodes(0, [10]))
    store.reencode(Seeing(1.0))
    store.set_goal_pool(store.goals_at(np.array([4])))
    store.add(episodes(1, [10], sources=np.array([4])))
    assert store.rollout_goals(np.array([11])).rows == [4]
    for number in range(2, 5):
        store.add(episodes(number, [10]))
    assert store.pool.rows.tolist() == [-1]
    assert np.array_equal(store.pool.images[0], picture(0, 4))
    assert np.array_equal(store.pool.achieved[0], frame(0, 4))
    assert (store.goal_records.sources[: store.goal_records.count] == -1).all()


def test_restore_from_the_dataset_equals_the_replay_that_went_on(tmp_path):
    generator = np.random.default_rng(0)
    first, second, representation = replay(150), replay(150), Seeing(0.7)
    with Writer(tmp_path / "d.h5", Header("env", {}, space(), ACTIONS, 3, True)) as writer:
        count = 0
        for _ in range(15):
            lengths = generator.integers(1, HORIZON + 1, size=3).tolist()
            batch = episodes(count, lengths, sources=first.sample_rows(3, generator) if count else None)
            count += 3
            writer.append(batch)
            first.reencode(representation, first.add(batch))
    with Reader(tmp_path / "d.h5") as reader:
        second.restore(reader, first.state_dict())
    for number in range(count, count + 20):
        for store in (first, second):
            store.reencode(representation, store.add(episodes(number, [1 + number % HORIZON])))
        rows = first.sample_transitions(64, np.random.default_rng(number))
        assert np.array_equal(rows, second.sample_transitions(64, np.random.default_rng(number)))
        for key in ("latent", "image", "action", "observation"):
            assert np.array_equal(first.read(key, rows), second.read(key, rows))
        one, other = first.rollout_goals(rows), second.rollout_goals(rows)
        assert np.array_equal(one.params, other.params)
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.images, other.images)


def test_a_dataset_of_another_run_is_refused(tmp_path):
    store = replay(150)
    store.add(episodes(0, [5, 6]))
    with Writer(tmp_path / "d.h5", Header("env", {}, space(), ACTIONS, 3, True)) as writer:
        writer.append(episodes(0, [5]))
        with Reader(tmp_path / "d.h5") as reader, pytest.raises(UserError, match="holds 1 episodes; the checkpoint expects at least 2"):
            replay(150).restore(reader, store.state_dict())
        writer.append(episodes(1, [7]))
    with Reader(tmp_path / "d.h5") as reader, pytest.raises(UserError, match="same run"):
        replay(150).restore(reader, store.state_dict())
    with Reader(tmp_path / "d.h5") as reader, pytest.raises(UserError, match="capacity is 90, but the checkpoint has 150"):
        replay(90).restore(reader, store.state_dict())


def test_what_does_not_fit_is_refused_in_one_line():
    with pytest.raises(UserError, match="capacity 5 holds no episode of 12 steps; expected at least 13"):
        replay(5)
    with pytest.raises(UserError, match="cannot keep 9 new episodes"):
        replay(100).add(episodes(0, [12] * 9))
    with pytest.raises(UserError, match="did you mean 'latent'"):
        replay(100).read("latnet", np.array([0]))


def test_one_call_may_add_more_episodes_than_there_was_room_for_goals():
    store = replay(4000, False)
    some = episodes(0, [2] * 300, False)
    store.add(some)
    assert np.array_equal(store.rollout_goals(store.episodes()[0]).params, some.goals)
