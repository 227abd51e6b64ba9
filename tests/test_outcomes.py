"""VAL's goals: what the scene at hand can lead to, proposed for scenes that were met and imagined anew as an episode begins."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from run_cases import DOOR, differences, finish_steps, outcome, settings

from envs.errors import UserError
from gcrl.data import Reader
from gcrl.goals import make_goals
from gcrl.practice import Practice
from goal_samplers.made_up import made_up, representation_of
from goal_samplers.outcomes import Outcomes

OVERRIDES = [text for text in DOOR if not text.startswith(("goal_sampler.", "representation."))]
OVERRIDES += ["representation=vqvae", "goal_sampler=outcomes", "practice.pool_size=16", "practice.refit_every=0"]
OVERRIDES += [f"representation.{name}={value}" for name, value in {"first_steps": 4, "prior_steps": 3, "codes": 16, "hidden": 8}.items()]
OVERRIDES += ["representation.batch_size=8", "representation.prior_width=8", "representation.prior_layers=1"]


def test_goals_are_outcomes_of_scenes_that_were_met() -> None:
    representation = representation_of(2, True, codes=True)
    context, twin = made_up(representation), made_up(representation)
    goals = Outcomes().sample(context, 12)
    scenes = twin.experience.read("latent", twin.experience.episodes()[0][twin.generator.integers(60, size=12)])
    assert np.array_equal(goals.params, representation.outcomes(scenes, twin.generator))  # type: ignore[attr-defined]
    assert np.array_equal(goals.images, representation.decode(goals.params))  # type: ignore[attr-defined]
    assert np.isnan(goals.achieved).all()


def test_a_representation_that_cannot_say_is_refused() -> None:
    with pytest.raises(UserError, match="asks what a scene can lead to, and VAE cannot say; expected VQVAE, with its prior"):
        Outcomes().check(representation_of(2, True))


@pytest.mark.parametrize("sampler", ["outcomes", "prior"])
def test_an_episodes_goal_is_imagined_for_the_scene_in_which_it_begins(sampler: str, tmp_path: Path) -> None:
    run = Practice(settings(OVERRIDES, tmp_path / "run", f"goal_sampler={sampler}"))
    while run.epoch < 3:
        run.step()
    replay, vqvae = run.learner.replay, run.learner.representation
    first, _ = replay.episodes()
    goals = replay.rollout_goals(first)
    run.close()
    with Reader(tmp_path / "run" / "practice.h5") as reader:
        seeds = [int(seed) for seed in reader.column("seed")]
    width = run.settings.practice.simulators
    for wave in range(16, len(first), width):
        episodes = slice(wave, wave + width)
        assert np.isfinite(goals.params[episodes]).all()
        scenes, draws = replay.read("latent", first[episodes]), [np.random.default_rng([seed, 9]) for seed in seeds[episodes]]
        wanted = np.concatenate([vqvae.outcomes(scene[None], draw) for scene, draw in zip(scenes, draws)])
        assert np.array_equal(vqvae.tokens(goals.params[episodes]), vqvae.tokens(wanted))
        assert np.array_equal(goals.images[episodes], vqvae.decode(wanted))


def test_a_run_that_stopped_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    whole, broken = (Practice(settings(OVERRIDES, tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    for _ in range(2):
        broken.step()
    broken.close()
    finish_steps(Practice(settings(OVERRIDES, tmp_path / "broken"), resume=True))
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []


def test_goals_that_are_shown_stay_what_they_are(tmp_path: Path) -> None:
    """Photos have no known state, like imagined goals; but somebody took them."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        imageio.imwrite(photos / f"{number}.png", np.full((48, 48, 3), 60 * number + 40, np.uint8))
    make_goals(["env=door", "env.image_size=48", f"photos={photos}", f"out={tmp_path / 'photos.h5'}"])
    given = ["goal_sampler=sets", f"goal_sampler.files=[{tmp_path / 'photos.h5'}]", "goal_sampler.split=test"]
    run = Practice(settings(OVERRIDES, tmp_path / "run", *given))
    while run.epoch < 3:
        run.step()
    replay = run.learner.replay
    images = replay.rollout_goals(replay.episodes()[0]).images[16:]
    assert set(images.reshape(len(images), -1).mean(axis=1)) <= {40, 100, 160}
    run.close()


def test_outcomes_are_points_where_goals_are_distributions(tmp_path: Path) -> None:
    gaussian = ["goal_space=gaussian", "goal_space.covariance=diagonal", "reward=goal_density"]
    run = Practice(settings(OVERRIDES, tmp_path / "run", *gaussian))
    finish_steps(run)
    goals = run.learner.replay.rollout_goals(run.learner.replay.episodes()[0][16:])
    assert np.array_equal(goals.params, run.learner.policy.goal_space.points(goals.params[:, : run.learner.representation.latent_dim]))
