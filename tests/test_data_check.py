"""``gcrl data check`` finds each kind of damage, says where, and finds nothing in what is whole."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_cases import dataset, discrete
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import UserError
from gcrl.data import Reader, Writer
from gcrl.data.check import check
from gcrl.data.leaks import kind_of


def damaged(path: Path, change) -> list:
    with h5py.File(path, "r+") as file:
        change(file)
    return check(path).findings


def put(name, index, value):
    def change(file):
        values = file[name][:]
        values[index] = value
        file[name][:] = values

    return change


def replace(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return change


def garble_picture(file):
    file["steps/observation/image"].id.write_direct_chunk((7, 0, 0, 0), b"no picture")


def unlink(file):
    del file["steps/observation/achieved_goal"]


DAMAGE = [
    (put("steps/observation/observation", (15, 2), np.nan), "nan", "/steps/observation/observation, episode 1 step 2 (row 15)", "NaN"),
    (put("steps/observation/achieved_goal", (slice(40, 43), 0), np.inf), "nan", "episode 4 step 7 (row 40)", "in 3 rows"),
    (put("steps/action", (0, 1), np.nan), "nan", "/steps/action, episode 0 step 0", "NaN"),
    (put("steps/action", (1, 1), 1.5), "range", "/steps/action, episode 0 step 1", "outside the action space"),
    (put("steps/reward", 14, -np.inf), "nan", "/steps/reward, episode 1 step 1", "infinite"),
    (put("steps/reward", 14, np.nan), "nan", "/steps/reward, episode 1 step 1", "a part of the episode"),
    (put("steps/valid", 12, True), "counter", "/steps/valid, episode 0 step 12", "does not agree"),
    (put("steps/truncated", 11, False), "counter", "episode 0 step 11", "neither ends"),
    (put("steps/terminated", 14, True), "counter", "episode 1 step 1", "before its length"),
    (put("goals/achieved", (2, 0), np.nan), "nan", "/goals/achieved, episode 2", "partly NaN"),
    (put("goals/params", (0, 0), np.inf), "nan", "/goals/params, episode 0", "infinite"),
    (put("episodes/start", 2, 15), "overlap", "episodes 1 and 2", "share rows 15 to 18"),
    (put("episodes/length", 7, 30), "truncated", "/steps/action", "holds 69 rows; episode 7 needs 87"),
    (put("episodes/length", 3, 0), "counter", "/episodes, episode 3", "takes 0 steps"),
    (put("episodes/start", 0, -3), "counter", "/episodes, episode 0", "starts at row -3"),
    (put("episodes/provenance", 4, 77), "counter", "/episodes/provenance, episode 4", "77 means nothing"),
    (lambda file: file["episodes/seed"].resize(6, axis=0), "counter", "/episodes/seed", "6 entries; expected 8"),
    (lambda file: file["goals/row"].resize(6, axis=0), "counter", "/goals/row", "6 entries; expected 8"),
    (lambda file: file["steps/reward"].resize(50, axis=0), "truncated", "/steps/reward", "holds 50 rows; episode 5 needs 54"),
    (replace("steps/action", np.zeros((69, 3), np.float32)), "shape", "/steps/action", "(3,) float32; expected rows of shape (2,) float32"),
    (replace("steps/reward", np.zeros(69)), "shape", "/steps/reward", "() float64; expected rows of shape () float32"),
    (replace("goals/params", np.zeros((8, 4), np.float32)), "shape", "/goals/params", "expected rows of shape (3,)"),
    (garble_picture, "unreadable", "/steps/observation/image, episode 0 step 7 (row 7)", "cannot be read"),
    (unlink, "damaged", "/", "lacks /steps/observation/achieved_goal"),
    (replace("mask/train", np.ones(5, np.bool_)), "counter", "/mask/train", "expected (8,) bool"),
]


@pytest.mark.parametrize(("change", "kind", "where", "what"), DAMAGE)
def test_each_kind_of_damage_is_found_where_it_is(tmp_path, change, kind, where, what):
    path = dataset(tmp_path / "d.h5", masks={"train": [0, 1, 2]})
    assert check(path).findings == []
    found = damaged(path, change)
    matching = [item for item in found if item.kind == kind and where in item.where and what in item.what]
    assert matching, found
    assert len(check(path).as_text().split("\n")) == 1 + len(found)


@pytest.mark.parametrize("make", [dataset, discrete, lambda path: dataset(path, pictures=False)])
def test_whole_datasets_have_no_findings(tmp_path, make):
    report = check(make(tmp_path / "d.h5"))
    assert report.findings == []
    with Reader(tmp_path / "d.h5") as reader:
        assert (report.episodes, report.frames) == (len(reader), reader.rows)
    assert "nothing wrong" in report.as_text()


def test_what_a_killed_writer_leaves_is_no_damage(tmp_path):
    path = dataset(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        file["steps/action"].resize(200, axis=0)
        file["episodes/length"].resize(12, axis=0)
    assert check(path).findings == []


def test_an_alias_must_be_a_link(tmp_path):
    def change(file):
        del file["steps/observation/achieved_goal"]
        file["steps/observation/achieved_goal"] = np.zeros((12, 3), np.float32)

    found = damaged(discrete(tmp_path / "d.h5"), change)
    assert [(item.kind, item.where) for item in found] == [("damaged", "/steps/observation/achieved_goal")]


def test_discrete_actions_outside_their_range_are_found(tmp_path):
    found = damaged(discrete(tmp_path / "d.h5"), put("steps/action", 6, 9))
    assert [(item.kind, item.where) for item in found] == [("range", "/steps/action, episode 1 step 1 (row 6)")]


def test_a_file_that_was_cut_off_is_a_finding_and_a_foreign_one_is_bad_usage(tmp_path):
    whole = dataset(tmp_path / "d.h5")
    (tmp_path / "cut.h5").write_bytes(whole.read_bytes()[:-9000])
    (found,) = check(tmp_path / "cut.h5").findings
    assert found.kind == "damaged"
    assert "truncated" in found.what
    for name, prepare, message in (
        ("text.h5", lambda path: path.write_text("hello"), "not an HDF5 file"),
        ("missing.h5", lambda path: None, "does not exist"),
        ("newer.h5", newer, "format version 9; expected at most 1"),
    ):
        prepare(tmp_path / name)
        with pytest.raises(UserError, match=message):
            check(tmp_path / name)


def newer(path):
    dataset(path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 9


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train", "train"),
        ("training_2", "train"),
        ("val", "validation"),
        ("valid", "validation"),
        ("validation", "validation"),
        ("test", "test"),
        ("held_out", "held-out"),
        ("heldout_shapes", "held-out"),
        ("held-out-colours", "held-out"),
        ("scripted", None),
        ("trained_policy", None),
        ("first_100", None),
        ("testimony", None),
    ],
)
def test_a_splits_name_says_what_it_is_for(name, kind):
    assert kind_of(name) == kind


def test_splits_that_leak_are_found(tmp_path):
    path = dataset(tmp_path / "d.h5", masks={"train": [0, 1, 2, 6], "test": [2, 3], "held_out": [4, 5, 7], "half": [0, 2, 4]})
    with h5py.File(path, "r+") as file:
        file["goals/achieved"][4] = file["goals/achieved"][1]
        # Episode 7 (12 steps) becomes episode 0 over again; both have goals of their own.
        for name in ("action", "observation/achieved_goal"):
            file["steps"][name][56:69] = file["steps"][name][0:13]
    leaks = {(item.where, item.what) for item in check(path).findings if item.kind == "leak"}
    assert leaks == {
        ("/mask/test and /mask/train, episode 2", "share 1 episode"),
        ("/mask/held_out and /mask/train, episodes 1 and 4", "have the same goal"),
        ("/mask/held_out and /mask/train, episodes 0 and 7", "have the same trajectory"),
    }


def test_goals_known_by_their_picture_alone_leak_too(tmp_path):
    path = dataset(tmp_path / "d.h5", masks={"train": [0, 1], "test": [2, 3]})
    with h5py.File(path, "r+") as file:
        file["goals/achieved"][:] = np.nan
        assert not [item for item in check(path).findings if item.kind == "leak"]
        file["goals/image"][3] = file["goals/image"][1]
    assert [(item.kind, item.where) for item in check(path).findings] == [("leak", "/mask/test and /mask/train, episodes 1 and 3")]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 68), st.sampled_from(["observation", "achieved_goal", "proprioception"]))
def test_a_nan_is_found_in_whatever_row_it_is(tmp_path_factory, row, key):
    path = dataset(tmp_path_factory.mktemp("data") / "d.h5")
    (found,) = damaged(path, put(f"steps/observation/{key}", (row, 0), np.nan))
    assert f"(row {row})" in found.where
    assert found.count == 1


def test_episodes_appended_after_a_split_belong_to_none(tmp_path):
    path = dataset(tmp_path / "d.h5", masks={"train": [0, 7]})
    with Reader(path) as reader:
        episodes = reader.episodes([0])
    with Writer(path) as writer:
        writer.append(episodes)
    with Reader(path) as reader:
        assert np.flatnonzero(reader.mask("train")).tolist() == [0, 7]
        assert len(reader.mask("train")) == 9
    assert [item.where for item in check(path).findings] == ["/mask/train"]


def test_the_report_is_json_too(tmp_path):
    path = dataset(tmp_path / "d.h5")
    damaged(path, put("steps/action", (0, 1), np.nan))
    told = json.loads(json.dumps(check(path).as_json()))
    assert (told["ok"], told["episodes"], told["findings"][0]["kind"]) == (False, 8, "nan")
