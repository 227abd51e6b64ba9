"""``gcrl data play | merge | split`` and what all data verbs refuse: one line, exit code 2, nothing destroyed."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import imageio.v3 as imageio
import numpy as np
import pytest
from data_cases import assert_same, dataset, discrete, header
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_cases import episodes, picture

from envs.errors import UserError
from gcrl import cli
from gcrl.data import Reader, Writer
from gcrl.data.check import check
from gcrl.data.exchange import export
from gcrl.data.loading import Frames
from gcrl.data.merge import merge
from gcrl.data.output import replacing
from gcrl.data.play import choose, play
from gcrl.data.split import draw, split


def run(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(str(ended.value.code or 0)), out, err


def test_check_exits_with_1_where_something_is_wrong(tmp_path, capsys):
    path = dataset(tmp_path / "d.h5")
    assert run(capsys, "check", path)[0] == 0
    with h5py.File(path, "r+") as file:
        file["steps/action"][3] = np.nan
    code, out, _ = run(capsys, "check", path)
    assert code == 1
    assert "/steps/action, episode 0 step 3 (row 3): is NaN" in out
    code, out, _ = run(capsys, "check", path, "--json")
    assert code == 1
    assert json.loads(out)["findings"][0]["where"].startswith("/steps/action")


def test_a_film_shows_the_chosen_episodes(tmp_path, capsys):
    path = dataset(tmp_path / "d.h5")
    code, out, err = run(capsys, "play", path, "--out", tmp_path / "f.mp4", "--episodes", "1,7")
    assert (code, out.strip(), err) == (0, str(tmp_path / "f.mp4"), "")
    frames = list(imageio.imiter(tmp_path / "f.mp4", plugin="FFMPEG"))
    assert len(frames) == 2 * (13 + 10)  # both padded to 12 steps, and held for ten frames
    # The middle of the right panel is grey as the picture of episode 1, step 2: (7 * 1 + 2) % 251.
    page = np.asarray(frames[2])
    assert abs(int(page[110, -100].mean()) - 9) < 8


def test_a_contact_sheet_has_a_row_an_episode(tmp_path):
    path = dataset(tmp_path / "d.h5")
    sheet = imageio.imread(play(path, tmp_path / "s.png", episodes="1-2,7"))
    one = imageio.imread(play(path, tmp_path / "one.png", episodes="2"))
    side = 96
    assert sheet.shape[0] - one.shape[0] == 2 * (20 + side + 4)
    first = sheet[4 + 20 : 4 + 20 + side, 4 : 4 + side]
    assert np.array_equal(first, np.repeat(np.repeat(picture(1, 0), 16, axis=0), 16, axis=1))  # the goal of episode 1
    last = sheet[-4 - side : -4, 4 : 4 + side]
    assert not last.any()  # episode 7 acted at random


def test_episodes_are_chosen_by_numbers_and_ranges():
    assert choose("0,3,5-7", 9, 4).tolist() == [0, 3, 5, 6, 7]
    assert choose(None, 9, 3).tolist() == [0, 4, 8]
    assert choose(None, 2, 6).tolist() == [0, 1]
    for text in ("9", "0-9", "x", "3-1", "", "1,,2", "-1"):
        with pytest.raises(UserError, match="expected numbers"):
            choose(text, 9, 4)
    with pytest.raises(UserError, match="no episodes yet"):
        choose(None, 0, 4)


def test_merging_keeps_everything(tmp_path, capsys):
    a = dataset(tmp_path / "a.h5", masks={"train": [0, 1]})
    b = dataset(tmp_path / "b.h5", (4, 12, 6), first=8, masks={"train": [2], "test": [0]}, config={"seed": 4}, sampler="my:Other")
    with h5py.File(b, "r+") as file:
        file["episodes/task_id"][1] = 5
    code, out, _ = run(capsys, "merge", a, b, f"out={tmp_path / 'm.h5'}")
    assert (code, out.strip()) == (0, str(tmp_path / "m.h5"))
    assert check(tmp_path / "m.h5").findings == []
    with Reader(tmp_path / "m.h5") as m, Reader(a) as one, Reader(b) as other:
        assert len(m) == len(one) + len(other) == 11
        rows = np.arange(m.rows)
        for key in ("image", "observation", "action", "reward", "truncated"):
            halves = [reader.read(key, np.arange(reader.rows)) for reader in (one, other)]
            assert np.array_equal(m.read(key, rows), np.concatenate(halves), equal_nan=key == "reward"), key
        for name in ("seed", "epoch", "task_id", "provenance"):
            assert np.array_equal(m.column(name), np.concatenate([one.column(name), other.column(name)])), name
        assert m.column("task_id")[9] == 5
        assert np.flatnonzero(m.mask("train")).tolist() == [0, 1, 10]
        assert np.flatnonzero(m.mask("test")).tolist() == [8]
        assert m.header.sampler == "my:Sampler+my:Other"
        assert [source["config"] for source in m.header.config["merged"]] == [{"seed": 3}, {"seed": 4}]


def test_merging_the_parts_of_a_dataset_gives_the_dataset(tmp_path):
    whole = tmp_path / "whole.h5"
    with Writer(whole, header()) as writer:
        writer.append(episodes(0, [3, 12]))
        writer.append(episodes(2, [5]))
    for name, first, lengths in (("a", 0, [3, 12]), ("b", 2, [5])):
        with Writer(tmp_path / f"{name}.h5", header()) as writer:
            writer.append(episodes(first, lengths))
    assert_same(merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "m.h5"), whole)
    # Replacing one of the sources is no trouble: the output is put in place at the end.
    assert_same(merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "a.h5", overwrite=True), whole)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 12)), min_size=12, max_size=80),
    st.sampled_from([{"train": 0.8, "test": 0.2}, {"train": 0.5, "validation": 0.2}, {"a": 0.3, "b": 0.3, "c": 0.4}]),
    st.integers(0, 3),
)
def test_splits_are_disjoint_and_keep_equal_goals_together(keys, fractions, seed):
    named = [None if key is None else bytes([key]) for key in keys]
    try:
        masks = draw(named, fractions, np.random.default_rng(seed), "d.h5")
    except UserError:
        assert len(set(named)) < 8  # too few goals for so many splits
        return
    counts = np.sum(list(masks.values()), axis=0)
    assert counts.max() == 1
    largest = max([1, *(named.count(key) for key in set(named) - {None})])
    for name, fraction in fractions.items():
        assert abs(masks[name].sum() - fraction * len(keys)) <= largest
    for mask in masks.values():
        for key in set(named) - {None}:
            members = mask[[index for index, other in enumerate(named) if other == key]]
            assert members.all() or not members.any()


def test_splitting_is_by_seed_and_leaks_nothing(tmp_path, capsys):
    masks = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        path = dataset(tmp_path / f"{name}.h5", [3] * 40)
        with h5py.File(path, "r+") as file:  # ten goals, four episodes each
            file["goals/achieved"][:38] = np.arange(38)[:, None] % 10 * np.ones(3)
        code, out, _ = run(capsys, "split", path, "train=0.5", "held_out=0.25", f"seed={seed}")
        assert code == 0
        assert check(path).findings == []
        with Reader(path) as reader:
            masks.append({name: reader.mask(name) for name in ("train", "held_out")})
        assert out.split() == f"train {masks[-1]['train'].sum()} episodes, held_out {masks[-1]['held_out'].sum()} episodes".split()
    assert all(np.array_equal(masks[0][name], masks[1][name]) for name in masks[0])
    assert not np.array_equal(masks[0]["train"], masks[2]["train"])
    assert abs(masks[0]["train"].sum() - 20) <= 2
    before = (tmp_path / "a.h5").read_bytes()
    code, _, err = run(capsys, "split", tmp_path / "a.h5", "train=0.9")
    assert code == 2
    assert "has a split 'train' already" in err
    assert (tmp_path / "a.h5").read_bytes() == before
    assert split(tmp_path / "a.h5", {"train": 0.9}, overwrite=True)["train"] > 30
    split(tmp_path / "c.h5", {"train": 0.5, "held_out": 0.5}, by="episode", overwrite=True)
    assert {item.kind for item in check(tmp_path / "c.h5").findings} == {"leak"}


MISTAKES = [
    (["chekc", "a.h5"], "invalid choice: 'chekc'"),
    (["check", "aa.h5"], "aa.h5 does not exist (did you mean 'a.h5'?)"),
    (["info", "."], ". is a folder (did you mean 'a.h5'?); expected a dataset written by gcrl"),
    (["check", "text.h5"], "is not an HDF5 file"),
    (["play", "a.h5", "--out", "film.avi"], "ends in .mp4 (film) or .png (contact sheet)"),
    (["play", "a.h5", "--out", "kept.png"], "kept.png exists already; give another out=, or overwrite=true"),
    (["play", "a.h5", "--out", "f.mp4", "--episodes", "8"], "expected numbers from 0 to 7"),
    (["play", "a.h5", "out=f.mp4", "key=imgae"], "unknown picture 'imgae' (did you mean 'image'?)"),
    (["play", "discrete.h5", "--out", "f.mp4"], "holds no pictures to play; its observations are"),
    (["play", "a.h5", "--out", "no/f.mp4"], "is not a folder"),
    (["play", "cut.h5", "--out", "f.mp4"], "truncated or damaged"),
    (["merge", "a.h5", "out=m.h5"], "needs at least two datasets; got 1"),
    (["merge", "a.h5", "b.h5"], "missing key 'out'"),
    (["merge", "a.h5", "discrete.h5", "out=m.h5"], "cannot merge: observation_space is"),
    (["merge", "a.h5", "other.h5", "out=m.h5"], "merging would lose data: env_arguments is {'size': 6}"),
    (["merge", "a.h5", "b.h5", "out=kept.png"], "exists already"),
    (["merge", "a.h5", "cut.h5", "out=m.h5"], "truncated or damaged"),
    (["merge", "a.h5", "b.h5", "out=m.h5", "overwrit=true"], "unknown key 'overwrit' (did you mean 'overwrite'?)"),
    (["split", "a.h5"], "no split given"),
    (["split", "a.h5", "train=1.5"], "train=1.5: expected a fraction above 0 and at most 1"),
    (["split", "a.h5", "train=0"], "expected a fraction above 0"),
    (["split", "a.h5", "train=0.8", "test=0.3"], "add up to 1.1"),
    (["split", "a.h5", "train=0.99", "test=0.01"], "split 'test' of 0.01 would be empty; the dataset has 8 episodes"),
    (["split", "a.h5", "train=0.5", "by=gaol"], "did you mean 'goal'?"),
    (["split", "a.h5", "train=0.5", "seed=-1"], "seed=-1"),
    (["split", "a.h5", "train=0.5", "seed=x"], "seed: expected a whole number"),
    (["split", "a.h5", "train=half"], "expected the fraction of split 'train'"),
    (["split", "a.h5", "a/b=0.5"], "cannot read 'a/b=0.5'; expected KEY=VALUE"),
    (["split", "newer.h5", "train=0.5"], "format version 2; expected at most 1"),
    (["export", "a.h5", "out=x"], "missing key 'format'"),
    (["export", "a.h5", "format=minary", "out=x"], "unknown format 'minary' (did you mean 'minari'?)"),
    (["export", "a.h5", "format=robomimic", "out=x.h5"], "expected a name that ends in .hdf5"),
    (["export", "a.h5", "format=robomimic", "out=x.hdf5", "split=trian"], "unknown split 'trian' (did you mean 'train'?)"),
    (["export", "a.h5", "format=robomimic", "out=x.hdf5", "keys=imag"], "unknown observation 'imag' (did you mean 'image'?)"),
    (["export", "discrete.h5", "format=robomimic", "out=x.hdf5"], "has actions of Discrete(5); robomimic expects vectors"),
    (["export", "a.h5", "format=ogbench", "out=x.npz"], "has no place for the observations"),
    (["export", "a.h5", "format=ogbench", "out=x.npz", "keys=image,observation"], "OGBench keeps one observation"),
    (["export", "a.h5", "format=minari", "out=kept.png", "overwrite=true"], "expected a folder with data/metadata.json"),
    (["export", "a.h5", "format=minari", "out=folder", "overwrite=true"], "expected a folder with data/metadata.json"),
    (["export", "a.h5", "format=json:loads", "out=x"], "is a function, expected a class"),
    (["export", "garbled.h5", "format=minari", "out=x"], "rows 0 to 12 of /steps/observation/image cannot be read"),
    (["import", "nowhere-v0", "out=x.h5"], "nowhere-v0 does not exist; expected a Minari dataset's folder"),
    (["import", "folder", "out=x.h5"], "is no Minari dataset"),
    (["import", "folder", "out=x.h5", "format=robomimic"], "unknown format 'robomimic'"),
    (["import", "folder", "out=x.h5", "provenance=real?"], "unknown provenance 'real?' (did you mean 'real'?)"),
]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workshop")
    for name in ("a", "b"):
        dataset(folder / f"{name}.h5", masks={"train": [0]} if name == "a" else {})
    dataset(folder / "other.h5", env_arguments={"size": 7})
    discrete(folder / "discrete.h5")
    (folder / "text.h5").write_text("hello")
    (folder / "kept.png").write_text("kept")
    (folder / "folder").mkdir()
    (folder / "folder" / "kept.txt").write_text("kept")
    (folder / "cut.h5").write_bytes((folder / "a.h5").read_bytes()[:-9000])
    for name in ("newer", "garbled"):
        (folder / f"{name}.h5").write_bytes((folder / "a.h5").read_bytes())
    with h5py.File(folder / "newer.h5", "r+") as file:
        file.attrs["format_version"] = 2
    with h5py.File(folder / "garbled.h5", "r+") as file:
        file["steps/observation/image"].id.write_direct_chunk((7, 0, 0, 0), b"no picture")
    return folder


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_one_line_and_destroy_nothing(workshop, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(workshop)
    if arguments[0] == "split":
        arguments = [*arguments, "overwrite=true"]
    before = {path: path.read_bytes() for path in workshop.rglob("*") if path.is_file()}
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert {path: path.read_bytes() for path in workshop.rglob("*") if path.is_file()} == before


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match=r"disk full: .* MiB are free"), replacing(tmp_path / "x.h5", False, expected_bytes=1 << 60):
        raise AssertionError("not reached")
    assert not list(tmp_path.iterdir())


def test_an_empty_dataset_is_whole_and_has_nothing_to_give(tmp_path):
    with Writer(tmp_path / "d.h5", header()):
        pass
    assert check(tmp_path / "d.h5").findings == []
    for work, message in (
        (lambda: play(tmp_path / "d.h5", tmp_path / "s.png"), "no episodes yet"),
        (lambda: split(tmp_path / "d.h5", {"train": 0.5}), "would be empty; the dataset has 0 episodes"),
        (lambda: export(tmp_path / "d.h5", tmp_path / "x", "minari"), "has no episodes to export"),
        (lambda: Frames(tmp_path / "d.h5"), "has no episodes"),
    ):
        with pytest.raises(UserError, match=message):
            work()


def test_what_differs_may_be_given_up_when_merging(workshop, tmp_path):
    done = merge([workshop / "a.h5", workshop / "other.h5"], tmp_path / "m.h5", lossy=True)
    with Reader(done) as reader:
        assert reader.header.env_arguments == {"size": 6}
        assert [source["env_arguments"] for source in reader.header.config["merged"]] == [{"size": 6}, {"size": 7}]
