"""Datasets for the tests of ``gcrl data``: episodes whose every frame can be told from every other, with pictures or without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gymnasium import spaces
from replay_cases import ACTIONS, episodes, space

from gcrl.data import Header, Reader, Writer


def header(pictures: bool = True, **changes) -> Header:
    usual = {"env_id": "test/Reach-v0", "env_arguments": {"size": 6}, "observation_space": space(pictures), "action_space": ACTIONS}
    return Header(**(usual | {"goal_dim": 3, "image_goal": pictures, "sampler": "my:Sampler", "config": {"seed": 3}} | changes))


def dataset(path: Path, lengths=(12, 5, 9, 3, 12, 7, 1, 12), pictures: bool = True, first: int = 0, masks=None, **changes) -> Path:
    """Write episodes numbered from `first`: the last two of another epoch, at random, without a goal."""
    with Writer(path, header(pictures, **changes)) as writer:
        some = episodes(first, list(lengths[:-2]), pictures)
        some.rewards = some.rewards + np.arange(12, dtype=np.float32)
        writer.append(some)
        late = episodes(first + len(lengths) - 2, list(lengths[-2:]), pictures)
        late.provenance = "random"
        late.goals[:], late.goal_achieved[:], late.rewards[:] = np.nan, np.nan, np.nan
        if pictures:
            late.goal_images = np.zeros_like(late.goal_images)
        writer.append(late)
        for split, members in (masks or {}).items():
            writer.set_mask(split, np.isin(np.arange(len(lengths)), members))
    return path


def discrete(path: Path) -> Path:
    """Write a dataset of discrete actions, without pictures, whose observation stands for its achieved goal."""
    vectors = {key: spaces.Box(0, 1, (3,), np.float32) for key in ("observation", "achieved_goal", "desired_goal")}
    declared = header(
        False, observation_space=spaces.Dict(vectors), action_space=spaces.Discrete(5), aliases={"achieved_goal": "observation"}
    )
    some = episodes(0, [4, 6], pictures=False)
    some.observations = {key: some.observations["achieved_goal"] for key in ("observation", "achieved_goal")}
    some.actions = np.arange(24).reshape(2, 12) % 5
    with Writer(path, declared) as writer:
        writer.append(some)
    return path


def assert_same(one: Path, other: Path, *, header_too: bool = True) -> None:
    """Compare two datasets down to the last number."""
    with Reader(one) as a, Reader(other) as b:
        assert not header_too or a.header == b.header
        assert np.array_equal(a.lengths, b.lengths)
        for name in ("seed", "epoch", "task_id", "provenance"):
            assert np.array_equal(a.column(name), b.column(name)), name
        rows = np.arange(a.rows)
        for key in [*a.file["steps/observation"], *(name for name in a.file["steps"] if name != "observation")]:
            assert np.array_equal(a.read(key, rows), b.read(key, rows), equal_nan=key not in ("image", "action")), key
        for name in a.file["goals"]:
            assert np.array_equal(a.goal(name, np.arange(len(a))), b.goal(name, np.arange(len(b))), equal_nan=name != "image"), name
        assert {name: a.mask(name).tolist() for name in a.file["mask"]} == {name: b.mask(name).tolist() for name in b.file["mask"]}
