"""Energy-based prioritisation: what moved is drawn more often; and learning without denormal numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from replay_cases import HORIZON, Doubling, episodes, replay
from run_cases import BITFLIP, differences, finish_steps, outcome, settings

from envs.errors import UserError
from gcrl.energy import Energies
from gcrl.practice import Practice

DRAWN = 20_000


def stored(moved: list[float], lengths: list[int], capacity: int = 1000):
    """Return a replay whose episodes get so far from where they began, at the second frame, and come back."""
    store = replay(capacity, pictures=False)
    for number, (far, length) in enumerate(zip(moved, lengths, strict=True)):
        one = episodes(number, [length], pictures=False)
        one.observations["achieved_goal"][:] = number
        one.observations["achieved_goal"][:, 1] += [far, 0, 0]
        store.add(one)
    store.reencode(Doubling())
    return store


def fitted(store) -> Energies:
    energies = Energies()
    energies.fit(store)
    return energies


@examples(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 3.0]), st.integers(1, HORIZON)), min_size=1, max_size=12),
    st.sampled_from([60, 1000]),
)
def test_episodes_are_drawn_in_proportion_to_how_far_they_got_and_their_steps_alike(drawn, capacity):
    store = stored(*map(list, zip(*drawn)), capacity=capacity)
    first, steps = store.episodes()
    moved = np.array([far for far, _ in drawn])[-len(first) :]  # the oldest may be evicted
    rows = fitted(store).draw(DRAWN, np.random.default_rng(0))
    if not moved.any():
        assert len(rows) == 0
        return
    counts = np.array([((rows >= start) & (rows < start + length)).sum() for start, length in zip(first, steps)])
    assert counts.sum() == len(rows) == DRAWN  # every row has a successor in its episode
    assert np.abs(counts / DRAWN - moved / moved.sum()).max() < 0.02
    busiest = int(np.argmax(moved))
    within = np.bincount(rows[(rows >= first[busiest]) & (rows < first[busiest] + steps[busiest])] - first[busiest])
    assert len(within) == steps[busiest]
    assert within.max() < 2 * within.min()


def test_episodes_that_are_read_in_parts_count_alike(monkeypatch):
    store = stored([0.0, 1.0, 2.0, 0.0, 5.0], [3, HORIZON, 1, 7, 2])
    whole = fitted(store).draw(100, np.random.default_rng(1))
    monkeypatch.setattr("gcrl.energy.CHUNK", 1)
    assert np.array_equal(fitted(store).draw(100, np.random.default_rng(1)), whole)


def test_a_minibatch_has_its_share_and_resumes_exactly(tmp_path: Path):
    overrides = [*BITFLIP, "practice.energy_share=0.5"]
    whole, broken = (Practice(settings(overrides, tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    for _ in range(3):
        broken.step()
    broken.close()
    again = Practice(settings(overrides, tmp_path / "broken"), resume=True)
    finish_steps(again)
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []


def test_the_share_of_what_is_practised_comes_from_what_moved(tmp_path: Path):
    practised = Practice(settings([*BITFLIP, "practice.energy_share=0.25"], tmp_path / "run"))
    practised.step()
    batches, replay_ = practised.learner.batches, practised.learner.replay
    starts, lengths = replay_.episodes()
    only = starts[0] + np.arange(lengths[0])
    batches.energies.draw = lambda n, generator: generator.choice(only, n)  # as if nothing else had moved
    rows = batches.rows(replay_, 400)
    practised.close()
    assert len(rows) == 400
    assert 100 <= np.isin(rows, only).sum() < 250
    assert np.isin(rows[:100], only).all()


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_what_is_no_share_is_refused(tmp_path: Path, share: float):
    with pytest.raises(UserError, match=f"energy_share={share}; expected a share"):
        Practice(settings([*BITFLIP, f"practice.energy_share={share}"], tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_agents_learn_without_denormal_numbers_and_nothing_else_does(tmp_path: Path):
    """A unit that died keeps Adam's average of its gradients among them for good, unless they are flushed."""
    run, tiny, seen = Practice(settings(BITFLIP, tmp_path / "run")), torch.tensor([1e-38]), []
    run.step()
    learn = run.learner.agent.update
    run.learner.agent.update = lambda batch: [seen.append(float(tiny * 0.01)), learn(batch)][1]
    run.learner.update(3)
    run.close()
    assert seen == [0.0, 0.0, 0.0]
    assert float(tiny * 0.01) > 0
