"""A lossy encoder keeps what values and actions depend on, and drops what else is seen."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from gymnasium import spaces
from run_cases import BITFLIP, settings
from sklearn.linear_model import LinearRegression
from test_gcb import STEPS, walked

from envs.errors import UserError
from gcrl.practice import Practice
from representations.api import Floats
from representations.lossy import Lossy
from representations.made_up import Frames, made_up_frames, made_up_space

BACKGROUND = 4


def walks(episodes: int, seed: int) -> Frames:
    """Return walks of a point to a goal, straight but for noise, before a background of numbers that drift for themselves."""
    generator = np.random.default_rng(seed)
    places, actions = walked(episodes, generator)
    behind = np.cumsum(0.3 * generator.standard_normal((episodes, STEPS + 1, BACKGROUND)), axis=1)
    seen = np.concatenate([places, behind], -1).astype(np.float32)
    columns = {"achieved_goal": seen.reshape(-1, 2 + BACKGROUND), "action": actions.reshape(-1, 2)}
    return Frames(columns, STEPS)


def unfitted(**arguments: object) -> Lossy:
    space = spaces.Dict({"achieved_goal": spaces.Box(-9, 9, (2 + BACKGROUND,), np.float32)})
    sizes = {"hidden": [64, 64], "latent_dim": 8, "first_steps": 800, "kl_weight": 0.03, "discount": 0.9, "lr": 1e-3}
    return Lossy(space, key="achieved_goal", **sizes | arguments)  # type: ignore[arg-type]


def fitted(frames: Frames, **arguments: object) -> tuple[Lossy, dict[str, float]]:
    one = unfitted(**arguments)
    return one, one.fit(frames, lambda n: frames.sample_rows(n, np.random.default_rng(1)), np.random.default_rng(2), first=True)


def places_known(one: Lossy) -> float:
    """Return R² of a linear probe of the latents for places, on frames that neither was fitted to."""

    def of(seed: int) -> tuple[Floats, Floats]:
        seen = walks(200, seed).columns["achieved_goal"]
        return one.encode({"achieved_goal": seen}), seen[:, :2]

    return float(LinearRegression().fit(*of(7)).score(*of(8)))


def moved_by_the_background(encode: Callable[[Floats], Floats]) -> float:
    """Return how far what is encoded moves where only the background is another frame's, in units of where only the place is."""
    seen = walks(200, 7).columns["achieved_goal"]
    other = np.random.default_rng(0).permutation(seen)
    behind, place = np.concatenate([seen[:, :2], other[:, 2:]], 1), np.concatenate([other[:, :2], seen[:, 2:]], 1)
    by_behind, by_place = (np.linalg.norm(encode(frames) - encode(seen), axis=1).mean() for frames in (behind, place))
    return float(by_behind / by_place)


@pytest.fixture(scope="module")
def learnt() -> tuple[Lossy, dict[str, float]]:
    return fitted(walks(400, 0))


def test_it_keeps_where_things_are_and_hardly_what_moves_behind_them(learnt: tuple[Lossy, dict[str, float]]) -> None:
    assert places_known(learnt[0]) > 0.95
    assert moved_by_the_background(lambda seen: learnt[0].encode({"achieved_goal": seen})) < 0.5
    assert moved_by_the_background(lambda seen: seen) > 2
    for_free = fitted(walks(400, 0), kl_weight=0.0)[1]
    assert learnt[1]["information"] < 0.5 * for_free["information"]


def test_its_values_and_actions_are_those_of_the_task(learnt: tuple[Lossy, dict[str, float]]) -> None:
    assert learnt[1]["steps_spearman"] > 0.35
    assert learnt[1]["action_error"] < 0.5  # that of always doing the same is 1


def test_a_restored_one_goes_on_as_the_original() -> None:
    frames = walks(30, 3)
    one, _ = fitted(frames, first_steps=20)
    for state in (one.state_dict(), unfitted().state_dict(), one.state_dict()):
        other = unfitted(seed=5)
        other.load_state_dict(state)
    for each in (one, other):
        each.fit(frames, lambda n: frames.sample_rows(n, np.random.default_rng(4)), np.random.default_rng(5), first=False)
    seen = {"achieved_goal": frames.columns["achieved_goal"]}
    assert np.array_equal(one.encode(seen), other.encode(seen))


def test_it_learns_from_pictures_too() -> None:
    frames = made_up_frames()
    one = Lossy(made_up_space(), first_steps=5, batch_size=16, hidden=[32])
    metrics = one.fit(frames, lambda n: frames.sample_rows(n, np.random.default_rng(1)), np.random.default_rng(2), first=True)
    assert {"fit_steps", "train_lossy_loss", "information", "action_error"} <= set(metrics)
    assert one.encode({"image": frames.columns["image"][:9]}).shape == (9, 64)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"discount": 1.0}, "discount = 1.0; expected a number between 0 and 1"),
        ({"expectile": 0.0}, "expectile = 0.0; expected a number between 0 and 1"),
        ({"negatives": 0.8, "arrived": 0.3}, "negatives = 0.8 and arrived = 0.3; expected shares that come to 1 at most"),
        ({"kl_weight": -1.0}, "kl_weight = -1.0; expected at least 0"),
        ({"latent_dim": 0}, "latent_dim = 0; expected at least 1"),
        ({"tau": 0.0}, "tau = 0.0; expected above 0"),
        ({"lr": 0.0}, "lr = 0.0; expected a number above 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"Lossy: {said}")):
        Lossy(made_up_space(), **arguments)  # type: ignore[arg-type]


def test_actions_that_are_choices_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    run = Practice(settings([*BITFLIP, "representation=lossy", "representation.key=achieved_goal"], tmp_path / "run"))
    with pytest.raises(UserError, match=r"Lossy learns from continuous actions \(n, a\); the experience has int64"):
        run.step()
    run.close()
