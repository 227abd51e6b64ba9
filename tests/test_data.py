"""Datasets: what is written comes back, and a process killed at any point leaves a file that plain h5py reads."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_cases import ACTIONS, HORIZON, episodes, frame, picture, space

from envs.errors import UserError
from gcrl.data import Header, Reader, Writer, describe, info
from gcrl.data.schema import space_from_dict, space_to_dict


def header(**changes):
    return Header(**({"env_id": "test/Reach-v0", "env_arguments": {"size": 6}} | changes), **standard(changes))


def standard(changes):
    usual = {"observation_space": space(), "action_space": ACTIONS, "goal_dim": 3, "image_goal": True}
    return {key: value for key, value in usual.items() if key not in changes}


def write(path, lengths, first=0):
    with Writer(path, header()) as writer:
        writer.append(episodes(first, lengths))
    return path


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(1, HORIZON), min_size=1, max_size=4), min_size=1, max_size=5))
def test_episodes_come_back_as_they_were(tmp_path_factory, lengths):
    path = tmp_path_factory.mktemp("data") / "d.h5"
    count, written = 0, []
    with Writer(path, header()) as writer:
        for batch in lengths:
            written.append(episodes(count, batch))
            writer.append(written[-1])
            count += len(batch)
    with Reader(path) as reader:
        assert len(reader) == count
        index = 0
        for batch in written:
            back = reader.episodes(np.arange(index, index + len(batch)))
            index += len(batch)
            longest = batch.lengths.max()
            for key in ("lengths", "seeds", "goals", "goal_rows", "goal_images", "goal_achieved"):
                assert np.array_equal(getattr(back, key), getattr(batch, key)), key
            assert (back.epoch, back.provenance) == (batch.epoch, batch.provenance)
            for key, values in back.observations.items():
                assert np.array_equal(values, batch.observations[key][:, : longest + 1].astype(values.dtype)), key
            real = np.arange(longest) < batch.lengths[:, None]
            assert np.array_equal(back.actions[real], batch.actions[:, :longest][real])
            assert np.array_equal(back.terminated, batch.terminated[:, :longest])
        valid, truncated = reader.read("valid", np.arange(reader.rows)), reader.read("truncated", np.arange(reader.rows))
        assert not reader.read("action", np.arange(reader.rows))[~valid].any()
        flat = np.concatenate([batch.lengths for batch in written])
        assert np.array_equal(valid, np.concatenate([np.arange(n + 1) < n for n in flat]))
        assert np.array_equal(truncated, np.concatenate([np.arange(n + 1) == n - 1 for n in flat]))


def test_rows_are_read_in_any_order(tmp_path):
    with Reader(write(tmp_path / "d.h5", [12] * 60)) as reader:
        rows = np.random.default_rng(0).integers(0, reader.rows, 40)
        expected = [divmod(int(row), 13) for row in rows]
        assert np.array_equal(reader.read("achieved_goal", rows), [frame(*at) for at in expected])
        assert np.array_equal(reader.read("image", rows), [picture(*at) for at in expected])
        assert [int(one.observations["achieved_goal"][0, 0, 0]) for one in reader] == list(range(60))
        with pytest.raises(UserError, match=r"unknown dataset key 'imgae' .did you mean 'image'"):
            reader.read("imgae", rows)


def test_an_alias_is_stored_once_and_read_like_any_key(tmp_path):
    alike = spaces.Dict({key: spaces.Box(-1, 1, (3,), np.float32) for key in ("observation", "achieved_goal", "desired_goal")})
    some = episodes(0, [4], pictures=False)
    some.observations = {"observation": some.observations["achieved_goal"], "achieved_goal": some.observations["achieved_goal"].copy()}
    declared = header(observation_space=alike, image_goal=False, aliases={"achieved_goal": "observation"})
    with Writer(tmp_path / "d.h5", declared) as writer:
        writer.append(some)
        some.observations["achieved_goal"][0, 0] += 1
        with pytest.raises(ValueError, match="declared an alias"):
            writer.append(some)
    with Reader(tmp_path / "d.h5") as reader:
        assert np.array_equal(reader.episodes([0]).observations["achieved_goal"], reader.episodes([0]).observations["observation"])
    with h5py.File(tmp_path / "d.h5", "r") as file:
        assert file["steps/observation/achieved_goal"] == file["steps/observation/observation"]


@pytest.mark.parametrize(
    "one",
    [
        spaces.Box(-1, 1, (3,), np.float32),
        spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
        spaces.Box(np.array([-1, -np.inf]), np.array([1.0, 2.0]), dtype=np.float64),
        spaces.Box(0, 255, (4, 4, 3), np.uint8),
        spaces.Discrete(5, start=1),
        spaces.MultiBinary(7),
        space(),
    ],
)
def test_spaces_survive_strict_json(one):
    text = json.dumps(space_to_dict(one), allow_nan=False)
    assert space_from_dict(json.loads(text)) == one


def test_truncating_and_going_on_equals_never_having_gone_astray(tmp_path):
    with Writer(tmp_path / "astray.h5", header()) as writer:
        writer.append(episodes(0, [5, 12]))
        writer.append(episodes(70, [3, 4, 5]))
    with Writer(tmp_path / "astray.h5") as writer:
        writer.truncate(2)
        writer.append(episodes(2, [12, 1]))
        with pytest.raises(UserError, match="holds 4 episodes; expected at least 9"):
            writer.truncate(9)
    with Writer(tmp_path / "straight.h5", header()) as writer:
        writer.append(episodes(0, [5, 12]))
        writer.append(episodes(2, [12, 1]))
    with Reader(tmp_path / "astray.h5") as astray, Reader(tmp_path / "straight.h5") as straight:
        one, other = astray.episodes(slice(None)), straight.episodes(slice(None))
        assert one.observations.keys() == other.observations.keys()
        assert all(np.array_equal(one.observations[key], other.observations[key]) for key in one.observations)
        assert np.array_equal(one.goal_images, other.goal_images)
        assert astray.file["steps/action"].shape == straight.file["steps/action"].shape


WRITES_FOREVER = """
import sys
from replay_cases import episodes
from test_data import header
from gcrl.data import Writer
writer = Writer(sys.argv[1], header())
print("open", flush=True)
count = 0
while True:
    writer.append(episodes(count, [12, 5, 9]))
    count += 3
    print(count, flush=True)
"""


def start_writing(path, **environment):
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", WRITES_FOREVER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths} | environment,
    )


def assert_plain_h5py_reads(path, at_least):
    """Read every episode that the file shows with h5py alone, down to the pictures."""
    with h5py.File(path, "r") as file:
        start, length = file["episodes/start"][:], file["episodes/length"][:]
        assert len(start) >= at_least
        assert length[: len(start)].tolist() == ([12, 5, 9] * len(start))[: len(start)]
        for number, (row, steps) in enumerate(zip(start, length)):
            assert file["episodes/seed"][number] == number
            assert file["goals/params"][number, 0] == -number
            wanted = [frame(number, t) for t in range(steps + 1)]
            assert np.array_equal(file["steps/observation/achieved_goal"][row : row + steps + 1], wanted)
        for number in np.unique(np.linspace(0, len(start) - 1, 20).astype(int)) if len(start) else []:
            assert np.array_equal(file["steps/observation/image"][start[number] + 1], picture(number, 1))


def test_killed_between_rows_and_episodes_the_file_shows_the_earlier_episodes_and_can_be_continued(tmp_path):
    path = tmp_path / "d.h5"
    process = start_writing(path, GCRL_FAULT="dataset:rows:5")
    printed = process.communicate(timeout=60)[0].split()
    assert process.returncode == -signal.SIGKILL
    assert printed[-1] == "12"
    assert_plain_h5py_reads(path, 12)
    with Writer(path) as writer:
        assert len(writer) == 12
        writer.append(episodes(12, [12, 5, 9]))
    assert_plain_h5py_reads(path, 15)


def test_killed_at_any_moment_the_file_shows_every_episode_that_was_reported_written(tmp_path):
    moments = random.Random(3)
    for attempt in range(5):
        path = tmp_path / f"{attempt}.h5"
        process = start_writing(path)
        process.stdout.readline()
        time.sleep(moments.uniform(0.02, 0.6))
        process.kill()
        reported = [int(word) for word in process.stdout.read().split()]
        process.wait()
        process.stdout.close()
        assert_plain_h5py_reads(path, max(reported, default=0))


def test_a_full_disk_is_one_clear_error_and_the_file_stays_readable(tmp_path):
    path = tmp_path / "d.h5"
    here = Path(__file__).parent
    script = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, 2_500_000))\n" + WRITES_FOREVER
    paths = os.pathsep.join([str(here), str(here.parent)])
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, timeout=100
    )
    assert done.returncode == 1
    assert "UserError: cannot write to" in done.stderr
    assert "expected free disk space; earlier episodes are intact" in done.stderr
    reported = int(done.stdout.split()[-1])
    assert reported > 0
    assert_plain_h5py_reads(path, reported)


def test_space_is_asked_for_before_anything_is_written(tmp_path, monkeypatch):
    with Writer(tmp_path / "d.h5", header()) as writer:
        writer.append(episodes(0, [3]))
        monkeypatch.setattr("gcrl.data.writer.SPARE_BYTES", 1 << 60)
        with pytest.raises(UserError, match=r"disk full: .* MiB are free .*expected at least"):
            writer.append(episodes(1, [3]))
    with Reader(tmp_path / "d.h5") as reader:
        assert len(reader) == 1


def test_a_file_may_be_read_while_another_process_writes_it(tmp_path):
    process = start_writing(tmp_path / "d.h5")
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        with Reader(tmp_path / "d.h5") as reader:
            assert len(reader) >= int(lines[-1])
            assert np.array_equal(reader.episodes([4]).observations["achieved_goal"][0, 3], frame(4, 3))
        with pytest.raises(UserError, match="being written by another process"):
            Writer(tmp_path / "d.h5")
    finally:
        process.kill()
        process.communicate()


def test_files_that_are_no_dataset_are_named_in_one_line(tmp_path):
    good = write(tmp_path / "practice.h5", [12] * 8)

    def refused(path, message):
        with pytest.raises(UserError, match=message) as caught:
            info(path)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "practise.h5", "does not exist .did you mean 'practice.h5'")
    (tmp_path / "text.h5").write_text("hello")
    refused(tmp_path / "text.h5", "is not an HDF5 file")
    (tmp_path / "cut.h5").write_bytes(good.read_bytes()[:-30_000])
    refused(tmp_path / "cut.h5", "is truncated or damaged")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data"] = 1
    refused(tmp_path / "foreign.h5", "HDF5 file of another kind .*expected format 'gcrl-dataset'")
    for name, change, message in (
        ("newer", lambda file: file.attrs.__setitem__("format_version", 2), "format version 2; expected at most 1"),
        ("lacking", lambda file: file.__delitem__("steps/reward"), "lacks /steps/reward"),
        ("garbled", lambda file: file.attrs.__setitem__("action_space", "{"), "damaged header"),
        ("short", lambda file: file["steps/action"].resize(20, axis=0), "its episodes need 104 rows, it holds 20"),
    ):
        changed = tmp_path / f"{name}.h5"
        changed.write_bytes(good.read_bytes())
        with h5py.File(changed, "r+") as file:
            change(file)
        refused(changed, message)
    with pytest.raises(UserError, match="exists already"):
        Writer(good, header())
    with pytest.raises(UserError, match="is not a folder"):
        Writer(tmp_path / "no" / "d.h5", header())


def test_info_counts_what_is_there_and_describe_says_it(tmp_path):
    path = tmp_path / "d.h5"
    with Writer(path, header(sampler="SkewFit", git_revision="abc123", aliases={}, config={"seed": 3})) as writer:
        writer.append(episodes(0, [12, 3]))
        late = episodes(2, [6])
        late.provenance = "random"
        writer.append(late)
        writer.set_mask("train", np.array([True, False, True]))
        late.provenance = "randon"
        with pytest.raises(UserError, match=r"unknown provenance 'randon' .did you mean 'random'"):
            writer.append(late)
    facts = json.loads(json.dumps(info(path)))
    assert (facts["episodes"], facts["steps"], facts["frames"]) == (3, 21, 24)
    assert facts["length"] == {"min": 3, "mean": 7.0, "max": 12}
    assert facts["provenance"] == {"practice": 2, "random": 1}
    assert (facts["epochs"], facts["masks"], facts["config"]) == ([0, 2], {"train": 2}, {"seed": 3})
    assert facts["datasets"]["/steps/observation/image"]["shape"] == [24, 6, 6, 3]
    text = describe(path)
    for expected in ("test/Reach-v0 (size=6)", "3 with 21 steps, 24 frames", "SkewFit", "abc123", "train 2", "practice 2, random 1"):
        assert expected in text
