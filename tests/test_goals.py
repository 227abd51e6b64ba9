"""`gcrl goals`: goals that an expert reached, the same whatever made or killed them, with pictures, splits and coverage."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import h5py
import imageio.v3 as imageio
import numpy as np
import pytest
from file_cases import differing
from run_cases import Command

import envs
from envs.errors import UserError
from envs.push import PushEnv
from gcrl import cli
from gcrl.goals import GoalFile, make_goals
from gcrl.goals.threshold import success_test

PUSH = ["env=push", "env.image_size=16", "n=20", "seed=5"]


class NamedPush(PushEnv):
    """Push that names its objects and tasks, as tasks with several of them do."""

    skills = ("lift", "left", "right")

    def goal_objects(self, goals: Any) -> list[list[str]]:
        return [["red puck"] for _ in range(len(goals))]

    def goal_tasks(self, goals: Any) -> list[str]:
        return ["left" if goal[3] > start[-1] else "right" for start, goal in zip(goals.starts, goals.achieved)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A goal file that nothing disturbed."""
    path = tmp_path_factory.mktemp("undisturbed") / "goals.h5"
    made = make_goals([*PUSH, f"out={path}"])
    assert made["splits"] == {"train": 16, "valid": 2, "test": 2}
    assert made["success"] == "puck_distance_m < 0.04"
    return path


def test_the_expert_reaches_every_goal_again_from_the_start_that_the_file_gives(undisturbed: Path) -> None:
    env: Any = envs.make("gcrl/Push-v0", image_size=16)
    with GoalFile(undisturbed) as file:
        rows = file.rows()
        goals, states = file.goals(), file.read("starts/state", rows)
        seeds, commanded, pictures = (file.read(name, rows) for name in ("seed", "commanded", "starts/image"))
    assert goals.images is not None
    for index in range(len(goals)):
        observation, _ = env.reset(seed=int(seeds[index]))
        assert np.array_equal(observation["image"], pictures[index])
        assert np.array_equal(env.goal_state(), states[index])
        assert np.array_equal(observation["desired_goal"], commanded[index])
        assert not env.success(observation["achieved_goal"], goals.achieved[index])
        for _ in range(env.horizon):
            observation = env.step(env.expert_action(observation))[0]
        assert np.array_equal(observation["achieved_goal"], goals.achieved[index])
        assert np.array_equal(observation["image"], goals.images[index])
        assert np.array_equal(env.goal_state(), goals.states[index])
        assert env.success(observation["achieved_goal"], commanded[index])
        assert env.penetration() <= 5e-4
    env.close()


def test_splits_part_the_goals_and_the_figures_lie_beside_them(undisturbed: Path) -> None:
    with GoalFile(undisturbed) as file:
        rows = np.concatenate([file.rows(split) for split in ("train", "valid", "test")])
        assert sorted(rows.tolist()) == list(range(20))
        assert len(np.unique(file.goals().achieved, axis=0)) == 20
        assert set(file.header.coverage) == {"entropy", "coverage"}
        assert file.header.coverage["coverage"] > 0.1
        assert (file.header.success_metric, file.header.success_threshold) == ("puck_distance_m", 0.04)
        assert set(file.read("task", file.rows())) == {"push"}
        assert file.header.provenance == "expert"
    assert imageio.imread(undisturbed.with_name("goals_sheet.png")).shape[2] == 3
    assert imageio.imread(undisturbed.with_name("goals_coverage.png")).std() > 5
    assert not undisturbed.with_name("goals.h5.parts").exists()


def test_the_goals_do_not_depend_on_the_number_of_processes_but_on_the_seed(undisturbed: Path, tmp_path: Path) -> None:
    make_goals([*PUSH, f"out={tmp_path / 'two.h5'}", "workers=2"])
    assert differing(undisturbed, tmp_path / "two.h5") == []
    make_goals([*PUSH[:-1], "seed=6", f"out={tmp_path / 'other.h5'}"])
    assert {"goals/achieved", "goals/images/front", "mask/test"} <= set(differing(undisturbed, tmp_path / "other.h5"))


KILLS = [("goals:block:1", 0), ("goals:saved:2", 2), ("goals:block:3", 2), ("goals:written:1", 3)]


@pytest.mark.parametrize(("fault", "blocks"), KILLS, ids=[fault for fault, _ in KILLS])
def test_killed_work_resumes_to_the_same_goals(undisturbed: Path, tmp_path: Path, fault: str, blocks: int) -> None:
    path = tmp_path / "goals.h5"
    killed = Command(tmp_path / "run", "goals", *PUSH, f"out={path}", fault=fault)
    assert killed.wait() == -signal.SIGKILL, killed.said
    assert len(list((tmp_path / "goals.h5.parts").glob("*.npz"))) == blocks
    assert path.exists() == (fault == "goals:written:1")
    with pytest.raises(UserError, match=r"resume=true to go on with it, or overwrite=true"):
        make_goals([*PUSH, f"out={path}"])
    with pytest.raises(UserError, match="was made with n=20; expected that to resume it, not n=30"):
        make_goals(["env=push", "env.image_size=16", "n=30", "seed=5", f"out={path}", "resume=true"])
    make_goals([*PUSH, f"out={path}", "resume=true"])
    assert differing(undisturbed, path) == []
    assert sorted(item.suffix for item in tmp_path.iterdir()) == [".h5", ".png", ".png", ".said"]


def test_ctrl_c_keeps_the_goals_that_are_done_and_resuming_makes_the_others(undisturbed: Path, tmp_path: Path) -> None:
    path = tmp_path / "goals.h5"
    command = Command(tmp_path / "run", "goals", *PUSH, f"out={path}")
    deadline = time.monotonic() + 60
    while not (tmp_path / "goals.h5.parts").is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(command.process.pid, signal.SIGINT)
    assert command.wait() == 130, command.said
    assert "stopping after the goals in progress; press Ctrl-C again to stop at once" in command.said
    assert f"of 20 goals are in {path}.parts; the same command with resume=true makes the others" in command.said
    assert "Traceback" not in command.said
    make_goals([*PUSH, f"out={path}", "resume=true"])
    assert differing(undisturbed, path) == []


def test_several_cameras_see_one_goal_and_a_task_names_objects_and_skills(tmp_path: Path) -> None:
    path = tmp_path / "goals.h5"
    made = make_goals(["env=test_goals:NamedPush", "env.image_size=24", "n=6", "cameras=[top,side]", f"out={path}"])
    env: Any = envs.make("gcrl/Push-v0", image_size=24, camera="top")
    with GoalFile(path) as file:
        assert file.header.cameras == ["top", "side"]
        top, side = file.goals(camera="top"), file.goals(camera="side")
        assert top.images is not None
        assert not np.array_equal(top.images, side.images)
        rows = file.rows()
        for index, seed in enumerate(file.read("seed", rows).tolist()):
            observation, _ = env.reset(seed=seed)
            for _ in range(env.horizon):
                observation = env.step(env.expert_action(observation))[0]
            assert np.array_equal(top.images[index], observation["image"])
        assert [json.loads(text) for text in file.read("objects", rows)] == [["red puck"]] * 6
        assert file.read("task", rows).tolist() == ["left" if achieved[3] > 0 else "right" for achieved in top.achieved]
        tasks = file.read("task", rows).tolist()
        assert made["goals_per_skill"] == {"lift": 0, "left": tasks.count("left"), "right": tasks.count("right")}
        with pytest.raises(UserError, match="did you mean 'side'"):
            file.goals(camera="sid")
    with h5py.File(path) as plain:
        assert plain["goals/image"].shape == (6, 24, 24, 3)
    env.close()


def test_without_a_rollout_goals_are_the_tasks_own_and_say_so(tmp_path: Path) -> None:
    make_goals(["env=door", "env.image_size=16", "n=6", "rollout=false", "cameras=[top,hinge]", f"out={tmp_path / 'goals.h5'}"])
    env: Any = envs.make("gcrl/Door-v0", image_size=16, camera="hinge")
    with GoalFile(tmp_path / "goals.h5") as file:
        assert file.header.provenance == "sampled"
        goals = file.goals(camera="hinge")
        assert goals.images is not None
        assert all(np.array_equal(goals.images[index], env.render_state(goals.states[index])) for index in range(6))
        assert np.isnan(file.read("penetration", file.rows())).all()
    env.close()


def test_goals_that_a_person_names_are_reached_or_refused(tmp_path: Path) -> None:
    wanted = [[0.42, 0.0, 0.5, 0.05], [0.45, 0.1, 0.5, 0.08]]
    make_goals(["env=push", "env.image_size=0", f"at={wanted}", f"out={tmp_path / 'goals.h5'}"])
    with GoalFile(tmp_path / "goals.h5") as file:
        assert not file.header.cameras
        assert np.linalg.norm(file.goals().achieved[:, 2:] - np.array(wanted)[:, 2:], axis=1).max() < 0.04


@pytest.mark.parametrize("env_id", ["gcrl/Push-v0", "gcrl/Door-v0", "gcrl/Reach-v0", "gcrl/Corridor-v0", "gcrl/BitFlip-v0"])
def test_the_stated_threshold_is_the_tasks_own_test(env_id: str) -> None:
    expected = {"Push": 0.04, "Door": 0.1, "Reach": 0.03, "Corridor": 0.3, "BitFlip": 0.0}[env_id[5:-3]]
    env = envs.make(env_id)
    metric, threshold, words = success_test(env, env.fixed_goals("test").achieved)
    assert threshold == pytest.approx(expected)
    assert words == f"{metric} {'<=' if expected == 0 else '<'} {expected:g}"
    assert metric in env.metrics(*(env.fixed_goals("test").achieved[:1],) * 2)
    env.close()


def test_a_test_that_is_no_threshold_is_not_made_one() -> None:
    class Both(PushEnv):
        def success(self, achieved_goal: Any, desired_goal: Any) -> Any:
            hand = np.abs(np.asarray(achieved_goal) - desired_goal)[..., 0] < 0.01
            return hand & super().success(achieved_goal, desired_goal)

    env = Both()
    assert np.isnan(success_test(env, env.fixed_goals("test").achieved)[1])
    env.close()


# photos ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of three photos of different kinds, 40 x 20 pixels: red left, green middle, blue right."""
    folder = tmp_path / "album"
    folder.mkdir()
    photo = np.zeros((20, 40, 3), np.uint8)
    photo[:, :10, 0], photo[:, 10:30, 1], photo[:, 30:, 2] = 255, 255, 255
    imageio.imwrite(folder / "a.png", photo)
    imageio.imwrite(folder / "b.JPG", photo, extension=".jpg")
    imageio.imwrite(folder / "c.png", photo[..., 1])  # grey
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_photos_become_goals_cropped_to_the_middle_square_or_as_told(album: Path, tmp_path: Path) -> None:
    made = make_goals(["env=push", "env.image_size=16", f"photos={album}", f"out={tmp_path / 'goals.h5'}"])
    assert made["splits"] == {"train": 0, "valid": 0, "test": 3}
    with GoalFile(tmp_path / "goals.h5") as file:
        goals, rows = file.goals("test"), file.rows()
        assert goals.images is not None
        assert goals.images.shape == (3, 16, 16, 3)
        assert (goals.images[0] == [0, 255, 0]).all()
        assert np.isnan(goals.achieved).all()
        assert file.read("source", rows).tolist() == ["a.png", "b.JPG", "c.png"]
        assert file.read("crop", rows).tolist() == [[10, 0, 20, 20]] * 3
        assert file.read("original_size", rows).tolist() == [[40, 20]] * 3
        assert file.header.config["resize"] == "lanczos"
    before = (tmp_path / "goals.h5").read_bytes()
    for more, expected in (([], "exists already"), (["resume=true"], "nothing to resume"), (["overwrite=true", "crop=[0,0,99,9]"], "crop")):
        with pytest.raises(UserError, match=expected):
            make_goals(["env=push", "env.image_size=16", f"photos={album}", f"out={tmp_path / 'goals.h5'}", *more])
        assert (tmp_path / "goals.h5").read_bytes() == before
    with pytest.raises(UserError, match="lies among the photos"):
        make_goals(["env=push", f"photos={album}", f"out={album / 'a.png'}", "overwrite=true"])
    make_goals(["env=push", "env.image_size=16", f"photos={album}", f"out={tmp_path / 'left.h5'}", "crop=[0,0,10,20]"])
    with GoalFile(tmp_path / "left.h5") as file:
        images = file.goals().images
        assert images is not None
        assert (images[0] == [255, 0, 0]).all()


def test_an_unreadable_photo_is_named_in_one_line(album: Path, tmp_path: Path) -> None:
    (album / "broken.png").write_bytes((album / "a.png").read_bytes()[:40])
    with pytest.raises(UserError, match=r"cannot read the photo .*broken\.png"):
        make_goals(["env=push", f"photos={album}", f"out={tmp_path / 'goals.h5'}"])
    (album / "broken.png").write_text("no picture")
    with pytest.raises(UserError, match=r"broken\.png: it is no picture, whatever its name says; expected a png or jpg picture"):
        make_goals(["env=push", f"photos={album}", f"out={tmp_path / 'goals.h5'}"])
    (album / "broken.png").unlink()
    with pytest.raises(UserError, match=r"a\.png is 40 x 20 pixels, crop=\[30, 0, 20, 20\] does not lie within"):
        make_goals(["env=push", f"photos={album}", f"out={tmp_path / 'goals.h5'}", "crop=[30,0,20,20]"])
    assert [item.name for item in tmp_path.iterdir()] == ["album"]


# bad input ---------------------------------------------------------------------------------------------------------------

MISTAKES = [
    (["env=push", "out={}"], "missing n=N"),
    (["env=push", "n=0", "out={}"], "n=0; expected at least 1"),
    (["env=push", "n=-1", "out={}"], "n=-1; expected at least 1"),
    (["env=push", "n=2", "workers=0", "out={}"], "workers=0; expected at least 1"),
    (["n=2", "out={}"], "missing env=NAME"),
    (["env=pusj", "n=2", "out={}"], "did you mean 'push'?"),
    (["env=push", "n=2", "camera=[top]", "out={}"], "did you mean 'cameras'?"),
    (["env=push", "n=2", "cameras=[topp]", "out={}"], "did you mean 'top'?"),
    (["env=push", "n=2", "cameras=[top,top]", "out={}"], "names one twice"),
    (["env=push", "env.image_size=0", "n=2", "cameras=[top]", "out={}"], "cameras=... needs pictures"),
    (["env=push", "n=2", "splits=[1,1,1]", "out={}"], "shares of train, valid and test that add up to 1"),
    (["env=push", "at=[[0.4,0,2,2]]", "out={}"], "at[0]=[0.4, 0.0, 2.0, 2.0] is outside of the workspace"),
    (["env=push", "at=[[0.4,0]]", "out={}"], "expected 4 finite numbers: hand_x_m"),
    (["env=push", "at=[[0.4,0,0.5,0]]", "rollout=false", "out={}"], "at=... needs rollout=true"),
    (["env=push", "photos=nowhere", "out={}"], "photos=nowhere is not a folder"),
    (["env=push", "photos=nowhere", "n=3", "out={}"], "n=3 contradicts photos="),
    (["env=FetchReach-v4", "n=2", "out={}"], "has no expert to reach goals; rollout=false"),
    (["env=push", "n=2", "out=no/such/folder.h5"], "is not a folder; expected an existing one"),
]


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_mistakes_are_one_line_and_make_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], expected: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["goals", *(text.format(tmp_path / "goals.h5") for text in arguments)])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert expected in said.err.splitlines()[-1]
    assert sum(line.startswith("gcrl: ") for line in said.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_refused_resumed_or_replaced(undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "goals.h5"
    few = ["env=push", "env.image_size=0", f"out={path}"]
    first = make_goals([*few, "n=3"])
    before = path.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        make_goals([*few, "n=4"])
    with pytest.raises(UserError, match="was made with n=3; expected that to resume it, not n=4"):
        make_goals([*few, "n=4", "resume=true"])
    with pytest.raises(UserError, match="at least 1"):
        make_goals([*few, "n=0", "overwrite=true"])
    assert path.read_bytes() == before
    assert make_goals([*few, "n=3", "resume=true"]) == first
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(["goals", *few, "n=4", "overwrite=true", "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["goals"] == 4
    path.unlink()
    mine = tmp_path / "mine.h5.parts" / "letter.txt"  # a folder that happens to have the name of unfinished work
    mine.parent.mkdir()
    mine.write_text("dear")
    for more in ([], ["resume=true"], ["overwrite=true"]):
        with pytest.raises(UserError, match="is no unfinished work of gcrl goals; expected it moved away"):
            make_goals([*few[:2], "n=2", f"out={tmp_path / 'mine.h5'}", *more])
    assert mine.read_text() == "dear"
    with pytest.raises(UserError, match=r"goals_coverage\.png exists"):  # a picture beside it may be somebody's
        make_goals([*few, "n=3"])


def test_files_of_another_kind_version_or_length_are_one_line(undisturbed: Path, tmp_path: Path) -> None:
    path = tmp_path / "goals.h5"
    for change, expected in (
        (lambda file: file.attrs.modify("format_version", 99), "format version 99; expected at most 1: read it with a newer gcrl"),
        (lambda file: file.attrs.modify("format", "gcrl-dataset"), "of another kind"),
        (lambda file: file.attrs.__delitem__("factors"), "damaged header"),
        (lambda file: file.__delitem__("goals/achieved"), "lacks /goals/achieved"),
        (lambda file: (file.__delitem__("mask/test"), file.create_dataset("mask/test", data=np.ones(3, bool))), "has 3 rows for 20 goals"),
    ):
        path.write_bytes(undisturbed.read_bytes())
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(UserError, match=expected):
            GoalFile(path)
    path.write_bytes(undisturbed.read_bytes()[:3000])
    with pytest.raises(UserError, match="truncated or damaged"):
        GoalFile(path)
    with pytest.raises(UserError, match=r"does not exist \(did you mean 'goals.h5'\?\)"):
        GoalFile(tmp_path / "gaols.h5")
