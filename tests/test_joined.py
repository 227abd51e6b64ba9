"""What representations are refitted to once there are a dataset and practice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st
from replay_cases import episodes, replay
from run_cases import DOOR, settings

from gcrl.joined import Joined
from gcrl.practice import Practice
from representations.api import Experience
from representations.holdout import HoldOut
from representations.windows import Windows

LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=6)


def two(recorded, practised, share, pictures=False):
    """Return a replay of each and both joined; the practised episodes' numbers begin at 50."""
    parts = replay(60, pictures), replay(60, pictures)
    for part, lengths, first in zip(parts, (recorded, practised), (0, 50), strict=True):
        part.add(episodes(first, lengths, pictures))
    return *parts, Joined(*parts, share)


@tries(deadline=None, max_examples=40)
@given(LENGTHS, LENGTHS, st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 1000))
def test_drawn_rows_read_as_in_the_replay_that_they_are_of(recorded, practised, share, seed):
    dataset, own, both = two(recorded, practised, share, pictures=True)
    assert isinstance(both, Experience)
    assert both.size == dataset.size + own.size
    rows = both.sample_rows(400, np.random.default_rng(seed))
    later = rows >= dataset.ring.capacity
    assert abs(later.mean() - (1 - share)) < 0.12
    for key in ("achieved_goal", "image", "action"):
        values = both.read(key, rows)
        assert values.dtype == own.read(key, np.zeros(1, int)).dtype
        np.testing.assert_array_equal(values[~later], dataset.read(key, rows[~later]))
        np.testing.assert_array_equal(values[later], own.read(key, rows[later] - dataset.ring.capacity))


@tries(deadline=None, max_examples=40)
@given(LENGTHS, LENGTHS, st.integers(0, 1000))
def test_no_run_of_frames_goes_from_one_to_the_other(recorded, practised, seed):
    dataset, _, both = two(recorded, practised, 0.5)
    assert both.episodes()[1].tolist() == [*recorded, *practised]
    windows, generator = Windows.stored(both), np.random.default_rng(seed)
    rows = windows.starts(both.sample_rows(100, generator))
    later = windows.later(rows, 1e12, generator)
    assert ((rows < dataset.ring.capacity) == (later < dataset.ring.capacity)).all()
    number = lambda at: both.read("achieved_goal", at)[:, 0]  # noqa: E731
    assert (number(rows) == number(later)).all(), "a later frame is of the same episode"


def test_what_a_first_fit_held_out_stays_held_out():
    dataset, _, both = two([2] * 16, [3] * 4, 0.5)
    alone = HoldOut(dataset).rows(np.random.default_rng(0))
    assert len(alone)
    held = HoldOut(both).rows(np.random.default_rng(0))
    assert held[held < dataset.ring.capacity].tolist() == alone.tolist()


def test_a_run_refits_to_its_dataset_and_to_what_it_practised(doors: Path, tmp_path: Path):
    run = Practice(settings(DOOR, tmp_path / "run", f"dataset={doors}", "practice.epochs=2", "practice.refit_every=1"))
    learner = run.learner
    assert learner.frames is learner.offline, "the dataset, while it is all there is"
    while run.epoch < run.epochs:
        run.step()
    assert learner.fits > 1
    assert learner.frames.size == learner.offline.size + learner.replay.size
    kept = learner.offline.read("latent", np.arange(4))
    fresh = learner.representation.encode({key: learner.offline.read(key, np.arange(4)) for key in learner.representation.keys})
    np.testing.assert_allclose(kept, fresh, atol=1e-5)
    run.close()
