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
from gcrl.data import Header, Writer
from gcrl.episodes import Episodes
from gcrl.inspect_run import inspect_representation, inspect_run, read_sample

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
    found = inspect_representation(Columns(), sample, NAMES, rng)  # type: ignore[arg-type]
    column, hidden = found.probes
    assert column.r2 > 0.95
    assert column.spearman > 0.6
    assert column.neighbour_error < 0.1 * column.chance_error
    assert hidden.r2 < 0.1
    assert abs(hidden.spearman) < 0.1


def test_reconstruction_is_compared_with_the_mean_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sample = read_sample(write_dataset(tmp_path / "practice.h5"), ("image",), rng)
    found = inspect_representation(Columns(), sample, NAMES, rng)  # type: ignore[arg-type]
    assert found.reconstruction_mse is not None
    assert found.mean_picture_mse is not None
    assert found.reconstruction_mse < 1e-5 < found.mean_picture_mse
    pictures = sample.observations["image"] / 255
    assert found.mean_picture_mse == pytest.approx(pictures.var(axis=0).mean(), rel=1e-6)
    assert inspect_representation(Blind(), sample, NAMES, rng).reconstruction_mse is None  # type: ignore[arg-type]


def test_picture_shows_frames_reconstructions_and_neighbours_from_other_episodes(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    sample = read_sample(write_dataset(tmp_path / "practice.h5"), ("image",), rng)
    inspect_representation(Columns(), sample, NAMES, rng, tmp_path / "inspect.png")  # type: ignore[arg-type]
    with Image.open(tmp_path / "inspect.png") as picture:
        sheet = np.asarray(picture.convert("RGB")).astype(int)
    rows = [sheet[4 + r * 100 : 100 + r * 100, 120:216] for r in range(5)]
    frame, reconstruction, *neighbours = rows
    assert np.abs(reconstruction - frame).mean() < 2
    assert all(np.abs(neighbour - frame).mean() < 15 for neighbour in neighbours)
    assert all(np.abs(neighbour - frame).max() > 0 for neighbour in neighbours)


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
    for word in ("column", "hidden", "probe R²", "reconstruction error", "inspect.png"):
        assert word in text
    found = json.loads(json.dumps(inspect_run(tmp_path, json=True)))
    assert [row["factor"] for row in found["probes"]] == list(NAMES)
    assert (tmp_path / "inspect.png").is_file()


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
