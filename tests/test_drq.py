"""Learning end to end from pixels: pictures as latents, random shifts, and an encoder that only the critics' loss moves."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_cases import BOX, same
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_cases import ACTIONS, HORIZON, PICTURE, episodes, picture, space
from run_cases import DOOR, differences, finish_steps, outcome
from run_cases import settings as run_settings

from envs.errors import UserError
from gcrl.agents.api import Batch
from gcrl.agents.drq import DrQ
from gcrl.practice import Practice
from gcrl.replay import Replay
from goal_samplers.api import Goals
from goal_samplers.goal_space import LatentGoals
from representations.pixels import Pixels, as_latents
from representations.shift import random_shift

SIDE = 24
WIDTH = SIDE * SIDE * 3
BESIDE = 2  # inputs beside the picture


def small(seed: int = 0, **more: Any) -> DrQ:
    return DrQ(WIDTH + BESIDE, WIDTH, BOX, seed=seed, **({"hidden": (16, 16), "maps": 4, "features": 8} | more))


def batch_of(seed: int, rows: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def inputs() -> torch.Tensor:
        return torch.cat([torch.rand(rows, WIDTH, generator=generator), torch.randn(rows, BESIDE, generator=generator)], -1)

    return Batch(
        inputs(),
        torch.rand(rows, 2, generator=generator) * 2 - 1,
        -torch.rand(rows, generator=generator),
        inputs(),
        torch.zeros(rows),
        torch.rand(rows, WIDTH, generator=generator),
    )


# ---- shifts ---------------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 5), height=st.integers(3, 9), width=st.integers(3, 9), most=st.integers(0, 4), seed=st.integers(0, 99))
def test_each_picture_is_moved_as_a_whole_and_edges_are_repeated(n: int, height: int, width: int, most: int, seed: int) -> None:
    pictures = torch.arange(n * height * width * 2, dtype=torch.float32).reshape(n, height, width, 2)
    moved = random_shift(pictures, most, torch.Generator().manual_seed(seed)).numpy()
    for before, after in zip(pictures.numpy(), moved, strict=True):
        padded = np.pad(before, ((most, most), (most, most), (0, 0)), mode="edge")
        crops = [padded[y : y + height, x : x + width] for y in range(2 * most + 1) for x in range(2 * most + 1)]
        assert any(np.array_equal(after, crop) for crop in crops)


def test_shifts_differ_between_pictures_cover_their_range_and_follow_the_generator() -> None:
    pictures = torch.zeros(400, 9, 9, 1)
    pictures[:, 4, 4] = 1.0
    one, again, other = (random_shift(pictures, 2, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    places = {tuple(place[1:3]) for place in one.nonzero().tolist()}
    assert places == {(4 + y, 4 + x) for y in range(-2, 3) for x in range(-2, 3)}
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


# ---- the agent ------------------------------------------------------------------------------------------------------------------


def test_the_encoder_learns_from_the_critics_and_not_from_the_actor() -> None:
    agent, before = small(), small().state_dict()["networks"]
    agent.learner.optimizers["critics"].step = lambda: None  # type: ignore[method-assign, assignment]
    agent.update(batch_of(0))
    without = agent.state_dict()["networks"]
    assert same(before["encoder"], without["encoder"])
    assert not same(before["actor"], without["actor"])
    agent = small()
    agent.update(batch_of(0))
    assert not same(before["encoder"], agent.state_dict()["networks"]["encoder"])


def test_training_goes_on_from_a_saved_state_bit_by_bit() -> None:
    through, saved, fresh = small(1), small(1), small(99)
    for agent in (through, saved):
        agent.set_normalizer(*(np.full(n, v, np.float32) for n, v in ((WIDTH + BESIDE, 0.5), (WIDTH + BESIDE, 2), (WIDTH, 0), (WIDTH, 1))))
    for seed in range(6):
        through.update(batch_of(seed))
    for seed in range(3):
        saved.update(batch_of(seed))
    state = saved.state_dict()
    kept = copy.deepcopy(state)
    fresh.load_state_dict(state)
    for seed in range(3, 6):
        fresh.update(batch_of(seed))
    assert same(state, kept)
    assert same(through.state_dict(), fresh.state_dict())


def test_an_actor_elsewhere_acts_as_the_agent_and_what_is_beside_the_picture_counts() -> None:
    agent, elsewhere, batch = small(1), small(2), batch_of(0)
    for seed in range(3):
        agent.update(batch_of(seed))
    elsewhere.load_actor_state(agent.actor_state())
    inputs, goals = batch.inputs.numpy(), batch.goals.numpy()
    actions = agent.act(inputs, goals, None)
    assert np.array_equal(actions, elsewhere.act(inputs, goals, None))
    for part in (slice(0, WIDTH), slice(WIDTH, None)):
        changed = inputs.copy()
        changed[:, part] = 1 - changed[:, part]
        assert not np.allclose(actions, agent.act(changed, goals, None))
    assert not np.allclose(actions, agent.act(inputs, 1 - goals, None))


def test_values_fit_what_can_only_be_seen() -> None:
    """Without a future the value is the reward, which here is whether picture and goal are lit alike."""
    agent = small(lr=3e-3, discount=0.01, temperature=1e-4, shift=1, maps=8)
    generator = np.random.default_rng(0)

    def drawn(rows: int) -> tuple[Batch, np.ndarray]:
        lit = generator.integers(2, size=(2, rows))
        pictures = generator.uniform(0, 0.2, (2, rows, SIDE, SIDE, 3))
        for row, which in np.argwhere(lit.T):
            pictures[which, row, 8:16, 8:16] += 0.6
        seen, goals = (torch.as_tensor(part.reshape(rows, -1), dtype=torch.float32) for part in pictures)
        inputs = torch.cat([seen, torch.zeros(rows, BESIDE)], -1)
        reward = -(lit[0] != lit[1]).astype(np.float32)
        actions = torch.as_tensor(generator.uniform(-1, 1, (rows, 2)), dtype=torch.float32)
        return Batch(inputs, actions, torch.as_tensor(reward), inputs, torch.ones(rows), goals), reward

    for _ in range(150):
        agent.update(drawn(64)[0])
    batch, reward = drawn(200)
    values = agent.value(batch.inputs.numpy(), batch.goals.numpy())
    assert np.abs(values - reward).mean() < 0.25


@pytest.mark.parametrize(
    ("inputs", "goals", "message"),
    [
        (WIDTH, WIDTH - 3, "expected square RGB pictures.*representation=pixels"),
        (16 * 16 * 3, 16 * 16 * 3, "at least 24 pixels a side"),
        (5, WIDTH, "too few for a picture"),
    ],
)
def test_what_is_no_picture_is_refused(inputs: int, goals: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        DrQ(inputs, goals, BOX, seed=0)


def test_a_negative_shift_is_refused() -> None:
    with pytest.raises(UserError, match="shift=-1"):
        small(shift=-1)


# ---- pictures as latents --------------------------------------------------------------------------------------------------------


def stores() -> tuple[Replay, Replay, Pixels]:
    """Return a replay that stores pictures as latents, one that reads them from its frames, and the representation."""
    pixels = Pixels(space())
    d = pixels.latent_dim
    both = [
        Replay(space(), ACTIONS, horizon=HORIZON, capacity=60, goal_space=LatentGoals(d), image_goal=True, latent_key=key)
        for key in ("", pixels.stored_as)
    ]
    return both[0], both[1], pixels


def test_a_replay_that_reads_latents_from_its_frames_gives_what_one_that_stores_them_does() -> None:
    stored, read, pixels = stores()
    for count in range(8):  # more than fits, so that the oldest go
        for store in (stored, read):
            batch = episodes(count, [HORIZON])
            batch.goals = pixels.encode({"image": batch.goal_images})
            store.reencode(pixels, store.add(batch))
    for store in (stored, read):
        store.set_goal_pool(Goals(as_latents(np.stack([picture(7, 1)])), np.array([-1]), None, np.full((1, 3), np.nan)))
    rows = stored.sample_transitions(40, np.random.default_rng(0))
    assert np.array_equal(stored.read("latent", rows), read.read("latent", rows))
    for keys in (("latent",), ("latent", "proprioception"), ("proprioception", "latent", "observation"), ("observation",)):
        assert np.array_equal(stored.gather(rows, keys), read.gather(rows, keys))
    assert np.array_equal(stored.rollout_goals(rows).params, read.rollout_goals(rows).params)
    assert np.array_equal(stored.goals_at(rows).params, read.goals_at(rows).params)
    assert read.state_dict()["latents"].size == 0


def test_pictures_come_back_from_their_latents() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (9, *PICTURE), dtype=np.uint8)
    pixels = Pixels(space())
    latents = pixels.encode({"image": pictures})
    assert latents.dtype == np.float32
    assert latents.shape == (9, pixels.latent_dim)
    assert latents.min() >= 0
    assert latents.max() <= 1
    assert np.array_equal(pixels.decode(latents), pictures)
    assert as_latents(pictures[:0]).shape == (0, latents.shape[1])


def test_an_environment_without_pictures_is_refused() -> None:
    with pytest.raises(UserError, match="image"):
        Pixels(space(pictures=False))


def test_every_picture_that_is_learnt_from_is_shifted_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, batch, shifted = small(shift=3), batch_of(0), []

    def watched(*arguments: Any) -> torch.Tensor:
        shifted.append(random_shift(*arguments))
        return shifted[-1]

    monkeypatch.setattr("gcrl.agents.drq.random_shift", watched)
    batch.goals[:] = batch.next_inputs[:, :WIDTH] = batch.inputs[:, :WIDTH]  # all alike, so that only shifts tell them apart
    agent.now_and_after(batch)
    assert len(shifted) == 4  # picture and goal, before and after
    for one, other in itertools.combinations([batch.inputs[:, :WIDTH].reshape(-1, SIDE, SIDE, 3), *shifted], 2):
        assert (one != other).flatten(1).any(1).float().mean() > 0.7
    still = small(shift=0).now_and_after(batch)
    moved = [small(shift=3).now_and_after(batch)[0] for _ in range(2)]
    assert torch.equal(moved[0], moved[1])  # by the seed
    assert not torch.allclose(moved[0], still[0])


# ---- the loop -------------------------------------------------------------------------------------------------------------------

TINY = [
    "experiment=pixels_baseline",
    *(word for word in DOOR if not word.startswith(("experiment", "representation", "goal_sampler"))),
    "agent.maps=4",
    "agent.features=8",
    "practice.pool_size=16",
    "practice.epochs=3",
]


def test_a_run_from_pixels_that_stopped_between_epochs_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    through = Practice(run_settings(TINY, tmp_path / "through"))
    finish_steps(through)
    stopped = Practice(run_settings(TINY, tmp_path / "stopped"))
    for _ in range(2):
        stopped.step()
    stopped.close()
    resumed = Practice(run_settings(TINY, tmp_path / "stopped"), resume=True)
    finish_steps(resumed)
    assert differences(outcome(tmp_path / "through"), outcome(tmp_path / "stopped")) == []


def test_inputs_that_do_not_begin_with_the_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="latent, first"):
        Practice(run_settings([*TINY, "practice.inputs=[proprioception,latent]"], tmp_path / "run"))


# ---- mixed precision --------------------------------------------------------------------------------------------------------------


def test_mixed_precision_rounds_features_to_half_and_keeps_parameters_and_gradients_single() -> None:
    single, mixed = small(), small(mixed_precision=True)
    batch = batch_of(1)
    one, other = (agent.rows(batch.inputs, batch.goals) for agent in (single, mixed))
    assert other.dtype == torch.float32
    error = (one - other).abs().max() / one.abs().max()
    assert 0 < error < 0.03  # bfloat16 tells numbers apart to one part in 256
    mixed.update(batch)
    assert {parameter.dtype for parameter in mixed.encoder.parameters()} == {torch.float32}
    assert all(parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in mixed.encoder.parameters())
    copy = small(seed=5, mixed_precision=True)
    copy.load_actor_state(mixed.actor_state())
    rows, goals = batch.inputs.numpy(), batch.goals.numpy()
    assert np.array_equal(copy.act(rows, goals, None), mixed.act(rows, goals, None))
