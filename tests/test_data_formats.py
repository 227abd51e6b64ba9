"""Exports are read by the packages they are for; an import of an export is the dataset again; nothing is lost silently."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from data_cases import assert_same, dataset, discrete
from gymnasium import spaces
from replay_cases import frame, picture

from envs.errors import UserError
from gcrl.data import Reader
from gcrl.data.check import check
from gcrl.data.exchange import export, import_
from gcrl.data.formats import available
from gcrl.data.formats.minari.folder import dataset_id
from gcrl.data.formats.minari.spaces import from_minari, to_minari

LENGTHS = (12, 5, 9, 3, 12, 7, 1, 12)
MASKS = {"train": [0, 1, 2, 3], "valid": [4, 7]}


@pytest.fixture
def path(tmp_path):
    return dataset(tmp_path / "d.h5", LENGTHS, masks=MASKS)


def test_formats_are_found_by_their_files():
    assert available("Exporter").keys() >= {"minari", "robomimic", "ogbench"}
    assert available("Importer").keys() >= {"minari"}


@pytest.mark.parametrize("make", [lambda path: dataset(path, masks=MASKS), lambda path: dataset(path, pictures=False), discrete])
def test_from_minari_back_comes_what_went_there(tmp_path, make):
    path = make(tmp_path / "d.h5")
    assert_same(path, import_(export(path, tmp_path / "reach-v0", "minari"), tmp_path / "back.h5"))


def test_minaris_files_are_as_minari_writes_them(tmp_path, path):
    data = export(path, tmp_path / "some reach", "minari") / "data"
    metadata = json.loads((data / "metadata.json").read_text())
    expected = {"total_episodes": 8, "total_steps": 61, "data_format": "hdf5", "jpeg_encoding": False, "dataset_id": "some_reach-v0"}
    assert metadata.items() >= expected.items()
    assert json.loads(metadata["action_space"])["type"] == "Box"
    with h5py.File(data / "main_data.hdf5") as file:
        assert set(file) == {f"episode_{index}" for index in range(8)}
        group = file["episode_3"]
        assert group["observations/image"].shape == (4, 6, 6, 3)
        assert [len(group[name]) for name in ("actions", "rewards", "terminations", "truncations")] == [3, 3, 3, 3]
        assert dict(group.attrs).items() >= {"id": 3, "total_steps": 3, "seed": 3, "split/train": True}.items()


def test_minari_reads_it(tmp_path, path, monkeypatch):
    minari = pytest.importorskip("minari", reason="Minari is not installed (make test does that)")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    (tmp_path / "my").mkdir()
    export(path, tmp_path / "my" / "reach-v0", "minari")
    loaded = minari.load_dataset("my/reach-v0")
    assert (loaded.spec.dataset_id, loaded.total_episodes, loaded.total_steps) == ("my/reach-v0", 8, 61)
    assert loaded.action_space == spaces.Box(-1, 1, (2,), np.float32)
    for number, episode in enumerate(loaded.iterate_episodes()):
        assert len(episode) == LENGTHS[number]
        assert repr(episode)
        for step in range(LENGTHS[number] + 1):
            assert np.array_equal(episode.observations["image"][step], picture(number, step))
            assert np.array_equal(episode.observations["achieved_goal"][step], frame(number, step))
        assert loaded.observation_space.contains({key: values[0] for key, values in episode.observations.items()}) or number > 5
        assert episode.truncations.tolist() == [False] * (LENGTHS[number] - 1) + [True]
        assert number > 5 or np.array_equal(episode.observations["goal_image"][-1], picture(number, 0))
    chosen = loaded.filter_episodes(lambda episode: len(episode) == 12)
    assert chosen.total_episodes == 3
    (metadata,) = loaded.storage.get_episode_metadata([4])
    assert metadata["split"] == {"valid": True}
    assert metadata["gcrl"]["provenance"] == "practice"


def test_minari_rebuilds_the_environment(tmp_path):
    minari = pytest.importorskip("minari", reason="Minari is not installed (make test does that)")
    path = dataset(tmp_path / "d.h5", pictures=False, env_id="gcrl/BitFlip-v0", env_arguments={"n": 6})
    env = minari.MinariDataset(export(path, tmp_path / "flip-v0", "minari") / "data").recover_environment()
    assert env.unwrapped.horizon == 6


def test_what_minari_itself_wrote_is_imported(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari", reason="Minari is not installed (make test does that)")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    generator = np.random.default_rng(0)
    space = spaces.Dict(
        {key: spaces.Box(-np.inf, np.inf, (2,), np.float64) for key in ("achieved_goal", "desired_goal", "observation")}
        | {"image": spaces.Box(0, 255, (32, 40, 3), np.uint8)}
    )
    ramp = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None] * 5, (32, 40, 3))
    buffers = []
    for seed, length in ((7, 5), (None, 3)):
        vectors = {key: generator.integers(-9, 9, (length + 1, 2)) / 4 for key in ("achieved_goal", "observation")}
        goal = np.broadcast_to([1.5, 2.5 + length], (length + 1, 2))
        buffers.append(
            minari.data_collector.EpisodeBuffer(
                seed=seed,
                observations=vectors | {"desired_goal": goal, "image": np.stack([ramp] * (length + 1))},
                actions=generator.integers(0, 4, length),
                rewards=list(np.arange(length) / 2),
                terminations=[False] * (length - 1) + [seed is not None],
                truncations=[False] * length,
            )
        )
    minari.create_dataset_from_buffers("their/maze-v1", buffers, observation_space=space, action_space=spaces.Discrete(4))
    with Reader(import_("their/maze-v1", tmp_path / "maze.h5", provenance="real")) as reader:
        assert len(reader) == 2
        assert reader.header.action_space == spaces.Discrete(4)
        assert reader.header.env_id == "their/maze-v1"
        for number, buffer in enumerate(buffers):
            back = reader.episodes([number])
            for key in ("achieved_goal", "observation"):
                assert np.array_equal(back.observations[key][0], buffer.observations[key])
            assert np.array_equal(back.actions[0], buffer.actions)
            assert back.rewards[0].tolist() == list(buffer.rewards)
            assert back.goal_achieved[0].tolist() == buffer.observations["desired_goal"][0].tolist() == back.goals[0].tolist()
            assert np.abs(back.observations["image"][0].astype(int) - ramp).max() < 12  # JPEG
            assert (back.seeds[0], back.provenance) == ((7, -1)[number], "real")
        assert reader.read("terminated", np.arange(reader.rows)).nonzero()[0].tolist() == [4]
        assert reader.read("truncated", np.arange(reader.rows)).nonzero()[0].tolist() == [8]  # neither: cut off counts as time
    assert check(tmp_path / "maze.h5").findings == []


def theirs(folder, change=None, **metadata):
    """Write a Minari dataset by hand: one episode of two steps, a vector observation; `change` alters its group."""
    data = folder / "data"
    data.mkdir(parents=True)
    described = {
        "total_episodes": 1,
        "total_steps": 2,
        "data_format": "hdf5",
        "dataset_id": "x-v0",
        "observation_space": json.dumps(to_minari(spaces.Box(-5, 5, (2,), np.float64))),
        "action_space": json.dumps(to_minari(spaces.Box(-1, 1, (1,), np.float32))),
    }
    (data / "metadata.json").write_text(json.dumps(described | metadata))
    with h5py.File(data / "main_data.hdf5", "w") as file:
        group = file.create_group("episode_0")
        group["observations"] = np.array([[0, 1], [0.5, 1], [1, 1]])
        group["actions"] = np.zeros((2, 1), np.float32)
        group["rewards"] = np.zeros(2)
        group["terminations"] = np.array([False, True])
        group["truncations"] = np.zeros(2, bool)
        if change is not None:
            change(group)
    return folder


def test_a_dataset_without_goals_gets_its_observation_as_achieved_goal(tmp_path):
    with Reader(import_(theirs(tmp_path / "x-v0"), tmp_path / "x.h5")) as reader:
        assert reader.header.aliases == {"achieved_goal": "observation"}
        assert reader.read("achieved_goal", np.arange(3)).tolist() == [[0, 1], [0.5, 1], [1, 1]]
        assert np.isnan(reader.goal("achieved", np.array([0]))).all()
    assert check(tmp_path / "x.h5").findings == []


def shorten(group):
    del group["actions"]
    group["actions"] = np.zeros((1, 1), np.float32)


LOSSES = [
    (lambda group: group.create_dataset("infos/success", data=[0, 1]), "infos"),
    (lambda group: group.attrs.__setitem__("options/goal", 3), "episode attribute options/goal"),
    (lambda group: group["observations"].__setitem__((0, 0), 0.1), "the last digits of observation"),
    (lambda group: group["rewards"].__setitem__(0, 1 / 3), "the last digits of rewards"),
]


@pytest.mark.parametrize(("change", "message"), LOSSES)
def test_an_import_that_would_lose_something_says_what(tmp_path, change, message):
    folder = theirs(tmp_path / "x-v0", change)
    with pytest.raises(UserError, match=f"no place for {message}.*; give --lossy"):
        import_(folder, tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()
    assert check(import_(folder, tmp_path / "x.h5", lossy=True)).findings == []


def nested():
    return json.dumps(to_minari(spaces.Dict({"observation": spaces.Dict({"a": spaces.Discrete(2)})})))


IMPORT_MISTAKES = [
    ({"data_format": "arrow"}, None, "stores its data as arrow; expected hdf5"),
    ({"action_space": json.dumps({"type": "Tuple", "subspaces": []})}, None, "a space of kind Tuple cannot be imported"),
    ({"observation_space": "{"}, None, "metadata.json is damaged"),
    ({"observation_space": nested()}, None, "its observation observation is a mapping"),
    ({"observation_space": json.dumps(to_minari(spaces.Discrete(4)))}, None, "has neither achieved_goal nor a vector"),
    ({"total_episodes": 3}, None, "lacks episode_1"),
    ({"gcrl": {"format": "gcrl-dataset"}}, None, "its gcrl metadata are damaged"),
    ({}, shorten, "episode_0 has 2 rows of action; expected 2 steps and one more"),
]


@pytest.mark.parametrize(("metadata", "change", "message"), IMPORT_MISTAKES)
def test_what_cannot_be_imported_is_said_in_one_line(tmp_path, metadata, change, message):
    folder = theirs(tmp_path / "x-v0", change, **metadata)
    with pytest.raises(UserError, match=message) as caught:
        import_(folder, tmp_path / "x.h5")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.h5").exists()


def test_a_truncated_minari_file_is_said_in_one_line(tmp_path):
    folder = theirs(tmp_path / "x-v0")
    file = folder / "data" / "main_data.hdf5"
    file.write_bytes(file.read_bytes()[:-700])
    with pytest.raises(UserError, match="is missing, truncated or damaged"):
        import_(folder, tmp_path / "x.h5")


@pytest.mark.parametrize(
    "space",
    [spaces.Box(-1, 2, (2, 2), np.float32), spaces.Discrete(4, start=2), spaces.MultiBinary(3), spaces.Dict({"a": spaces.Discrete(2)})],
)
def test_spaces_are_written_as_minari_reads_them(space):
    assert from_minari(json.loads(json.dumps(to_minari(space)))) == space
    serialization = pytest.importorskip("minari.serialization", reason="Minari is not installed (make test does that)")
    assert serialization.deserialize_space(json.dumps(to_minari(space))) == space


def test_minari_ids_are_paths_below_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    assert dataset_id(tmp_path / "root" / "door" / "play-v3") == "door/play-v3"
    assert dataset_id(tmp_path / "else where" / "door play") == "door_play-v0"


def test_robomimics_file_is_as_robomimic_writes_it(tmp_path, path):
    with h5py.File(export(path, tmp_path / "d.hdf5", "robomimic")) as file:
        assert file["data"].attrs["total"] == 61
        assert json.loads(file["data"].attrs["env_args"]) == {"env_name": "test/Reach-v0", "type": 2, "env_kwargs": {"size": 6}}
        assert set(file["data"]) == {f"demo_{index}" for index in range(8)}
        assert file["mask/valid"][:].tolist() == [b"demo_4", b"demo_7"]
        demo = file["data/demo_4"]
        assert demo.attrs["num_samples"] == 12
        assert demo["dones"][:].tolist() == [0] * 11 + [1]
        for step in range(12):
            assert np.array_equal(demo["obs/image"][step], picture(4, step))
            assert np.array_equal(demo["next_obs/image"][step], picture(4, step + 1))
            assert np.array_equal(demo["next_obs/goal_image"][step], picture(4, 0))


def test_robomimic_reads_it(tmp_path, path):
    reading = pytest.importorskip("robomimic.utils.dataset", reason="robomimic is not installed (make test does that)")
    from robomimic.utils import obs_utils

    specs = {"obs": {"low_dim": ["achieved_goal", "desired_goal"], "rgb": ["image", "goal_image"]}}
    obs_utils.initialize_obs_utils_with_obs_specs(specs)
    keys = ["achieved_goal", "desired_goal", "image", "goal_image"]
    names = ["actions", "rewards", "dones", "terminated", "truncated"]
    out = str(export(path, tmp_path / "d.hdf5", "robomimic"))
    data = reading.SequenceDataset(out, keys, names, seq_length=3, goal_mode="last", filter_by_attribute="valid", hdf5_cache_mode=None)
    assert (data.n_demos, len(data)) == (2, 24)
    item = data[5]
    assert item["actions"].shape == (3, 2)
    for step in range(3):
        assert np.array_equal(item["obs"]["image"][step], picture(4, 5 + step))
        assert np.array_equal(item["next_obs"]["achieved_goal"][step], frame(4, 6 + step))
        assert np.array_equal(item["obs"]["goal_image"][step], picture(4, 0))
    assert np.array_equal(item["goal_obs"]["achieved_goal"], frame(4, 12))
    last = data[11]
    assert last["dones"].tolist() == last["truncated"].tolist() == [1, 1, 1]  # robomimic repeats the last step
    cached = reading.SequenceDataset(out, keys[:2], names, seq_length=1, hdf5_cache_mode="all")
    assert len(cached) == 61
    assert cached[60]["actions"].dtype == np.float32


def test_ogbenchs_file_is_as_ogbench_writes_it(tmp_path, path):
    with pytest.raises(UserError, match=r"observations .*; rewards; goals, seeds, epochs and provenance; give --lossy"):
        export(path, tmp_path / "d.npz", "ogbench")
    assert not (tmp_path / "d.npz").exists()
    with np.load(export(path, tmp_path / "d.npz", "ogbench", lossy=True)) as file:
        assert set(file) == {"observations", "actions", "terminals"}
        assert file["observations"].shape == (69, 6, 6, 3)
        assert file["observations"].dtype == np.uint8
        assert file["terminals"].nonzero()[0].tolist() == (np.cumsum(np.array(LENGTHS) + 1) - 1).tolist()
    with np.load(export(path, tmp_path / "s.npz", "ogbench", keys="observation", split="valid", lossy=True)) as file:
        assert file["observations"].shape == (26, 5)
        assert file["observations"][13, :3].tolist() == frame(7, 0).tolist()


def test_ogbench_reads_it(tmp_path, path):
    utils = pytest.importorskip("ogbench.utils", reason="OGBench is not installed (make test does that)")
    out = export(path, tmp_path / "visual-reach.npz", "ogbench", split="train", lossy=True)
    export(path, tmp_path / "visual-reach-val.npz", "ogbench", split="valid", lossy=True)
    train = utils.load_dataset(str(out), ob_dtype=np.uint8)
    assert {key: len(values) for key, values in train.items()} == dict.fromkeys(train, sum(LENGTHS[:4]))
    assert np.array_equal(train["observations"][12], picture(1, 0))
    assert np.array_equal(train["next_observations"][12], picture(1, 1))
    assert np.array_equal(train["next_observations"][11], picture(0, 12))
    assert train["terminals"].nonzero()[0].tolist() == (np.cumsum(LENGTHS[:4]) - 1).tolist()
    compact = utils.load_dataset(str(out), ob_dtype=np.uint8, compact_dataset=True)
    assert compact["valids"].sum() == sum(LENGTHS[:4])
    both = utils.make_env_and_datasets("visual-reach-play-v0", dataset_path=str(out), dataset_only=True)
    assert [len(part["actions"]) for part in both] == [29, 24]


class Counting:
    """An exporter of one's own: writes how many steps there are."""

    suffix, marker, growth, default_keys = ".txt", "", 0.1, None

    def losses(self, reader, chosen, keys):
        return ["everything"]

    def write(self, reader, chosen, keys, out, name, done):
        out.write_text(str(reader.lengths[chosen].sum()))


def test_a_format_of_ones_own_is_named_by_module_and_class(tmp_path, path):
    with pytest.raises(UserError, match="no place for everything"):
        export(path, tmp_path / "n.txt", "test_data_formats:Counting")
    assert export(path, tmp_path / "n.txt", "test_data_formats:Counting", lossy=True).read_text() == "61"


def test_an_export_that_fails_leaves_nothing_and_keeps_what_was_there(tmp_path, path):
    kept = export(path, tmp_path / "reach-v0", "minari")
    before = (kept / "data" / "main_data.hdf5").read_bytes()
    with h5py.File(path, "r+") as file:
        file["steps/observation/image"].id.write_direct_chunk((40, 0, 0, 0), b"no picture")
    with pytest.raises(UserError, match="rows 33 to 45 of /steps/observation/image cannot be read"):
        export(path, kept, "minari", overwrite=True)
    assert (kept / "data" / "main_data.hdf5").read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["d.h5", "reach-v0"]
    dataset(tmp_path / "e.h5", (3, 3, 3))
    export(tmp_path / "e.h5", kept, "minari", overwrite=True)
    assert json.loads((kept / "data" / "metadata.json").read_text())["total_episodes"] == 3
