"""Runs that are killed, interrupted, starved or fed with nonsense: what is kept, what is said, and that resuming changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import bad_parts
import h5py
import psutil
import pytest
from run_cases import BITFLIP, DOOR, Command, differences, finish_steps, outcome, practise, settings

import gcrl
from gcrl import checkpoint, cli
from gcrl.metrics_log import read_metrics
from gcrl.practice import Practice, practice, resume

EPISODES = 8  # an epoch of the tiny runs
PRESETS = {
    "bitflip": BITFLIP,
    "door, never reset": [*DOOR, "practice.reset_every=0"],
    "door, reset now and then": [*DOOR, "practice.reset_every=3"],
}
_undisturbed: dict[str, dict[str, Any]] = {}


@pytest.fixture
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function from a preset's name to the outcome of its run that nothing disturbed."""

    def of(preset: str) -> dict[str, Any]:
        if preset not in _undisturbed:
            folder = tmp_path_factory.mktemp("undisturbed") / "run"
            finish_steps(Practice(settings(PRESETS[preset], folder)))
            _undisturbed[preset] = outcome(folder)
        return _undisturbed[preset]

    return of


def readable_episodes(folder: Path) -> int:
    """Read everything in a dataset with nothing but h5py; return its number of episodes."""
    with h5py.File(folder / "practice.h5", "r") as file:
        start, length = file["episodes/start"][()], file["episodes/length"][: len(file["episodes/start"])]
        for column in ("action", "reward", "observation/achieved_goal"):
            assert len(file[f"steps/{column}"][()]) >= (start + length + 1).max(initial=0)
        return len(start)


KILLS = [  # fault point, its visit in bit-flip and in the door, episodes then readable, epochs in the checkpoint
    ("rollout:step", 28, 65, 2, 2),
    ("dataset:rows", 3, 3, 2, 2),
    ("checkpoint:mid", 2, 2, 2, 1),
    ("epoch:end", 2, 2, 2, 2),
]
CASES = [(kill, preset) for kill in KILLS for preset in ("bitflip", "door, never reset")] + [(KILLS[3], "door, reset now and then")]


@pytest.mark.parametrize(("kill", "preset"), CASES, ids=[f"{kill[0]}, {preset}" for kill, preset in CASES])
def test_a_killed_run_resumes_to_the_very_same_outcome(tmp_path: Path, undisturbed: Any, kill: Any, preset: str) -> None:
    point, *visits, epochs_readable, epochs_saved = kill
    assert preset != "bitflip" or "metrics/4/eval/success_rate" in undisturbed(preset)
    folder = tmp_path / "run"
    killed = practise(folder, PRESETS[preset], fault=f"{point}:{visits[preset != 'bitflip']}")
    assert killed.wait() == -signal.SIGKILL, killed.said
    assert readable_episodes(folder) == EPISODES * epochs_readable
    assert checkpoint.load(folder / "checkpoint")["epoch"] == epochs_saved
    finish_steps(Practice(settings(PRESETS[preset], folder), resume=True))
    assert differences(undisturbed(preset), outcome(folder)) == []


@pytest.mark.parametrize("point", ["rollout:step:1", "dataset:rows:1", "checkpoint:mid:1"])
def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path: Path, undisturbed: Any, point: str) -> None:
    folder = tmp_path / "run"
    assert practise(folder, BITFLIP, fault=point).wait() == -signal.SIGKILL
    finish_steps(Practice(settings(BITFLIP, folder), resume=True))
    assert differences(undisturbed("bitflip"), outcome(folder)) == []


def test_a_run_killed_again_while_it_resumes_loses_nothing_more(tmp_path: Path, undisturbed: Any) -> None:
    folder = tmp_path / "run"
    assert practise(folder, BITFLIP, fault="epoch:end:1").wait() == -signal.SIGKILL
    for point in ("dataset:rows:1", "checkpoint:mid:1", "epoch:end:1"):
        assert Command(folder, "resume", str(folder), fault=point).wait() == -signal.SIGKILL
    assert checkpoint.load(folder / "checkpoint")["epoch"] == 2
    finish_steps(Practice(settings(BITFLIP, folder), resume=True))
    assert differences(undisturbed("bitflip"), outcome(folder)) == []


def test_a_learner_killed_while_its_collector_works_leaves_no_process_and_resumes_alike(tmp_path: Path, undisturbed: Any) -> None:
    folder, preset = tmp_path / "run", "door, never reset"
    before = {process.pid for process in psutil.process_iter()}
    command = practise(folder, PRESETS[preset], "practice.collector_process=true", fault="epoch:sent:2")
    assert command.wait() == -signal.SIGKILL, command.said
    assert readable_episodes(folder) == EPISODES * 2
    finish_steps(Practice(settings(PRESETS[preset], folder, "practice.collector_process=true"), resume=True))
    assert differences(undisturbed(preset), outcome(folder)) == []
    orphans = [process for process in psutil.process_iter() if process.pid not in before and process.ppid() == 1]
    assert not psutil.wait_procs([process for process in orphans if "spawn_main" in " ".join(process.cmdline())], timeout=20)[1]


def test_a_collector_killed_at_work_is_restarted_and_counted_and_changes_nothing(tmp_path: Path, undisturbed: Any) -> None:
    folder, preset = tmp_path / "run", "door, never reset"
    run = Practice(settings(PRESETS[preset], folder, "practice.collector_process=true"))
    run.step()
    assert run.collector.pid is not None
    os.kill(run.collector.pid, signal.SIGKILL)  # the next epoch is its request in flight
    finish_steps(run)
    assert [row["collector/restarts"] for row in read_metrics(folder)] == [0, 1, 1, 1]
    assert checkpoint.load(folder / "checkpoint")["restarts"] == 1
    assert differences(undisturbed(preset), outcome(folder)) == []


def test_ctrl_c_ends_the_epoch_with_checkpoint_and_report_and_resuming_makes_up_for_it(tmp_path: Path, undisturbed: Any) -> None:
    folder = tmp_path / "run"
    command = practise(folder, BITFLIP, "practice.updates_per_epoch=400")
    deadline = time.monotonic() + 60
    while not read_metrics(folder) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(command.process.pid, signal.SIGINT)
    assert command.wait() == 0, command.said
    assert "stopping after this epoch" in command.said
    assert (folder / "report.html").exists()
    epochs = checkpoint.load(folder / "checkpoint")["epoch"]
    assert epochs == len(read_metrics(folder)) < 5
    assert json.loads((folder / "evaluation.json").read_text())["finished"] is False
    longer = settings(BITFLIP, folder, "practice.updates_per_epoch=400")
    finish_steps(Practice(longer, resume=True))
    longer.run_dir = str(tmp_path / "undisturbed")
    finish_steps(Practice(longer))
    assert differences(outcome(tmp_path / "undisturbed"), outcome(folder)) == []


def test_max_minutes_ends_a_run_early_and_each_resume_is_given_as_much_again(tmp_path: Path, undisturbed: Any) -> None:
    folder = practice(settings(BITFLIP, tmp_path / "run", "max_minutes=0.00001", "practice.checkpoint_every=3"))
    assert checkpoint.load(folder / "checkpoint")["epoch"] == 1
    assert (folder / "report.html").exists()
    resume(folder)
    assert checkpoint.load(folder / "checkpoint")["epoch"] == 2
    finish_steps(Practice(settings(BITFLIP, folder), resume=True))
    assert differences(undisturbed("bitflip"), outcome(folder)) == []


# figures that are not finite -----------------------------------------------------------------------------------------------

CULPRITS = [
    (["reward=bad_parts:NaNReward"], "reward NaNReward"),
    (["representation=bad_parts:NaNRepresentation"], "a latent of NaNRepresentation became nan"),
    (["agent=bad_parts:InfiniteLoss"], "td_loss of agent InfiniteLoss (update 40) became inf"),
    (["agent=bad_parts:NaNWeights"], "agent NaNWeights (update 40) became nan"),
    (["agent=bad_parts:NaNAction"], "an action of NaNAction became nan"),
    (["goal_sampler=bad_parts:NaNGoals"], "a goal of goal sampler NaNGoals became nan"),
]


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    """Run a command in this process; return its exit code and the lines of standard error."""
    for part in vars(bad_parts).values():
        if isinstance(part, type) and hasattr(part, "calls"):
            part.calls = 0
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(str(ended.value.code or 0)), capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(("parts", "culprit"), CULPRITS, ids=[culprit for _, culprit in CULPRITS])
def test_figures_that_are_not_finite_end_the_run_and_the_culprit_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: list[str], culprit: str
) -> None:
    folder = tmp_path / "run"
    code, lines = command(capsys, "practice", *BITFLIP, "practice.eval_every=0", *parts, f"run_dir={folder}")
    assert code == 1
    assert culprit in lines[-1]
    assert lines[-1].startswith("gcrl: practice stopped: ")
    assert not any("Traceback" in line for line in lines)
    assert gcrl.load(folder).epoch >= 1
    assert readable_episodes(folder) >= EPISODES


def test_the_culprit_in_a_collector_process_is_named_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [*BITFLIP, "practice.collector_process=true", "agent=bad_parts:NaNAction"]
    code, lines = command(capsys, "practice", *overrides, f"run_dir={tmp_path / 'run'}")
    assert code == 1
    assert "an action of NaNAction became nan" in lines[-1]


WRONG_SHAPES = [
    ("goal_sampler=bad_parts:TooFewGoals", "goal sampler TooFewGoals returned goals of shape (7, 5)"),
    ("goal_sampler=bad_parts:EmptyRows", "goal sampler EmptyRows returned row 5000, which holds no frame"),
    ("goal_sampler=bad_parts:FractionalRows", "goal sampler FractionalRows returned float64"),
    ("reward=bad_parts:ColumnReward", "reward ColumnReward returned shapes"),
    ("agent=bad_parts:ActionColumn", "actions of shape (4, 1) for 4 simulators; expected (4,)"),
]


@pytest.mark.parametrize(("part", "message"), WRONG_SHAPES, ids=[part for part, _ in WRONG_SHAPES])
def test_a_part_that_returns_the_wrong_shape_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str, message: str) -> None:
    code, lines = command(capsys, "practice", *BITFLIP, part, f"run_dir={tmp_path / 'run'}")
    assert code == 2
    assert message in lines[-1]


def test_what_a_sampler_raises_says_where_it_came_from(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        practice(settings([*BITFLIP, "goal_sampler=bad_parts:SamplerThatRaises"], tmp_path / "run"))
    assert caught.value.__notes__ == ["raised by goal sampler SamplerThatRaises"]


# disks and files ------------------------------------------------------------------------------------------------------------


def test_a_full_disk_ends_the_run_in_one_line_and_keeps_what_there_is(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = practise(folder, BITFLIP, "env.n=20", "practice.epochs=80", "practice.updates_per_epoch=1", file_limit=3_000_000)
    assert command.wait() == 2
    lines = command.said.splitlines()
    assert lines[0].startswith("will write about ")
    assert lines[0].endswith(f" MB to {folder}")
    assert "expected free disk space; earlier episodes are intact" in lines[-1]
    assert "Traceback" not in command.said
    epochs = checkpoint.load(folder / "checkpoint")["epoch"]
    assert epochs >= 1
    assert readable_episodes(folder) >= EPISODES * epochs


def test_a_run_that_will_not_fit_on_the_disk_does_not_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = command(capsys, "practice", "experiment=door", "practice.epochs=100000000", f"run_dir={tmp_path / 'run'}")
    assert code == 2
    assert len(lines) == 1
    assert "MB free; expected" in lines[0]
    assert not (tmp_path / "run").exists()


MISFITS = [
    (["experiment=door", "goal_sampler=prior", "reward=state_distance"], "reward StateDistance needs goals with a known achieved goal"),
    (["experiment=door", "env.image_size=0"], "image"),
    (["experiment=door", "agent=dqn"], "DQN"),
    (["experiment=door", "representation=pca", "goal_sampler.density=representation"], "log_prob"),
    (["experiment=bitflip", "reward=pixel_error"], "observes none"),
    (["experiment=bitflip", "practice.inputs=[latant]"], "'latant'"),
    (
        ["experiment=bitflip", "practice.capacity=100"],
        "practice.capacity=100 rows hold less than an epoch's 16 episodes; expected at least 356",
    ),
    (["experiment=bitflip", "practice.warmup=sty"], "did you mean 'stay'?"),
    (["experiment=bitflip", "max_minutes=-1"], "max_minutes=-1.0; expected minutes, or 0 for no limit"),
    (["experiment=bitflip", "practice.epochs=0"], "practice.epochs=0; expected at least 1"),
    (["experiment=bitflip", "practice.reset_every=0", "practice.episodes_per_epoch=9"], "expected e.g. 16"),
    (["experiment=door", "practice.random_epochs=0"], "SkewFit"),
]


@pytest.mark.parametrize(("overrides", "message"), MISFITS, ids=[" ".join(overrides) for overrides, _ in MISFITS])
def test_parts_that_do_not_fit_are_one_line_and_leave_no_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    code, lines = command(capfd, "practice", *overrides, f"run_dir={tmp_path / 'run'}")
    assert code == 2
    assert len(lines) == 1
    assert message in lines[0]
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    code, lines = command(capsys, "practice", *BITFLIP, f"run_dir={tmp_path}")
    assert code == 2
    assert f"`gcrl resume {tmp_path}` goes on" in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of which two epochs are done."""
    folder = tmp_path_factory.mktemp("half") / "run"
    run = Practice(settings(BITFLIP, folder))
    run.step()
    run.step()
    run.close()
    return folder


def resave(folder: Path, change: Any) -> None:
    tree = checkpoint.load(folder / "checkpoint")
    change(tree)
    checkpoint.save(folder / "checkpoint", tree)


def without_network(tree: Any) -> None:
    del tree["learner"]["agent"]["networks"]


def other_shape(tree: Any) -> None:
    latents = tree["learner"]["replay"]["latents"]
    tree["learner"]["replay"]["latents"] = latents[:, :3]


def other_generator(tree: Any) -> None:
    tree["learner"]["generator"]["bit_generator"] = "MT19937"


DAMAGE = [
    ("no learner", lambda folder: resave(folder, lambda tree: tree.pop("learner")), "it lacks 'learner'"),
    ("no network", lambda folder: resave(folder, without_network), "networks"),
    ("other shape", lambda folder: resave(folder, other_shape), "does not fit this run"),
    ("other generator", lambda folder: resave(folder, other_generator), "does not fit this run"),
    ("no dataset", lambda folder: (folder / "practice.h5").unlink(), "practice.h5 is missing; expected the dataset of 16 episodes"),
]


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_a_damaged_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], two_epochs: Path, damage: Any, message: str
) -> None:
    folder = copied(two_epochs, tmp_path)
    damage(folder)
    code, lines = command(capsys, "resume", str(folder))
    assert code == 2
    assert len(lines) == 1
    assert message in lines[0]


def test_a_dataset_of_another_environment_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], two_epochs: Path) -> None:
    folder = copied(two_epochs, tmp_path)
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("  n: 5\n", "  n: 4\n"))
    code, lines = command(capsys, "resume", str(folder))
    assert code == 2
    assert "practice.h5 is of another run: its env_arguments is {'n': 5}; expected {'n': 4}" in lines[0]
    assert readable_episodes(folder) == 2 * EPISODES


def copied(folder: Path, place: Path) -> Path:
    shutil.copytree(folder, place / "run")
    return place / "run"
