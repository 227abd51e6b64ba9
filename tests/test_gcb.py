"""GCB: differences of latents carry over from one scene to another, where those of the observations do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from run_cases import BITFLIP, settings

from envs.errors import UserError
from gcrl.practice import Practice
from representations.api import Floats
from representations.gcb import GCB
from representations.made_up import Frames, made_up_frames, made_up_space

STEPS, LOOKS = 12, 4


def walked(episodes: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Return places and actions (e, t, 2) of walks of a point to a goal, straight but for noise."""
    goals, places, actions = generator.uniform(-1, 1, (episodes, 2)), [generator.uniform(-1, 1, (episodes, 2))], []
    for _ in range(STEPS):
        away = goals - places[-1]
        action = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 0.2)
        actions.append(np.clip(action + 0.3 * generator.standard_normal(action.shape), -1, 1))
        places.append(places[-1] + 0.2 * actions[-1])
    actions.append(np.zeros((episodes, 2)))
    return np.stack(places, 1).astype(np.float32), np.stack(actions, 1).astype(np.float32)


def scenes(episodes: int, seed: int) -> tuple[Frames, Floats, np.ndarray]:
    """Return walks, and places (e, t, 2) and looks (e,).

    What is observed of a place are other numbers in every look: entry 3k to 3k + 2 in look k.
    """
    generator = np.random.default_rng(seed)
    at, actions = walked(episodes, generator)
    looks = generator.integers(LOOKS, size=episodes)
    seen = np.zeros((episodes, STEPS + 1, LOOKS, 3), np.float32)
    seen[np.arange(episodes), :, looks] = np.concatenate([at, np.ones((*at.shape[:2], 1), np.float32)], -1)
    columns = {"achieved_goal": seen.reshape(-1, 3 * LOOKS), "action": actions.reshape(-1, 2)}
    return Frames(columns, STEPS), at, looks


def unfitted(**arguments: object) -> GCB:
    """Return a GCB for the scenes."""
    space = spaces.Dict({"achieved_goal": spaces.Box(-9, 9, (3 * LOOKS,), np.float32)})
    return GCB(space, key="achieved_goal", **{"hidden": [64, 64], "features": 32, "latent_dim": 8, "first_steps": 1500} | arguments)  # type: ignore[arg-type]


def fitted(frames: Frames, **arguments: object) -> tuple[GCB, dict[str, float]]:
    """Return a GCB on the scenes, and the metrics of its fit."""
    one = unfitted(**arguments)
    return one, one.fit(frames, lambda n: frames.sample_rows(n, np.random.default_rng(1)), np.random.default_rng(2), first=True)


def carried_over(latents: Floats, places: Floats, looks: np.ndarray) -> float:
    """Return how far off (in places) start + example's difference lands among frames of the scene's own look, in the mean."""
    latents = latents.reshape(*places.shape[:2], -1)
    missed = []
    for episode in range(len(places)):
        example = next(at for at in (episode + np.arange(1, len(places))) % len(places) if looks[at] != looks[episode])
        wanted = places[episode, 0] + places[example, -1] - places[example, 0]
        if np.abs(wanted).max() < 1:
            told = latents[episode, 0] + latents[example, -1] - latents[example, 0]
            own = looks == looks[episode]
            nearest = np.argmin(np.linalg.norm(latents[own].reshape(-1, latents.shape[-1]) - told, axis=1))
            missed.append(np.linalg.norm(places[own].reshape(-1, 2)[nearest] - wanted))
    return float(np.mean(missed))


@pytest.fixture(scope="module")
def learnt() -> tuple[GCB, dict[str, float]]:
    return fitted(scenes(400, 0)[0])


def test_differences_carry_over_to_scenes_that_look_otherwise(learnt: tuple[GCB, dict[str, float]]) -> None:
    frames, places, looks = scenes(200, 7)  # not those that it learnt from
    seen = frames.columns["achieved_goal"]
    latents = learnt[0].encode({"achieved_goal": seen})
    of_learnt, of_seen = (carried_over(values, places, looks) for values in (latents, seen))
    assert of_learnt < 0.25
    assert of_seen > 2 * of_learnt
    assert learnt[1]["action_error"] < 0.5


def test_a_latent_says_how_much_is_left_to_do(learnt: tuple[GCB, dict[str, float]]) -> None:
    frames, places, _ = scenes(200, 8)
    latents = learnt[0].encode({"achieved_goal": frames.columns["achieved_goal"]}).reshape(*places.shape[:2], -1)
    left = np.linalg.norm(latents - latents[:, -1:], axis=-1)
    far, near = left[:, 0].mean(), left[:, -3].mean()
    assert far > 2 * near


def test_a_restored_one_goes_on_as_the_original() -> None:
    frames = scenes(30, 3)[0]
    one, _ = fitted(frames, first_steps=20)
    other = unfitted()  # as in a run that is resumed
    other.load_state_dict(one.state_dict())
    for each in (one, other):
        each.fit(frames, lambda n: frames.sample_rows(n, np.random.default_rng(4)), np.random.default_rng(5), first=False)
    seen = {"achieved_goal": frames.columns["achieved_goal"]}
    assert np.array_equal(one.encode(seen), other.encode(seen))


def test_it_learns_from_pictures_too() -> None:
    frames = made_up_frames()
    one = GCB(made_up_space(), first_steps=5, batch_size=16, hidden=[32])
    metrics = one.fit(frames, lambda n: frames.sample_rows(n, np.random.default_rng(1)), np.random.default_rng(2), first=True)
    assert set(metrics) == {"fit_steps", "train_gcb_loss", "action_error", "difference_error"}
    assert one.encode({"image": frames.columns["image"][:9]}).shape == (9, 16)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"discount": 1.0}, r"GCB: discount = 1.0; expected a number between 0 and 1"),
        ({"warm_up": 1.0}, r"GCB: warm_up = 1.0; expected a share from 0 to below 1"),
        ({"action_weight": -1.0}, r"GCB: action_weight = -1.0; expected at least 0"),
        ({"features": 0}, r"GCB: features = 0; expected at least 1"),
        ({"tau": 0.0}, r"GCB: tau = 0.0; expected above 0"),
        ({"key": "imag"}, r"GCB reads 'imag', which the environment does not observe \(did you mean 'image'\?\)"),
    ],
)
def test_odd_arguments_are_named(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        GCB(made_up_space(), **arguments)  # type: ignore[arg-type]


def test_actions_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    overrides = [*BITFLIP, "representation=gcb", "representation.key=achieved_goal", "representation.first_steps=2"]
    practice = Practice(settings(overrides, tmp_path / "run"))
    with pytest.raises(UserError, match="GCB learns from continuous actions"):
        practice.step()
    practice.close()
