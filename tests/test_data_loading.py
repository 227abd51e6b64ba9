"""PyTorch reads minibatches straight from disk, the same ones with any number of workers, forked or spawned."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
import torch
from data_cases import dataset, discrete
from replay_cases import frame, picture
from torch.utils.data import DataLoader

from envs.errors import UserError
from gcrl.data.loading import Batches, EpisodeWindows, Frames, Transitions

LENGTHS = (12, 5, 9, 3, 12, 7, 1, 12)


@pytest.fixture
def path(tmp_path):
    return dataset(tmp_path / "d.h5", LENGTHS, masks={"train": [1, 3, 6]})


def test_frames_are_all_frames_of_a_split(path):
    frames = Frames(path, split="train")
    expected = [(e, t) for e in (1, 3, 6) for t in range(LENGTHS[e] + 1)]
    assert len(frames) == len(expected)
    for index, (episode, step) in enumerate(expected):
        item = frames[index]
        assert (int(item["episode"]), int(item["step"])) == (episode, step)
        assert np.array_equal(item["achieved_goal"], frame(episode, step))
        assert np.array_equal(item["image"], picture(episode, step))
    assert item["desired_goal"].isnan().all()  # episode 6 acted at random
    assert np.array_equal(frames[0]["goal_image"], picture(1, 0))
    with pytest.raises(IndexError):
        frames[len(frames)]


def test_transitions_never_cross_an_episodes_end(path):
    transitions = Transitions(path, keys=("achieved_goal", "desired_goal"))
    batch = transitions[np.arange(len(transitions))]
    assert len(batch["action"]) == sum(LENGTHS)
    assert "next_desired_goal" not in batch
    for now, after, episode, step, action in zip(
        *(batch[key] for key in ("achieved_goal", "next_achieved_goal", "episode", "step", "action"))
    ):
        assert np.array_equal(now, frame(int(episode), int(step)))
        assert np.array_equal(after, frame(int(episode), int(step) + 1))
        assert np.allclose(action, frame(int(episode), int(step))[:2] / 1000)
    assert batch["truncated"].sum() == len(LENGTHS)
    assert batch["desired_goal"][0].tolist() == [0, 0, 0]


def test_episodes_are_padded_and_windows_lie_within_them(path):
    whole = EpisodeWindows(path, keys=("achieved_goal", "goal_image"))
    batch = whole[[3, 1, 3]]
    assert batch["achieved_goal"].shape == (3, 6, 3)
    assert batch["length"].tolist() == [3, 5, 3]
    assert batch["valid"].sum(dim=1).tolist() == [3, 5, 3]
    assert np.array_equal(batch["achieved_goal"][0], [frame(3, min(t, 3)) for t in range(6)])
    assert not batch["action"][0, 3:].any()
    assert np.array_equal(batch["goal_image"][1], picture(1, 0))
    windows = EpisodeWindows(path, keys=("achieved_goal",), window=4, seed=3)
    seen = set()
    for windows.epoch in range(30):
        item = windows[0]
        begin = int(item["start"])
        seen.add(begin)
        assert np.array_equal(item["achieved_goal"], [frame(0, begin + t) for t in range(5)])
    assert seen == set(range(9))
    short = windows[3]
    assert (int(short["length"]), short["valid"].tolist()) == (3, [True, True, True, False])


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_what_one_process_reads(path, start):
    def batches(workers):
        data = Transitions(path)
        data[0]  # opened before the workers start: they must not use this process's file
        sampler = Batches(len(data), 16, seed=5)
        loader = DataLoader(data, sampler=sampler, batch_size=None, num_workers=workers, multiprocessing_context=start if workers else None)
        return [batch for _ in range(2 if start == "fork" else 1) for batch in loader]

    alone, together = batches(0), batches(2)
    assert len(alone) == len(together) >= 4
    for one, other in zip(alone, together):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key].nan_to_num(7.0), other[key].nan_to_num(7.0)) for key in one)


def test_batches_hold_each_index_once_and_differ_by_epoch_and_seed():
    sampler = Batches(50, 16, seed=1)
    first, second = list(sampler), list(sampler)
    assert [len(batch) for batch in first] == [16, 16, 16, 2]
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(50))
    assert first != second
    assert list(Batches(50, 16, seed=1)) == first
    assert list(Batches(50, 16, seed=2)) != first
    assert [len(batch) for batch in Batches(50, 16, drop_last=True)] == [16, 16, 16]
    sampler.epoch = 0
    assert list(sampler) == first
    with pytest.raises(UserError, match="expected at least 1"):
        Batches(0, 16)


def test_a_standard_loader_collates_single_items(path):
    loader = DataLoader(Frames(path, keys=("image",)), batch_size=8, shuffle=True)
    batch = next(iter(loader))
    assert batch["image"].shape == (8, 6, 6, 3)
    assert batch["image"].dtype == torch.uint8


def test_datasets_survive_pickling_and_appended_episodes(path):
    frames = Frames(path, keys=("achieved_goal",))
    frames[0]
    copy = pickle.loads(pickle.dumps(frames))
    assert torch.equal(copy[20]["achieved_goal"], frames[20]["achieved_goal"])
    copy.close()
    assert torch.equal(copy[20]["achieved_goal"], frames[20]["achieved_goal"])
    copy.close()
    frames.close()
    with h5py.File(path, "r+") as file:  # as if another process went on writing
        file["steps/reward"].resize(90, axis=0)
    assert len(frames) == 69


def test_discrete_actions_and_aliases_are_read(tmp_path):
    batch = Transitions(discrete(tmp_path / "d.h5"))[[0, 9]]
    assert batch["action"].dtype == torch.int64
    assert torch.equal(batch["achieved_goal"], batch["observation"])


def test_what_is_not_there_is_named(path):
    for arguments, message in (
        ({"keys": ("imgae",)}, "unknown observation 'imgae' .did you mean 'image'"),
        ({"split": "trian"}, "unknown split 'trian' .did you mean 'train'"),
    ):
        with pytest.raises(UserError, match=message):
            Frames(path, **arguments)
    with pytest.raises(UserError, match="window=0"):
        EpisodeWindows(path, window=0)
