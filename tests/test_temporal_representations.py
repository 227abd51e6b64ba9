"""Representations that learn from time: what their distances follow, and what they do with little to learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maze_cases import CELLS, SIZE, SPACE, STEPS, agreement, distances, distracted, fitted, pictures, walked, walks
from test_representations import Memory, draw_from

from envs.errors import UserError
from representations.contrastive import Contrastive
from representations.holdout import HoldOut
from representations.temporal import Temporal
from representations.windows import Windows, training_starts


@pytest.fixture(scope="module")
def memory():
    return walked()


@pytest.fixture(scope="module")
def in_states(memory):
    return fitted(Temporal, memory, key="achieved_goal", first_steps=600)


@pytest.fixture(scope="module")
def contrast(memory):
    return fitted(Contrastive, memory, key="observation", first_steps=400)


LEARNERS = [(Temporal, {"tau": 0.1}), (Contrastive, {})]


# steps between observations


def test_temporal_distance_is_the_number_of_steps_where_the_states_own_distance_misleads(in_states):
    made, metrics = in_states
    found = distances(made.encode({"achieved_goal": CELLS}))
    assert agreement(distances(CELLS)) < 0.6
    assert agreement(found) > 0.95
    near = STEPS <= 8  # far ones level off, by discounting and because few minibatches have passed
    assert 0.8 < np.median(found[near] / STEPS[near]) < 1.3
    assert metrics["steps_spearman"] > 0.35  # of walks that turn round, whose steps are not the least number
    assert 0.2 < metrics["step_distance"] < 0.6  # walls stop two thirds of the steps


def test_of_a_picture_the_distance_is_steps_too(memory):
    images = pictures(CELLS)
    assert agreement(distances(images.reshape(len(images), -1).astype(float))) < 0.6
    for encoder, steps, lr in (("conv", 150, 1e-3), ("points", 300, 2e-3)):
        made, _ = fitted(Temporal, memory, encoder=encoder, first_steps=steps, batch_size=64, lr=lr, tau=0.05)
        assert agreement(distances(made.encode({"image": images}))) > 0.8, encoder


def test_augmentation_alone_makes_a_picture_and_its_shift_the_same(memory):
    images = pictures(CELLS)
    shifted = np.roll(images, 1, axis=2)
    shifted[:, :, 0] = images[:, :, 0]

    def ratio(made):  # of the distance to one's own shift to that to another cell
        latents, moved = made.encode({"image": images}), made.encode({"image": shifted})
        return np.linalg.norm(moved - latents, axis=1).mean() / distances(latents).mean()

    of_time, _ = fitted(Contrastive, memory, first_steps=100, batch_size=64, lr=1e-3)
    of_shifts, _ = fitted(Contrastive, memory, first_steps=100, batch_size=64, lr=1e-3, reach=0, shift=1)
    assert ratio(of_shifts) < 0.3 * ratio(of_time)


def test_a_lower_expectile_counts_detours(memory, in_states):
    lower, _ = fitted(Temporal, memory, key="achieved_goal", first_steps=600, expectile=0.5)
    least, mean = (distances(made.encode({"achieved_goal": CELLS})) for made in (in_states[0], lower))
    assert np.median(mean / least) > 1.3


def test_distances_level_off_where_discounting_says(memory):
    made, _ = fitted(Temporal, memory, key="achieved_goal", first_steps=400, discount=0.7)
    found = distances(made.encode({"achieved_goal": CELLS}))
    for steps in range(1, 7):
        assert np.median(found[steps == STEPS]) == pytest.approx((1 - 0.7**steps) / (1 - 0.7), rel=0.3), steps
    assert found.max() < 1.3 / (1 - 0.7)


# neighbours in time


def nearer(latents, cells, steps, generator):
    """Return how often a frame `steps` later is nearer than a random frame of the same walks of 21 frames."""
    here = np.flatnonzero(np.arange(len(cells)) % 21 < 21 - steps)
    other = generator.permutation(here)
    near = np.linalg.norm(latents[here] - latents[here + steps], axis=1)
    far = np.linalg.norm(latents[here] - latents[other], axis=1)
    return (near < far).mean() + (near == far).mean() / 2


def test_contrastive_neighbours_are_neighbours_in_time_on_new_walks(contrast):
    made, metrics = contrast
    cells = walks(40, 20, seed=9)
    states = distracted(cells, 8)
    latents = made.encode({"observation": states})
    for steps, least in ((1, 0.9), (3, 0.85)):
        assert nearer(latents, cells, steps, np.random.default_rng(0)) > least
        assert nearer(states, cells, steps, np.random.default_rng(0)) < least - 0.1
    assert metrics["nearer"] > 0.85
    assert 0.7 < metrics["near_distance"] < 1.5


def test_contrastive_distance_leaves_noise_out_and_goes_round_the_wall(contrast):
    latents = np.mean([contrast[0].encode({"observation": distracted(CELLS, seed)}) for seed in range(8)], axis=0)
    assert agreement(distances(latents)) > 0.85
    one = contrast[0].encode({"observation": distracted(CELLS, 0)})
    assert np.linalg.norm(one - latents, axis=1).mean() < 0.5 * distances(latents).mean()


@pytest.mark.parametrize("arguments", [{"shift": 1}, {"encoder": "points", "lr": 2e-3}])
def test_contrastive_works_on_pictures(memory, arguments):
    made, metrics = fitted(Contrastive, memory, first_steps=150, batch_size=64, **arguments)
    assert metrics["nearer"] > 0.8
    assert agreement(distances(made.encode({"image": pictures(CELLS)}))) > 0.75


# what both have in common


@pytest.mark.parametrize(("cls", "arguments"), LEARNERS)
@pytest.mark.parametrize("key", ["image", "achieved_goal"])
def test_the_same_seed_gives_the_same_bits_and_torchs_global_generator_is_left_alone(memory, cls, arguments, key):
    latents = []
    for noise, seed in ((1, 7), (2, 7), (1, 8)):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        made, _ = fitted(cls, memory, seed=seed, key=key, first_steps=4, **arguments)
        latents.append(made.encode({key: memory.read(key, np.arange(9))}))
        assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(latents[0], latents[1])
    assert not np.array_equal(latents[0], latents[2])


@pytest.mark.parametrize(("cls", "arguments"), LEARNERS)
@pytest.mark.parametrize("key", ["image", "achieved_goal"])
def test_a_restored_one_goes_on_bit_for_bit(memory, cls, arguments, key):
    made, _ = fitted(cls, memory, key=key, first_steps=5, refit_steps=5, **arguments)
    twin = cls(SPACE, seed=9, device="cpu", key=key, refit_steps=5, **arguments)
    twin.load_state_dict(made.state_dict())
    frames = {key: memory.read(key, np.arange(20))}
    before = made.encode(frames)
    np.testing.assert_array_equal(twin.encode(frames), before)
    for one in (made, twin):
        one.fit(memory, draw_from(memory, 5), np.random.default_rng(5), first=False)
    np.testing.assert_array_equal(twin.encode(frames), made.encode(frames))
    assert not np.array_equal(made.encode(frames), before)


@pytest.mark.parametrize(("cls", "arguments"), LEARNERS)
def test_altered_weights_are_refused_by_name(memory, cls, arguments):
    made = cls(SPACE, key="achieved_goal", **arguments)
    state = made.state_dict()
    del state["network"]["mean"]
    with pytest.raises(UserError, match=f"{cls.__name__} has no 'mean'"):
        made.load_state_dict(state)
    with pytest.raises(UserError, match="'network'"):
        made.load_state_dict({})


@pytest.mark.parametrize(("cls", "arguments"), LEARNERS)
def test_a_refit_of_no_steps_only_measures(memory, cls, arguments):
    made, _ = fitted(cls, memory, key="achieved_goal", first_steps=3, refit_steps=0, **arguments)
    before = made.state_dict()
    metrics = made.fit(memory, draw_from(memory), np.random.default_rng(0), first=False)
    assert metrics["fit_steps"] == 0
    assert len(metrics) > 1
    for name, weight in made.state_dict()["network"].items():
        assert torch.equal(weight, before["network"][name])


@pytest.mark.parametrize(("cls", "arguments"), LEARNERS)
@pytest.mark.parametrize("key", ["image", "achieved_goal"])
@pytest.mark.parametrize(("episodes", "steps", "same"), [(1, 1, False), (1, 12, False), (2, 1, False), (30, 1, False), (5, 4, True)])
def test_little_or_dull_experience_is_fitted_without_a_fuss(cls, arguments, key, episodes, steps, same):
    cells = np.zeros((episodes * (steps + 1), 2), np.int64) if same else walks(episodes, steps, seed=2)
    memory = Memory(steps=steps, image=pictures(cells), achieved_goal=cells.astype(np.float32))
    made, metrics = fitted(cls, memory, key=key, first_steps=3, **arguments)
    assert metrics["fit_steps"] >= 1
    assert np.isfinite(list(metrics.values())).all()
    assert np.isfinite(made.encode({key: memory.read(key, np.arange(len(cells)))})).all()


@pytest.mark.parametrize(("cls", "arguments"), LEARNERS)
def test_episodes_without_a_step_are_refused(cls, arguments):
    with pytest.raises(UserError, match=f"{cls.__name__} learns from frames that follow each other"):
        fitted(cls, Memory(steps=0, achieved_goal=np.zeros((5, 2), np.float32)), key="achieved_goal", **arguments)


def test_a_state_entry_that_hardly_moved_at_first_does_not_drown_the_others_later():
    cells = np.concatenate([walks(20, 9, seed=0)[:, :1], np.full((200, 1), 0.5)], axis=1).astype(np.float32)
    cells[::7, 1] += 1e-4
    made, _ = fitted(Temporal, Memory(steps=9, achieved_goal=cells), key="achieved_goal", first_steps=20)
    moved = made.encode({"achieved_goal": np.array([[1.0, 0.5], [1.0, 0.6], [2.0, 0.5]])})
    assert np.linalg.norm(moved[1] - moved[0]) < 5 * np.linalg.norm(moved[2] - moved[0])


@settings(deadline=None, max_examples=10)
@given(st.integers(9, 300), st.integers(0, 2**31))
def test_a_rows_bits_do_not_depend_on_the_company_it_is_encoded_in(many, seed):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 255, (many, SIZE, SIZE, 3), dtype=np.uint8)
    part = generator.permutation(many)[: int(generator.integers(9, many + 1))]
    for made, given_ in ((PICTURED, {"image": images}), (STATED, {"achieved_goal": images[:, 0, 0, :2].astype(np.float64)})):
        whole = made.encode(given_)
        np.testing.assert_array_equal(made.encode({key: value[part] for key, value in given_.items()}), whole[part])
        few = {key: value[:5] for key, value in given_.items()}
        np.testing.assert_array_equal(made.encode({key: value[:1] for key, value in few.items()}), made.encode(few)[:1])


PICTURED, STATED = Temporal(SPACE), Contrastive(SPACE, key="achieved_goal")


@pytest.mark.parametrize(
    ("cls", "arguments", "words"),
    [
        (Temporal, {"key": "imgae"}, "did you mean 'image'"),
        (Temporal, {"key": "touch"}, "Temporal reads 'touch'; expected pictures"),
        (Temporal, {"latent_dim": 0}, "latent_dim = 0"),
        (Temporal, {"discount": 1.0}, "discount = 1.0"),
        (Temporal, {"expectile": 0.0}, "expectile = 0.0"),
        (Temporal, {"future": 1.5}, "future = 1.5"),
        (Temporal, {"tau": 0.0}, "tau = 0.0"),
        (Temporal, {"hidden": []}, "hidden = "),
        (Temporal, {"hidden": [8, 0]}, "hidden = 0"),
        (Temporal, {"encoder": "cov"}, "did you mean 'conv'"),
        (Temporal, {"lr": float("nan")}, "lr = nan"),
        (Temporal, {"batch_size": 1}, "batch_size = 1"),
        (Contrastive, {"reach": 0.5}, "reach = 0.5"),
        (Contrastive, {"reach": 0}, "needs shift > 0"),
        (Contrastive, {"shift": -1}, "shift = -1"),
        (Contrastive, {"shift": 2, "key": "achieved_goal"}, "moves pictures, but 'achieved_goal' is a state"),
        (Contrastive, {"batch_size": 1}, "batch_size = 1"),
        (Contrastive, {"key": "touch"}, "Contrastive reads 'touch'"),
    ],
)
def test_bad_arguments_are_named(cls, arguments, words):
    with pytest.raises(UserError, match=words):
        cls(SPACE, **arguments)


@pytest.mark.parametrize(("cls", "arguments"), LEARNERS)
def test_a_diverging_fit_says_so(memory, cls, arguments):
    with pytest.raises(FloatingPointError, match=f"{cls.__name__}: the loss is not finite"):
        fitted(cls, memory, key="achieved_goal", first_steps=30, lr=1e30, **arguments)


# which frames follow which


class Ragged(Memory):
    """Episodes of the given lengths, stored in a shuffled order with gaps between, as a ring that wrapped has them."""

    def __init__(self, lengths, generator):
        gaps = generator.integers(0, 3, len(lengths))
        self._first = np.cumsum(gaps + np.array(lengths) + 1) - np.array(lengths) - 1
        self._lengths, self._order = np.array(lengths), generator.permutation(len(lengths))

    def episodes(self):
        return self._first[self._order], self._lengths[self._order]

    def rows(self):
        return np.concatenate([np.arange(first, first + length + 1) for first, length in zip(self._first, self._lengths)])

    def episode_of(self, rows):
        return np.searchsorted(self._first, rows, side="right") - 1


@settings(max_examples=60)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=30), st.sampled_from([1.0, 2.5, 100.0, np.inf]), st.integers(0, 2**31))
def test_successors_and_later_frames_stay_in_the_episode_and_out_of_the_held_out_ones(lengths, mean, seed):
    generator = np.random.default_rng(seed)
    stored = Ragged([*lengths, 3], generator)
    held_out = HoldOut(stored)
    drawn = generator.choice(stored.rows(), 200)
    windows, starts = training_starts(stored, drawn, held_out, "it")
    later = windows.later(starts, mean, generator)
    assert len(starts)
    assert (later > starts).all()
    assert (stored.episode_of(later) == stored.episode_of(starts)).all()
    assert np.isin(starts + 1, stored.rows()).all()
    if mean == 1.0:
        assert (later == starts + 1).all()
    held = held_out.rows(generator)
    # episodes are held out whole here: any drawn row of another episode with a step is something to train on
    usable = ~np.isin(drawn, held) & (stored._lengths[stored.episode_of(drawn)] > 0)
    if usable.any():
        assert len(starts) == usable.sum()
        assert not np.isin(np.concatenate([starts, later]), held).any()


@pytest.mark.parametrize(("mean", "expected"), [(3.0, 3.0), (np.inf, 500.5), (100.0, 100.0)])
def test_later_frames_lie_as_many_steps_ahead_as_asked(mean, expected):
    windows = Windows.stored(Memory(steps=1000, column=np.zeros(1001)))
    rows = np.zeros(4000, np.int64)
    assert windows.later(rows, mean, np.random.default_rng(0)).mean() == pytest.approx(expected, rel=0.1)
    # cut off by the end, they are spread over what is left and not heaped on the last frame
    near_end = windows.later(rows + 990, mean, np.random.default_rng(0))
    assert (near_end == 1000).mean() < 0.15
