"""A robot without state, reset or drawn goals: what the environment keeps to, and what practice makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_cases import DOOR

import envs
from envs.conformance import run_checks
from envs.errors import UserError
from envs.hardware import Pacer, Workspace
from envs.stand_in import SimulatedHardware, StandInEnv
from gcrl.config import load_settings
from gcrl.metrics_log import read_metrics
from gcrl.practice import Practice, resume


class Recorder(SimulatedHardware):
    """The stand-in's hardware with a list of the points it was commanded to, and a button pressed at the given commands."""

    def __init__(self, presses: tuple[int, ...] = ()) -> None:
        super().__init__(0.0, 0, None)
        self.points: list[np.ndarray[Any, Any]] = []
        self.presses, self.pressed = presses, False

    def move(self, point: Any) -> None:
        self.points.append(np.array(point))
        self.pressed = len(self.points) in self.presses
        super().move(point)

    def stopped(self) -> str:
        return "button pressed" if self.pressed else ""

    def hold(self) -> None:
        super().hold()
        self.pressed = False  # somebody releases it


class Recorded(StandInEnv):
    """A stand-in on a `Recorder`."""

    def __init__(self, presses: tuple[int, ...] = (), **arguments: Any) -> None:
        super().__init__(**arguments)
        self.presses = presses

    def connect(self) -> Recorder:
        return Recorder(tuple(self.presses))


def hardware(env: StandInEnv) -> Recorder:
    found = env.robot
    assert isinstance(found, Recorder)
    return found


def test_the_stand_in_keeps_what_its_capabilities_promise_and_claims_no_more(tmp_path: Path) -> None:
    env = envs.make("gcrl/StandIn-v0", image_size=16, goals=str(tmp_path / "goals.npz"))
    outcomes = {check.name: check for check in run_checks(env)}
    env.close()
    assert [check.problems for check in outcomes.values() if check.problems] == []
    assert {name for name, check in outcomes.items() if not check.claimed} == {
        "seeding",
        "options",
        "expert",
        "state",
        "images",
        "render_state",
    }


def test_a_reset_drives_the_hand_home_and_leaves_the_world_alone() -> None:
    env = Recorded(image_size=8)
    env.reset()
    for action in [[0, 1, 0]] * 3 + [[-1, 0, 0]] * 5:  # behind the bar, and the door comes along
        after = env.step(np.array(action, np.float32))[0]
    assert after["achieved_goal"][0] > 0.05, "the door is open"
    begun = env.reset()[0]
    assert np.allclose(begun["observation"], env.home, atol=0.02)
    assert begun["achieved_goal"][0] > 0.05, "the door is where it was left, give or take what the hand touched on its way"
    assert np.array_equal(env.reset(options={"keep_state": True})[0]["observation"], begun["observation"])


def test_no_command_leaves_the_workspace() -> None:
    generator = np.random.default_rng(0)
    env = Recorded(image_size=8)
    env.reset()
    limited = [env.step(generator.choice([-1.0, 1.0], 3))[4]["limited"] for _ in range(60)]
    points = np.array(hardware(env).points)
    assert np.all(points >= env.low)
    assert np.all(points <= env.high)
    assert any(limited)


def test_a_refused_command_leaves_the_point_where_it_was_and_a_clipped_one_goes_to_the_wall() -> None:
    target, hand, down = np.array([0.0, 0.0, 0.01]), np.array([0.0, 0.0, 0.01]), np.array([0.02, 0.0, -0.03])
    clip, refuse = (Workspace([-1, -1, 0], [1, 1, 1], limits) for limits in ("clip", "refuse"))
    point, limited = clip.next_point(target, down, hand)
    assert (point.tolist(), limited) == ([0.02, 0.0, 0.0], True)
    point, limited = refuse.next_point(target, down, hand)
    assert (point.tolist(), limited) == (target.tolist(), True)
    assert refuse.next_point(target, -down, hand)[1] is False


def test_the_control_rate_is_kept_and_a_missed_period_is_said_and_not_made_up_for() -> None:
    now = [10.0]
    pacer = Pacer(20.0, lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + seconds))
    ends = []
    late = []
    for work in (0.01, 0.03, 0.12, 0.01):
        now[0] += work
        late.append(pacer.wait())
        ends.append(now[0])
    assert np.allclose(np.diff(ends), [0.05, 0.12, 0.05])
    assert np.allclose(late, [0, 0, 0.07, 0])


def test_an_emergency_stop_ends_the_episode_holds_the_hand_and_asks_for_a_reset(tmp_path: Path) -> None:
    button = tmp_path / "STOP"
    env = StandInEnv(image_size=8, stop_file=str(button), patience_s=0.0)
    env.reset()
    button.touch()
    observation, _, terminated, truncated, info = env.step(np.ones(3))
    assert (terminated, truncated) == (False, True)
    assert info["aborted"] == f"emergency stop: {button} exists"
    assert np.abs(observation["observation"] - env.home).max() < 0.02
    with pytest.raises(UserError, match="expected reset"):
        env.step(np.ones(3))
    with pytest.raises(UserError, match="not released in 0 s"):
        env.reset()
    button.unlink()
    env.reset()
    assert "aborted" not in env.step(np.ones(3))[4]


def test_recorded_goals_are_pictures_of_where_the_robot_was_and_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "goals.npz"
    env = StandInEnv(image_size=8, goals=str(path))
    goals = env.fixed_goals("test")
    assert goals.images is not None
    assert goals.images.shape == (100, 8, 8, 3)
    assert len(np.unique(goals.achieved.round(3), axis=0)) > 90, "the walk gets about"
    assert goals.achieved[:, 0].max() > 0.15, "and moves the door"
    again = StandInEnv(image_size=8, goals=str(path)).fixed_goals("test")
    assert np.array_equal(again.achieved, goals.achieved)
    with pytest.raises(UserError, match="image_size=16"):
        StandInEnv(image_size=16, goals=str(path)).fixed_goals("test")
    path.write_bytes(b"no goals")
    with pytest.raises(UserError, match="cannot be read"):
        StandInEnv(image_size=8, goals=str(path)).fixed_goals("tune")


def test_late_noisy_pictures_come_from_before() -> None:
    clean, late = SimulatedHardware(0.0, 0, None), SimulatedHardware(0.0, 2, None)
    seen: dict[str, list[Any]] = {"clean": [], "late": []}
    for _ in range(5):
        for name, robot in (("clean", clean), ("late", late)):
            seen[name].append(robot.picture(16))
            robot.move(robot.hand() + np.array([-0.03, 0.0, 0.0]))
    assert np.array_equal(np.array(seen["late"][2:]), np.array(seen["clean"][:3]))
    assert not np.array_equal(seen["clean"][0], seen["clean"][4])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rate_hz": -1}, "rate_hz=-1"),
        ({"limits": "clamp"}, "did you mean 'clip'"),
        ({"image_size": 0}, "image_size=0"),
        ({"camera_delay": -1}, "camera_delay=-1"),
        ({"camera_noise": 300.0}, "camera_noise=300"),
    ],
)
def test_mistakes_are_said_in_one_line(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        StandInEnv(**arguments)


def test_what_it_cannot_do_it_refuses() -> None:
    env = StandInEnv(image_size=8)
    for call in (env.get_state, lambda: env.set_state(b""), lambda: env.render_state(np.zeros(4))):
        with pytest.raises(UserError, match="expected an environment whose capabilities"):
            call()


RUN = [
    *[line for line in DOOR if not line.startswith(("experiment", "env."))],
    "experiment=stand_in",
    "env=test_real_robot:Recorded",
    "env.image_size=48",
    "env.horizon=10",
    "practice.simulators=1",
    "practice.episodes_per_epoch=4",
    "practice.eval_episodes=2",
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Goals recorded by the robot that practises here."""
    path = tmp_path_factory.mktemp("recorded") / "goals.npz"
    env = Recorded(image_size=48, horizon=10, goals=str(path))
    env.fixed_goals("test")
    env.close()
    return path


def practise(folder: Path, goals: Path, *more: str) -> Practice:
    run = Practice(load_settings([*RUN, f"env.goals={goals}", f"run_dir={folder}/run", *more]))
    run.run()
    return run


@pytest.mark.parametrize("reset_every", [1, 0])
def test_practice_needs_no_more_than_a_robot_has(tmp_path: Path, recorded: Path, reset_every: int) -> None:
    run = practise(tmp_path, recorded, f"practice.reset_every={reset_every}")
    found = json.loads((run.folder / "evaluation.json").read_text())
    assert found["finished"] is True
    assert found["episodes"] == 4
    assert (run.folder / "report.html").exists()


def test_a_run_that_stops_at_an_abort_is_resumed_to_its_end(tmp_path: Path, recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = practise(tmp_path, recorded, "env.presses=[8]")
    assert run.epoch == 1
    rows = read_metrics(run.folder)
    assert rows[-1]["collector/aborts"] == 1
    assert 0 < rows[-1]["episodes"] < 4, "nothing moved after the stop"
    assert not (run.folder / "evaluation.json").exists()
    assert (run.folder / "report.html").exists()
    assert "button pressed" in capsys.readouterr().err
    resume(run.folder)  # its robot is new, and pressed at the 8th command once more
    assert read_metrics(run.folder)[-1]["collector/aborts"] == 1
    assert len(read_metrics(run.folder)) == 2


def test_a_run_that_continues_keeps_the_shortened_episode(tmp_path: Path, recorded: Path) -> None:
    run = practise(tmp_path, recorded, "env.presses=[8]", "practice.on_abort=continue")
    rows = read_metrics(run.folder)
    assert sum(row["collector/aborts"] for row in rows) == 1
    assert rows[-1]["episodes"] == 16
    assert rows[-1]["env_steps"] < 160
    assert json.loads((run.folder / "evaluation.json").read_text())["finished"] is True


@pytest.mark.parametrize(
    ("override", "words"),
    [("practice.simulators=2", "expected practice.simulators=1"), ("practice.on_abort=halt", "unknown practice.on_abort 'halt'")],
)
def test_a_schedule_that_does_not_fit_one_robot_is_refused(tmp_path: Path, recorded: Path, override: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        practise(tmp_path, recorded, override)
