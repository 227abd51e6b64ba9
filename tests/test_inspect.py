"""A first look at a representation finds what is in it, and says so in text, in JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest

import gcrl
from envs.errors import UserError
from gcrl import latent_views as views
from gcrl.data import Header, Writer
from gcrl.episodes import Episodes
from gcrl.inspect_run import encode, inspect_representation, inspect_run, read_routes, read_sample

HORIZON, SIZE = 10, 16
NAMES = ("column_m", "hidden_rad")


class Columns:
    """A representation of pictures that is known by heart: the mean of each column, which knows where a bright column stands."""

    keys, latent_dim, cache, needs_fit = ("image",), SIZE, "frame", False

    def encode(self, observations: Mapping[str, Any], context: Any = None) -> np.ndarray:
        return (observations["image"].mean(axis=(1, 3)) / 255).astype(np.float32)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        return np.repeat(np.repeat((latents * 255).round().astype(np.uint8)[:, None, :, None], SIZE, axis=1), 3, axis=3)


class Blind(Columns):
    """A representation that sees noise only, and decodes nothing."""

    decode = None  # type: ignore[assignment]

    def encode(self, observations: Mapping[str, Any], context: Any = None) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(len(observations["image"]), SIZE)).astype(np.float32)


def write_dataset(path: Path, n: int = 40, images: bool = True) -> Path:
    """Write n episodes in which a bright band stands at the factor ``column``; ``hidden`` leaves no trace in the picture."""
    rng = np.random.default_rng(3)
    column, hidden = rng.uniform(2, SIZE - 3, (n, HORIZON + 1)), rng.uniform(0, 1, (n, HORIZON + 1))
    band = (255 * np.exp(-0.5 * np.square((np.arange(SIZE) - column[..., None]) / 2.5))).astype(np.uint8)
    state = np.stack([column / 100, hidden], axis=2).astype(np.float32)
    observations: dict[str, Any] = {"observation": state, "achieved_goal": state}
    spaces = {key: gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32) for key in ("observation", "achieved_goal", "desired_goal")}
    if images:
        observations["image"] = np.repeat(np.repeat(band[:, :, None, :, None], SIZE, axis=2), 3, axis=4)
        spaces["image"] = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    header = Header("none", {}, gymnasium.spaces.Dict(spaces), gymnasium.spaces.Box(-1, 1, (1,), np.float32), goal_dim=2)
    actions, ended, lengths = np.zeros((n, HORIZON, 1), np.float32), np.zeros((n, HORIZON), bool), np.full(n, HORIZON)
    goals, rewards = np.zeros((n, 2), np.float32), np.zeros((n, HORIZON), np.float32)
    with Writer(path, header) as writer:
        writer.append(Episodes(observations, actions, ended, lengths, np.arange(n), goals, np.arange(n), rewards=rewards))
    return path


def test_a_factor_that_shows_is_found_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sample = read_sample(write_dataset(tmp_path / "practice.h5"), ("image",), rng)
    found = inspect_representation(Columns(), sample, encode(Columns(), sample.observations), NAMES, rng)  # type: ignore[arg-type]
    column, hidden = found.probes
    assert column.r2 > 0.95
    assert column.spearman > 0.6
    assert column.neighbour_error < 0.1 * column.chance_error
    assert hidden.r2 < 0.1
    assert abs(hidden.spearman) < 0.1


def test_reconstruction_is_compared_with_the_mean_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sample = read_sample(write_dataset(tmp_path / "practice.h5"), ("image",), rng)
    found = inspect_representation(Columns(), sample, encode(Columns(), sample.observations), NAMES, rng)  # type: ignore[arg-type]
    assert found.reconstruction_mse is not None
    assert found.mean_picture_mse is not None
    assert found.reconstruction_mse < 1e-5 < found.mean_picture_mse
    pictures = sample.observations["image"] / 255
    assert found.mean_picture_mse == pytest.approx(pictures.var(axis=0).mean(), rel=1e-6)
    blind = encode(Blind(), sample.observations)  # type: ignore[arg-type]
    assert inspect_representation(Blind(), sample, blind, NAMES, rng).reconstruction_mse is None  # type: ignore[arg-type]


def test_neighbours_are_alike_and_of_other_episodes(tmp_path: Path) -> None:
    sample = read_sample(write_dataset(tmp_path / "practice.h5"), ("image",), np.random.default_rng(0))
    near = views.neighbours(encode(Columns(), sample.observations), sample.episodes, [0, 100, 200])  # type: ignore[arg-type]
    assert near.shape == (3, 3)
    for row, found in zip([0, 100, 200], near.T):
        assert len({sample.episodes[row], *sample.episodes[found]}) == 4
        assert np.abs(sample.factors[found, 0] - sample.factors[row, 0]).max() < 0.005


def test_a_traversal_moves_one_entry_and_an_interpolation_ends_at_its_frames() -> None:
    drawn: list[np.ndarray] = []

    def decode(latents: np.ndarray) -> np.ndarray:
        drawn.append(latents)
        return np.zeros((len(latents), 4, 4, 3), np.uint8)

    latents = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32) * np.array([1, 5, 2], np.float32)
    chosen, rows = views.traversals(decode, latents, most=2)
    assert chosen == [1, 2]
    assert len(rows) == 2
    moved = drawn[0] - latents.mean(axis=0)
    assert np.allclose(moved[:, [0, 2]], 0, atol=1e-5)
    assert moved[:, 1] == pytest.approx(np.linspace(-2, 2, 7) * latents[:, 1].std(), abs=1e-4)
    views.interpolations(decode, latents, [(3, 9)])
    assert np.allclose(drawn[-1][[0, 3, -1]], [latents[3], (latents[3] + latents[9]) / 2, latents[9]], atol=1e-5)


def test_a_map_keeps_what_varies_most_and_a_single_dimension_has_one() -> None:
    latents = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32) * np.array([9, 0.1, 5, 0.1], np.float32)
    points, share = views.plane_map(latents)
    assert share > 0.99
    assert abs(np.corrcoef(points[:, 0], latents[:, 0])[0, 1]) > 0.99
    assert views.plane_map(latents[:, :1])[0].shape == (300, 2)
    assert np.isfinite(views.plane_map(np.zeros((5, 3), np.float32))[1])


def walks(path: Path, n: int = 12) -> Path:
    """Write episodes in which the band walks steadily to its goal's column; in the last third the goal is elsewhere."""
    write_dataset(path, n)
    goals = np.linspace(2, 13, n)
    column = np.linspace(np.full(n, 7.5), goals, HORIZON + 1, axis=1)
    band = (255 * np.exp(-0.5 * np.square((np.arange(SIZE) - column[..., None]) / 2.5))).astype(np.uint8).reshape(-1, SIZE)
    state = np.stack([column / 100, np.zeros_like(column)], axis=2).reshape(-1, 2)
    wanted = np.stack([goals / 100, np.zeros(n)], axis=1)
    wanted[2 * n // 3 :] += 0.5
    with h5py.File(path, "a") as file:
        file["steps/observation/image"][:] = np.repeat(np.repeat(band[:, None, :, None], SIZE, axis=1), 3, axis=3)
        file["steps/observation/achieved_goal"][:] = state
        file["goals/achieved"][:] = wanted
        file["goals/params"][:] = wanted
    return path


class States(Columns):
    keys = ("achieved_goal",)

    def encode(self, observations: Mapping[str, Any], context: Any = None) -> np.ndarray:
        return np.asarray(observations["achieved_goal"], np.float32)


def test_distance_is_followed_along_episodes_that_reached_their_goal_or_else_to_where_they_ended(tmp_path: Path) -> None:
    path, near = walks(tmp_path / "practice.h5"), lambda one, other: np.linalg.norm(one - other, axis=-1) < 0.001
    routes, hindsight = read_routes(path, States(), near)  # type: ignore[arg-type]
    assert (len(routes), hindsight) == (8, False)
    for route in routes:
        assert route.latent[0] == route.true[0] == 1
        assert route.latent == pytest.approx(np.linspace(1, 0, HORIZON + 1), abs=1e-4)
    assert views.follows(routes) == pytest.approx(1)
    routes, hindsight = read_routes(path, Columns(), near)  # type: ignore[arg-type]
    assert hindsight  # goals without pictures
    assert views.follows(routes) > 0.99
    assert read_routes(path, States(), None)[1]  # type: ignore[arg-type]
    assert views.follows(read_routes(path, Blind(), near)[0]) < 0.9  # type: ignore[arg-type]
    assert np.isnan(views.follows([]))


def test_the_page_shows_every_view_and_only_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "practice.h5")
    fake_run(monkeypatch, Columns())
    titles = ("Probes", "On the way to a goal", "Reconstructions", "Traversals", "Interpolations", "Nearest neighbours", "A map")
    inspect_run(tmp_path)
    page = (tmp_path / "inspect.html").read_text()
    assert [title for title in titles if f"<h2>{title}" not in page] == []
    assert "https://" not in page
    fake_run(monkeypatch, Blind())
    inspect_run(tmp_path)
    page = (tmp_path / "inspect.html").read_text()
    assert [title for title in titles if f"<h2>{title}" not in page] == ["Reconstructions", "Traversals", "Interpolations"]


def test_sample_trusts_the_episode_table_and_spreads_over_episodes(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "practice.h5", n=20)
    with h5py.File(path, "a") as file:  # the last ten episodes are being written: rows without an entry
        file["episodes/start"].resize(10, axis=0)
    sample = read_sample(path, ("image",), np.random.default_rng(0), rows=30)
    assert set(sample.episodes) == set(range(10))
    assert len(sample.episodes) == 30


def fake_run(monkeypatch: pytest.MonkeyPatch, representation: Any) -> None:
    """Let ``gcrl.load`` return a run with this representation: what is loaded is tested where loading is."""
    environment = SimpleNamespace(factors=NAMES, close=lambda: None)
    run = SimpleNamespace(representation=representation, settings=SimpleNamespace(seed=1), environment=lambda: environment)
    monkeypatch.setattr(gcrl, "load", lambda path: run, raising=False)


def test_inspect_run_prints_a_table_and_returns_plain_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "practice.h5")
    fake_run(monkeypatch, Columns())
    text = inspect_run(tmp_path)
    for word in ("column", "hidden", "probe R²", "reconstruction error", "inspect.html"):
        assert word in text
    found = json.loads(json.dumps(inspect_run(tmp_path, json=True)))
    assert [row["factor"] for row in found["probes"]] == list(NAMES)
    assert found["page"] == str(tmp_path / "inspect.html")


def test_looking_twice_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "practice.h5")
    fake_run(monkeypatch, Columns())
    assert inspect_run(tmp_path, json=True) == inspect_run(tmp_path, json=True)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_run(monkeypatch, Columns())
    with pytest.raises(UserError, match=r"no practice\.h5"):
        inspect_run(tmp_path)
    write_dataset(tmp_path / "practice.h5", images=False)
    with pytest.raises(UserError, match="no observation 'image'; it holds: "):
        inspect_run(tmp_path)
