"""The environment's states in a dataset: recorded on request, kept by every verb, and enough to begin an episode in."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from data_cases import assert_same
from file_cases import contents

import envs
from envs.errors import UserError
from gcrl.collect import collect
from gcrl.data import Reader, Writer
from gcrl.data.check import check
from gcrl.data.exchange import export
from gcrl.data.merge import merge

PUSH = ["env=push", "env.image_size=0", "env.horizon=8", "simulators=2", "seed=3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`states.h5` and `plain.h5`: the same episodes with states and without."""
    path = tmp_path_factory.mktemp("states")
    collect([*PUSH, "episodes=5", "states=true", f"out={path / 'states.h5'}"])
    collect([*PUSH, "episodes=5", f"out={path / 'plain.h5'}"])
    return path


def test_states_come_on_top_of_the_same_episodes(folder: Path) -> None:
    with_states, without = contents(folder / "states.h5"), contents(folder / "plain.h5")
    assert set(with_states) - set(without) == {"steps/state", "@state_dim"}
    for name, values in without.items():
        assert np.array_equal(with_states[name], values, equal_nan=name.startswith("goals/params")), name
    assert check(folder / "states.h5").findings == []


def test_an_episode_begins_in_a_state(folder: Path) -> None:
    env = envs.make("gcrl/Push-v0", image_size=0)
    with Reader(folder / "states.h5") as reader:
        for row in (0, 5, reader.rows - 1):
            observation, _ = env.reset(seed=1, options={"start": reader.states(np.array([row]))[0]})
            np.testing.assert_allclose(observation["achieved_goal"], reader.read("achieved_goal", np.array([row]))[0], atol=1e-5)
        with pytest.raises(UserError, match="has no states"):
            Reader(folder / "plain.h5").states(np.arange(2))
    env.close()


def test_a_collection_that_is_made_longer_keeps_its_states(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    collect([*PUSH, "episodes=3", "states=true", f"out={path}"])
    with pytest.raises(UserError, match="made with another state_dim"):
        collect([*PUSH, "episodes=5", "resume=true", f"out={path}"])
    collect([*PUSH, "episodes=5", "states=true", "workers=2", "resume=true", f"out={path}"])
    assert_same(path, folder / "states.h5")


def test_merging_and_reading_whole_episodes_keep_states(folder: Path, tmp_path: Path) -> None:
    merge([folder / "states.h5", folder / "states.h5"], tmp_path / "both.h5")
    with Reader(tmp_path / "both.h5") as both, Reader(folder / "states.h5") as one:
        assert np.array_equal(both.states(np.arange(both.rows)), np.tile(one.states(np.arange(one.rows)), (2, 1)))
        expected = one.states(np.arange(one.rows))
        with Writer(tmp_path / "again.h5", one.header) as writer:
            writer.append(one.episodes(slice(None)))
    with Reader(tmp_path / "again.h5") as again:
        assert np.array_equal(again.states(np.arange(again.rows)), expected)
    with pytest.raises(UserError, match="cannot merge: state_dim"):
        merge([folder / "states.h5", folder / "plain.h5"], tmp_path / "mixed.h5")


def test_other_formats_say_that_states_stay_behind(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no place for the environment's states; give --lossy"):
        export(folder / "states.h5", tmp_path / "d.hdf5", "robomimic")
    export(folder / "states.h5", tmp_path / "d.hdf5", "robomimic", lossy=True)
    with h5py.File(tmp_path / "d.hdf5") as file:
        assert "state_dim" not in file["data"].attrs["gcrl"]


def test_damaged_states_are_found(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    path.write_bytes((folder / "states.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["steps/state"][7, 2] = np.nan
    assert [(finding.kind, finding.where.split(",")[0]) for finding in check(path).findings] == [("nan", "/steps/state")]
    with h5py.File(path, "r+") as file:
        del file["steps/state"]
    with pytest.raises(UserError, match="lacks /steps/state"):
        Reader(path)
