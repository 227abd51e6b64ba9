"""CC-RIG's autoencoder: imagined goals show what is in the scene at hand, in proposals, in rollouts and in relabelling."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats
from run_cases import DOOR, differences, finish_steps, outcome, settings
from test_representations import Memory, draw_from

from envs.errors import UserError
from gcrl.practice import Practice
from gcrl.relabel import Relabel
from representations.colour import coloured
from representations.conformance import check_representation
from representations.context_vae import ContextVAE
from representations.vae import VAE
from representations.windows import Windows

SIZE, EPISODES, STEPS = 24, 90, 9
HUES = np.array([[210, 40, 40], [40, 170, 60], [50, 80, 220]], np.uint8)
SPACE = spaces.Dict({"image": spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)})


def squares(hues: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Draw a square of each hue (n,) with its corner at places (n, 2), in pixels."""
    images = np.full((len(hues), SIZE, SIZE, 3), 200, np.uint8)
    for image, hue, (x, y) in zip(images, hues, places):
        image[y : y + 9, x : x + 9] = HUES[hue]
    return images


def hue_of(images: np.ndarray) -> np.ndarray:
    """Return which hue a picture shows, (n,): that of the pixels which differ most from the background; -1 where there is none."""
    found = []
    for image in images.astype(int):
        away = np.abs(image - 200).max(axis=2)
        if np.sort(away.ravel())[-30] < 60:
            found.append(-1)
            continue
        seen = image[away >= np.sort(away.ravel())[-30]].mean(axis=0)
        found.append(int(np.argmin(np.linalg.norm(HUES - seen, axis=1))))
    return np.array(found)


@pytest.fixture(scope="module")
def world() -> tuple[Memory, np.ndarray]:
    rng = np.random.default_rng(0)
    hues = np.repeat(rng.integers(3, size=EPISODES), STEPS + 1)
    places = rng.integers(1, SIZE - 10, (len(hues), 2))
    images = squares(hues, places)
    assert (hue_of(images) == hues).mean() == 1
    return Memory(STEPS, image=images), hues


@pytest.fixture(scope="module")
def fitted(world: tuple[Memory, np.ndarray]) -> ContextVAE:
    vae = ContextVAE(SPACE, seed=1, z_dim=2, scene_dim=3, first_steps=800)
    vae.fit(world[0], draw_from(world[0]), np.random.default_rng(1), first=True)
    return vae


def test_goals_for_a_scene_show_what_is_there_and_others_do_not(fitted: ContextVAE, world: tuple[Memory, np.ndarray]) -> None:
    rng = np.random.default_rng(5)
    hues = rng.integers(3, size=150)
    latents = fitted.encode({"image": squares(hues, rng.integers(1, SIZE - 10, (150, 2)))})
    anywhere = fitted.prior(150, rng)
    here = hue_of(fitted.decode(fitted.in_scene(anywhere, latents)))
    assert (here == hues).mean() > 0.9
    assert (hue_of(fitted.decode(anywhere)) == hues).mean() < 0.5
    plain = VAE(SPACE, seed=1, latent_dim=5, first_steps=250)
    plain.fit(world[0], draw_from(world[0]), np.random.default_rng(1), first=True)
    assert (hue_of(plain.decode(plain.prior(150, rng))) == hues).mean() < 0.5


def test_goals_for_a_scene_show_it_in_many_places(fitted: ContextVAE) -> None:
    rng = np.random.default_rng(6)
    one = fitted.encode({"image": squares(np.array([1]), np.array([[10, 10]]))})
    drawn = fitted.decode(fitted.in_scene(fitted.prior(60, rng), np.repeat(one, 60, axis=0))).astype(float)
    assert drawn.std(axis=0).max() > 40  # of 255: some pixel is square here and table there


def test_the_scene_says_what_there_is_and_not_where(fitted: ContextVAE) -> None:
    rng = np.random.default_rng(7)
    hues, places = rng.integers(3, size=300), rng.integers(1, SIZE - 10, (300, 2))
    scene = fitted.encode({"image": squares(hues, places)})[:, fitted.scene]
    moved = fitted.encode({"image": squares(hues, places[::-1])})[:, fitted.scene]
    between = np.linalg.norm(np.stack([scene[hues == h].mean(axis=0) for h in range(3)]) - scene.mean(axis=0), axis=1).mean()
    assert np.linalg.norm(scene - moved, axis=1).mean() < 0.5 * between


def test_what_is_decoded_has_the_colours_of_what_was_seen(fitted: ContextVAE) -> None:
    rng = np.random.default_rng(8)
    hues = rng.integers(3, size=100)
    images = squares(hues, rng.integers(4, SIZE - 13, (100, 2)))
    decoded = fitted.decode(fitted.encode({"image": images})).astype(float)
    inside = (images != 200).any(axis=3)
    off = [np.abs(decoded[i][inside[i]].mean(axis=0) - HUES[hue]).max() for i, hue in enumerate(hues)]
    assert np.mean(off) < 45  # of 255: colours weighted threefold would be off by more than a hundred


@given(arrays(np.float32, (2, 3, 4, 5), elements=floats(-1, 1, width=32)), floats(0.1, 10))
def test_weighting_colour_leaves_greys_alone_and_is_undone(pictures: np.ndarray, weight: float) -> None:
    p = torch.as_tensor(pictures)
    weighted = coloured(p, weight)
    grey = p.mean(dim=1, keepdim=True)
    assert torch.allclose(weighted.mean(dim=1, keepdim=True), grey, atol=1e-5)
    assert torch.allclose(weighted - grey, weight * (p - grey), atol=1e-4)
    assert torch.allclose(coloured(weighted, 1 / weight), p, atol=1e-4)


def test_it_keeps_the_contract() -> None:
    assert check_representation(partial(ContextVAE, z_dim=2, scene_dim=2, first_steps=20, refit_steps=5)) == []


def test_companions_are_frames_of_the_same_episode() -> None:
    memory = Memory(4, image=np.zeros((35, 1)))
    rows = np.repeat(np.arange(35), 50)
    others = Windows.stored(memory).companions(rows, np.random.default_rng(0).random(len(rows)))
    assert (others // 5 == rows // 5).all()
    assert set(others[rows == 7]) == {5, 6, 7, 8, 9}


def test_colour_that_counts_for_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="colour_weight = 0"):
        ContextVAE(SPACE, colour_weight=0)


@pytest.mark.parametrize("argument", ["z_dim", "scene_dim", "first_steps", "batch_size"])
def test_numbers_below_one_are_refused(argument: str) -> None:
    with pytest.raises(UserError, match=f"ContextVAE: {argument} = 0; expected at least 1"):
        ContextVAE(SPACE, **{argument: 0})


OVERRIDES = [text for text in DOOR if not text.startswith(("goal_sampler.", "representation."))]
OVERRIDES += ["representation=context_vae", "representation.first_steps=20", "representation.refit_steps=5", "goal_sampler=prior"]
OVERRIDES += ["representation.batch_size=16", "representation.z_dim=2", "representation.scene_dim=4"]


def test_rollouts_and_relabelling_put_imagined_goals_into_the_scene(tmp_path: Path) -> None:
    run = Practice(settings([*OVERRIDES, "practice.refit_every=0"], tmp_path / "run"))
    while run.epoch < 3:
        run.step()
    learner, replay = run.learner, run.learner.replay
    scene = learner.representation.scene
    first, _ = replay.episodes()
    goals = replay.rollout_goals(first)
    practised = np.isfinite(goals.params).all(axis=1)
    practised[:16] = False  # at random, and then with goals of the first fit's stand-in
    assert practised.any()
    wanted = replay.read("latent", first[practised])[:, scene]
    assert np.allclose(goals.params[practised][:, scene], wanted, atol=1e-3 * np.abs(wanted).max() + 1e-4)
    assert np.array_equal(goals.images[practised], learner.representation.decode(goals.params[practised]))
    rows = replay.sample_transitions(64, np.random.default_rng(0))
    learner.prepare(3)
    relabelled = Relabel(rollout=0, future=0, sampler=1.0)(replay, rows, np.random.default_rng(1))
    assert np.allclose(relabelled.params[:, scene], replay.read("latent", rows)[:, scene])
    z = slice(0, scene.start)
    assert not np.allclose(relabelled.params[:, z], replay.read("latent", rows)[:, z])
    run.close()


def test_a_run_that_stopped_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    whole, broken = (Practice(settings(OVERRIDES, tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    for _ in range(2):
        broken.step()
    broken.close()
    finish_steps(Practice(settings(OVERRIDES, tmp_path / "broken"), resume=True))
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []
