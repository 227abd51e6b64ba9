"""`gcrl collect`: what the policies do, the same episodes however many processes made them and whatever killed those."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
from file_cases import differing
from run_cases import Command, finish_steps, settings

import envs
from envs.bitflip import BitFlipEnv
from envs.errors import UserError
from gcrl import cli
from gcrl.collect import collect
from gcrl.data import Reader
from gcrl.practice import Practice
from gcrl.processes import interrupts_deferred

PUSH = ["env=push", "env.image_size=16", "env.horizon=12", "episodes=10", "simulators=2", "seed=3"]
BITS = ["env=bitflip", "env.n=5", "policy=random", "episodes=12", "simulators=4"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that nothing disturbed."""
    path = tmp_path_factory.mktemp("undisturbed") / "data.h5"
    collect([*PUSH, "policy=noisy-scripted", f"out={path}"])
    return path


def test_a_file_holds_what_was_asked_for_with_goals_rewards_and_provenance(undisturbed: Path) -> None:
    with Reader(undisturbed) as reader:
        assert len(reader) == 10
        assert reader.header.provenance == "scripted"
        assert reader.header.config["collect"]["policy"] == "noisy-scripted"
        assert len(set(reader.column("seed").tolist())) == 10
        episodes = reader.episodes(slice(None))
    env = envs.make("gcrl/Push-v0", horizon=12, image_size=16)
    for index in range(10):  # an episode is what its seed, goal and actions say
        observation, _ = env.reset(seed=int(episodes.seeds[index]), options={"goal": episodes.goals[index]})
        for step in range(12):
            assert np.array_equal(observation["image"], episodes.observations["image"][index, step])
            observation, reward, _, _, _ = env.step(episodes.actions[index, step])
            assert reward == episodes.rewards[index, step]
    goal = env.sample_goals(1, np.random.default_rng([3, 5, 0]))
    assert np.array_equal(episodes.goal_images[0], env.render_state(goal.states[0]))
    env.close()


def test_the_contents_do_not_depend_on_the_number_of_processes(undisturbed: Path, tmp_path: Path) -> None:
    collect([*PUSH, "policy=noisy-scripted", f"out={tmp_path / 'two.h5'}", "workers=2"])
    assert differing(undisturbed, tmp_path / "two.h5") == []
    collect([*PUSH[:-1], "seed=4", "policy=noisy-scripted", f"out={tmp_path / 'other.h5'}"])
    assert "steps/action" in differing(undisturbed, tmp_path / "other.h5")


def test_the_expert_opens_the_door_and_chance_does_not(tmp_path: Path) -> None:
    reached = {
        policy: collect(["env=door", "env.image_size=0", "episodes=12", f"policy={policy}", f"out={tmp_path / policy}.h5"])["success_rate"]
        for policy in ("scripted", "random")
    }
    assert reached["scripted"] >= 0.9
    assert reached["random"] <= 0.4


def test_play_pursues_goal_after_goal_without_a_reset_in_between(tmp_path: Path) -> None:
    figures = collect([*PUSH, "policy=play", "play_goals=4", f"out={tmp_path / 'play.h5'}"])
    assert figures["episodes"] == 10
    with Reader(tmp_path / "play.h5") as reader:
        sequence, lengths = reader.column("epoch"), reader.lengths
        assert sequence.tolist() == [0] * 4 + [1] * 4 + [2] * 2
        assert len(set(lengths.tolist())) > 1
        assert lengths.max() <= 12
        episodes = reader.episodes(slice(None))
    for index in range(9):
        end = {key: values[index, lengths[index]] for key, values in episodes.observations.items()}
        start = {key: values[index + 1, 0] for key, values in episodes.observations.items()}
        same = all(np.array_equal(end[key], start[key]) for key in ("image", "achieved_goal", "observation"))
        assert same == (sequence[index] == sequence[index + 1])
    assert not episodes.terminated.any()


def test_foreign_and_discrete_environments_are_collected_in_too(tmp_path: Path) -> None:
    assert collect([*BITS, f"out={tmp_path / 'bits.h5'}"])["episodes"] == 12
    with Reader(tmp_path / "bits.h5") as reader:
        assert reader.header.provenance == "random"
        assert reader.read("action", np.arange(3)).dtype == np.int64
    with pytest.raises(UserError, match="no scripted expert"):
        collect(["env=FetchReach-v4", "episodes=2", f"out={tmp_path / 'fetch.h5'}"])
    assert collect(["env=FetchReach-v4", "policy=random", "episodes=2", "simulators=2", f"out={tmp_path / 'fetch.h5'}"])["steps"] == 100


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny practised run on push from pixels."""
    folder = tmp_path_factory.mktemp("practised") / "run"
    tiny = [
        "experiment=push",
        "env.image_size=48",
        "env.horizon=12",
        "representation.first_steps=2",
        "agent.hidden=[8]",
        "agent.batch_size=8",
    ]
    loop = ["practice.epochs=1", "practice.episodes_per_epoch=2", "practice.simulators=2", "practice.collector_process=false"]
    finish_steps(Practice(settings([*tiny, *loop, "practice.random_epochs=1", "practice.eval_every=0", "goal_sampler=prior"], folder)))
    return folder


def test_a_practised_policy_collects_alike_in_one_process_and_in_two(run: Path, tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        collect([f"policy={run}", "episodes=4", "simulators=2", f"workers={workers}", f"out={tmp_path / name}.h5"])
    assert differing(tmp_path / "one.h5", tmp_path / "two.h5") == []
    with Reader(tmp_path / "one.h5") as reader:
        assert reader.header.env_id == "gcrl/Push-v0"
        assert reader.header.provenance == "practice"
        assert reader.header.goal_dim != 4  # the goals are latents of the run's representation
    with pytest.raises(UserError, match=r"was practised in gcrl/Push-v0; expected env=gcrl/Reach-v0"):
        collect(["env=reach", f"policy={run}", "episodes=4", f"out={tmp_path / 'no.h5'}"])
    with pytest.raises(UserError, match="observes 'image' of shape"):
        collect(["env=push", "env.image_size=16", f"policy={run}", "episodes=4", f"out={tmp_path / 'no.h5'}"])
    assert not (tmp_path / "no.h5").exists()


# killed and resumed ------------------------------------------------------------------------------------------------------

KILLS = [("collect:piece:1", 0), ("dataset:rows:3", 4), ("collect:piece:4", 6), ("collect:appended:2", 4), ("rollout:step:30", 4)]


@pytest.mark.parametrize(("fault", "kept"), KILLS, ids=[fault for fault, _ in KILLS])
def test_a_killed_collection_resumes_to_the_same_episodes_in_order(undisturbed: Path, tmp_path: Path, fault: str, kept: int) -> None:
    path = tmp_path / "data.h5"
    killed = Command(tmp_path / "run", "collect", *PUSH, "policy=noisy-scripted", f"out={path}", fault=fault)
    assert killed.wait() == -signal.SIGKILL, killed.said
    with h5py.File(path, "r") as file:
        assert len(file["episodes/start"]) == kept
    collect([*PUSH, "policy=noisy-scripted", f"out={path}", "resume=true"])
    assert differing(undisturbed, path) == []


def test_a_worker_that_is_killed_is_replaced_and_none_outlives_the_command(undisturbed: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    command = Command(tmp_path / "run", "collect", *PUSH, "policy=noisy-scripted", f"out={path}", "workers=2")
    deadline = time.monotonic() + 60
    while len(crew := workers_of(command.process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(crew[0].pid, signal.SIGKILL)
    assert command.wait() == 0, command.said
    assert "1 worker processes died and were replaced" in command.said
    assert differing(undisturbed, path) == []
    killed = Command(tmp_path / "again", "collect", *PUSH, f"out={tmp_path / 'again.h5'}", "workers=2")
    deadline = time.monotonic() + 60
    while len(crew := workers_of(killed.process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(killed.process.pid, signal.SIGKILL)
    assert len(crew) == 2
    assert not psutil.wait_procs(crew, timeout=20)[1]


def test_workers_in_the_middle_of_an_episode_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    endless = ["env=push", "env.image_size=0", "env.horizon=999999", "episodes=4", "simulators=2", "workers=2"]
    command = Command(tmp_path / "run", "collect", *endless, f"out={tmp_path / 'data.h5'}")
    deadline = time.monotonic() + 60
    while (len(crew := workers_of(command.process.pid)) < 2 or busy(crew) < 4) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(command.process.pid, signal.SIGKILL)
    assert len(crew) == 2
    assert not psutil.wait_procs(crew, timeout=20)[1]


def test_ctrl_c_that_comes_while_a_worker_starts_is_not_lost_and_does_not_reach_it() -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('alive')"
    said = []

    def start() -> None:
        with interrupts_deferred():
            os.kill(os.getpid(), signal.SIGINT)
            said.append(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests started in the background inherit an ignored Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        signal.signal(signal.SIGINT, before)
    assert said == ["alive\n"]


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(undisturbed: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    many = [text for text in PUSH if not text.startswith("episodes")]
    command = Command(tmp_path / "run", "collect", *many, "episodes=9999", "policy=noisy-scripted", f"out={path}", "workers=2")
    deadline = time.monotonic() + 60
    while stored(path) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(command.process.pid, signal.SIGINT)
    assert command.wait() == 130, command.said
    assert "stopping after the episodes in progress; press Ctrl-C again to stop at once" in command.said
    assert "the same command with resume=true makes the others" in command.said
    assert "Traceback" not in command.said
    with Reader(path) as reader:
        done = reader.episodes([0, 1])
    with Reader(undisturbed) as reader:
        assert np.array_equal(reader.episodes([0, 1]).observations["image"], done.observations["image"])


def test_a_second_ctrl_c_does_not_wait_for_the_episodes_in_progress(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    endless = ["env=push", "env.image_size=0", "env.horizon=999999", "episodes=4", "simulators=2", "workers=2", f"out={path}"]
    command = Command(tmp_path / "run", "collect", *endless)
    deadline = time.monotonic() + 60
    while len(crew := workers_of(command.process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    for _ in range(2):
        os.kill(command.process.pid, signal.SIGINT)
        while "press Ctrl-C again" not in command.said and time.monotonic() < deadline:
            time.sleep(0.02)
    assert command.wait() == 130, command.said
    assert "0 of 4 episodes are in" in command.said
    assert "Traceback" not in command.said
    assert not psutil.wait_procs(crew, timeout=20)[1]


def test_ctrl_c_that_comes_while_a_weak_reference_dies_is_not_lost(tmp_path: Path) -> None:
    """Python drops what is raised there."""
    with pytest.raises(KeyboardInterrupt):
        collect(["env=test_collect:InterruptedBits", *BITS[1:], f"out={tmp_path / 'bits.h5'}"])
    with Reader(tmp_path / "bits.h5") as reader:
        assert len(reader) == 8  # of 12; it came in the second piece


class InterruptedBits(BitFlipEnv):
    """An environment in which Ctrl-C is pressed at the worst moment of the fifth reset."""

    resets = 0

    def reset(self, **arguments: Any) -> Any:
        InterruptedBits.resets += 1
        if InterruptedBits.resets == 5:
            something = threading.Thread()
            reference = weakref.ref(something, lambda _: os.kill(os.getpid(), signal.SIGINT))
            del something
            assert reference() is None
        return super().reset(**arguments)


def stored(path: Path) -> int:
    """Return how many episodes a file holds that is being written; none where it is caught in the midst of a write."""
    try:
        with Reader(path) as reader:
            return len(reader)
    except (OSError, UserError):
        return 0


def busy(crew: list[psutil.Process]) -> float:
    """Return the CPU seconds of the idlest; starting takes some three."""
    return min((sum(process.cpu_times()[:2]) for process in crew), default=0.0)


def workers_of(pid: int) -> list[psutil.Process]:
    try:
        return [child for child in psutil.Process(pid).children() if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def test_a_finished_file_can_be_made_longer_and_its_beginning_stays(tmp_path: Path) -> None:
    path, whole = tmp_path / "bits.h5", tmp_path / "whole.h5"
    collect(["env=bitflip", "env.n=5", "policy=random", "episodes=6", "simulators=4", f"out={path}"])  # ends within a piece
    collect([*BITS, f"out={path}", "resume=true"])
    collect([*BITS, f"out={whole}"])
    assert differing(path, whole) == []


# bad input ---------------------------------------------------------------------------------------------------------------

MISTAKES = [
    (["env=push", "out={}"], "missing key 'episodes'"),
    (["env=push", "episodes=0", "out={}"], "episodes=0; expected at least 1"),
    (["env=push", "episodes=-3", "out={}"], "episodes=-3; expected at least 1"),
    (["env=push", "episodes=2", "workers=0", "out={}"], "workers=0; expected at least 1"),
    (["env=push", "episodes=many", "out={}"], "episodes: expected a whole number, got 'many'"),
    (["env=push", "episods=2", "out={}"], "did you mean 'episodes'?"),
    (["episodes=2", "out={}"], "missing env=NAME"),
    (["env=pusj", "episodes=2", "out={}"], "did you mean 'push'?"),
    (["env.horizon=3", "episodes=2", "out={}"], "needs an environment; add env=NAME"),
    (["env=push", "env.horizn=3", "episodes=2", "out={}"], "did you mean 'horizon'?"),
    (["env=push", "policy=scriptd", "episodes=2", "out={}"], "did you mean 'scripted'?"),
    (["env=push", "policy=runs/none", "episodes=2", "out={}"], "policy=runs/none is not a run folder"),
    (["env=push", "noise=2", "episodes=2", "out={}"], "noise=2; expected 0 to 1"),
    (["env=push", "episodes=2", "out={}", "out={}"], "out is given twice"),
    (["env=push", "episodes=2", "out=no/such/folder.h5"], "is not a folder; expected an existing one"),
    (["env=push", "episodes=2", "out={}", "resume=true", "overwrite=true"], "contradict each other"),
    (["env=push", "episodes=2,3", "out={}"], "names several values"),
    (["env=stand_in", "policy=random", "episodes=2", "out={}"], "simulators=8, but there is only one of gcrl/StandIn-v0"),
]


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_mistakes_are_one_line_and_make_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], expected: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["collect", *(text.format(tmp_path / "data.h5") for text in arguments)])
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert expected in said.err
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_refused_resumed_or_replaced_and_never_touched_by_a_mistake(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bits.h5"
    first = collect([*BITS, f"out={path}"])
    before = path.read_bytes()
    for more, expected in (
        ([], "exists already; expected a new path, resume=true to go on with it, or overwrite=true"),
        (["resume=true", "seed=9"], "was made with seed=0; expected that to resume it, not seed=9"),
        (["resume=true", "env.n=6"], "another env_arguments"),
        (["overwrite=true", "env.m=6"], "unknown argument of gcrl/BitFlip-v0 'm'"),
    ):
        arguments = [text for text in BITS if text.partition("=")[0] not in [extra.partition("=")[0] for extra in more]]
        with pytest.raises(UserError, match=expected):
            collect([*arguments, f"out={path}", *more])
        assert path.read_bytes() == before
    with pytest.raises(UserError, match="holds 12 episodes already"):
        collect(["env=bitflip", "env.n=5", "policy=random", "episodes=4", "simulators=4", f"out={path}", "resume=true"])
    assert path.read_bytes() == before
    assert collect([*BITS, f"out={path}", "resume=true"]) == first
    with pytest.raises(SystemExit) as ended:
        cli.main(["collect", *BITS, f"out={path}", "overwrite=true", "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == first


def test_progress_says_how_much_it_will_take_and_how_far_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    collect([*BITS, f"out={tmp_path / 'bits.h5'}"])
    said = capsys.readouterr().err
    assert "MB for 12 episodes" in said
    assert "episode 12/12" in said
    assert "0:00 left" in said


def test_a_newer_format_and_a_foreign_file_are_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "bits.h5"
    collect([*BITS, f"out={path}"])
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(UserError, match="format version 99; expected at most 1: read it with a newer gcrl"):
        collect([*BITS, f"out={path}", "resume=true"])
    path.write_bytes(b"something of mine")
    with pytest.raises(UserError, match="is not an HDF5 file"):
        collect([*BITS, f"out={path}", "resume=true"])
    assert path.read_bytes() == b"something of mine"
