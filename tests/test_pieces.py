"""Planned episodes practised piece by piece, and learning from the pieces that worked."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from replay_cases import HORIZON, PICTURE, Doubling, episodes, replay
from run_cases import BITFLIP, DOOR, differences, finish_steps, outcome, settings

from envs.errors import UserError
from gcrl.pieces import by_subgoal
from gcrl.practice import Practice
from gcrl.reached import Reached

PLANNED = ["planner=shortest_path", "planner.landmarks=10", "planner.candidates=50", "planner.longest=1000", "planner.patience=2"]
PTP = ["planner=ptp", "practice.inputs=[latent]"]
PIECES = [*PLANNED, "practice.by_subgoal=true"]


def shades(goals: np.ndarray) -> np.ndarray:
    """Return a picture (n, H, W, 3) for each of the goals (n, k): all of it their first number."""
    return np.broadcast_to(goals[:, :1, None, None], (len(goals), *PICTURE)).astype(np.uint8)


@examples(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, HORIZON), st.lists(st.integers(1, HORIZON), max_size=4)), min_size=1, max_size=4),
    st.booleans(),
)
def test_pieces_are_the_episodes_again_each_toward_what_it_aimed_at(drawn, pictures):
    """Whatever the cuts: no step is lost or done twice, and a piece knows of its goal what there is to know."""
    whole = episodes(3, [length for length, _ in drawn], pictures=pictures)
    aims = np.repeat(whole.goals[:, None], HORIZON, axis=1)
    for episode, (length, cuts) in enumerate(drawn):
        for number, cut in enumerate(sorted(cuts, reverse=True)):
            aims[episode, : min(cut, length)] = 100 + number  # subgoals first, the goal itself from the last cut on
    pieces = by_subgoal(whole, aims, shades if pictures else None)
    place = 0
    for episode, (length, _) in enumerate(drawn):
        at = 0
        while at < length:
            steps, goal = int(pieces.lengths[place]), pieces.goals[place]
            assert (aims[episode, at : at + steps] == goal).all()
            assert at + steps == length or (aims[episode, at + steps] != goal).any()  # as long as it aimed at that
            for key, values in whole.observations.items():
                assert np.array_equal(pieces.observations[key][place, : steps + 1], values[episode, at : at + steps + 1])
            assert np.array_equal(pieces.actions[place, :steps], whole.actions[episode, at : at + steps])
            assert pieces.seeds[place] == whole.seeds[episode]
            if (goal == whole.goals[episode]).all():
                assert np.array_equal(pieces.goal_achieved[place], whole.goal_achieved[episode])
                assert not pictures or np.array_equal(pieces.goal_images[place], whole.goal_images[episode])
            else:
                assert np.isnan(pieces.goal_achieved[place]).all()
                assert not pictures or (pieces.goal_images[place] == goal[0]).all()
            at, place = at + steps, place + 1
        assert at == length
    assert place == len(pieces)


@examples(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(1, HORIZON), st.sampled_from(["there", "near", "far", "none"])), min_size=1, max_size=12))
def test_what_is_drawn_is_of_episodes_that_ended_at_their_goal(drawn):
    """Doubling's latents are twice the achieved goal; "near" is within 0.5 of the end, "far" is not, "none" had no goal."""
    store = replay(1000, pictures=False)
    for number, (length, how) in enumerate(drawn):
        one = episodes(number, [length], pictures=False)
        aside = np.array([0.3, 0, 0])
        end = 2 * one.observations["achieved_goal"][0, length]
        one.goals[0] = {"there": end, "near": end + aside, "far": end + 2 * aside, "none": np.full(3, np.nan)}[how]
        store.add(one)
    store.reencode(Doubling(), goals=False)
    reached = Reached(0.5)
    reached.fit(store)
    rows = reached.draw(2000, np.random.default_rng(0))
    first, steps = store.episodes()
    wanted = {
        int(start + step) for (_, how), start, length in zip(drawn, first, steps) for step in range(length) if how in ("there", "near")
    }
    assert set(rows.tolist()) == wanted
    assert len(rows) == (2000 if wanted else 0)


def test_a_run_stores_and_learns_pieces_and_resumes_exactly(tmp_path: Path):
    overrides = [*DOOR, *PIECES, "practice.reached=2.0"]
    whole, broken = (Practice(settings(overrides, tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    for _ in range(3):
        broken.step()
    broken.close()
    finish_steps(Practice(settings(overrides, tmp_path / "broken"), resume=True))
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []
    with h5py.File(tmp_path / "whole" / "practice.h5") as file:
        lengths, practised = file["episodes/length"][:], file["episodes/epoch"][:]
        goals = file["goals/params"][:] if "goals/params" in file else file["goals"][next(iter(file["goals"]))][:]
    assert lengths.sum() == 4 * 8 * 10  # every step once
    assert len(lengths) > 4 * 8  # and more episodes than were practised
    assert (lengths[practised >= 2] < 10).any()
    assert len(goals) == len(lengths)


def test_only_what_worked_is_learnt_from_and_everything_until_something_has(tmp_path: Path):
    practice = Practice(settings([*DOOR, *PIECES, "practice.reached=2.0"], tmp_path / "run"))
    for _ in range(3):
        practice.step()
    batches, store = practice.learner.batches, practice.learner.replay
    first, steps = store.episodes()
    goals, ends = store.rollout_goals(first).params, store.read("latent", first + steps)
    batches.reached.fit(store)
    worked = np.linalg.norm(ends - goals, axis=1) <= 2.0
    assert worked.any()
    assert not worked.all()
    owner = np.searchsorted(first, batches.rows(store, 500), side="right") - 1
    assert worked[owner].all()
    batches.reached.distance = 1e-6
    batches.reached.fit(store)
    owner = np.searchsorted(first, batches.rows(store, 500), side="right") - 1
    assert not worked[owner].all()
    practice.close()


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        ([*DOOR, "practice.by_subgoal=true"], r"by_subgoal=true cuts episodes at a planner's subgoals; .* got planner=none"),
        ([*DOOR, *PIECES, "practice.planned=false"], r"got practice\.planned=false"),
        ([*DOOR, *PIECES, "practice.go_explore=0.5"], r"by_subgoal=true with practice\.go_explore=0\.5"),
        ([*DOOR, *PIECES, "reward=environment"], r"reward Environment needs the state of goals"),
        ([*DOOR, *PIECES, "representation=temporal"], r"needs pictures of subgoals, and \w+ draws none"),
        ([*BITFLIP, *PTP, "planner.attempt_weight=1"], r"attempt_weight learns .*; expected practice\.by_subgoal=true, or"),
        ([*BITFLIP, "practice.reached=-1"], r"practice\.reached=-1.*; expected a latent distance"),
        ([*BITFLIP, "practice.reached=1", "practice.energy_share=0.5"], r"expected one of the two"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, overrides: list[str], match: str):
    with pytest.raises(UserError, match=match):
        Practice(settings(overrides, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
