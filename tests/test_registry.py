"""Environments by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import envs
from envs.conformance import check_env
from envs.errors import UserError

ARMS = ("Door", "Reach", "Push", "PickPlace", "Stack", "Drawer", "Button", "MultiPush", "Tabletop")
OWN = {f"gcrl/{name}-v0" for name in (*ARMS, "Corridor", "BitFlip", "OGBenchPointMaze")}


def _finished(target: str) -> bool:
    """Return whether a task is there with its committed goals (those without a simulator need none)."""
    module = Path(envs.__file__).parent / f"{target.partition(':')[0].removeprefix('envs.')}.py"
    drawn = module.stem in ("bitflip", "corridor", "ogbench_pointmaze")
    return module.exists() and (drawn or (module.parent / "goals" / f"{module.stem}.npz").exists())


THIRD_PARTY = """
from envs.bitflip import BitFlipEnv

class Wide(BitFlipEnv):
    def __init__(self, width: int = 4, **kwargs):
        super().__init__(n=kwargs.pop("n", width))

class NotAnEnvironment:
    pass

class Incomplete(BitFlipEnv):
    def __init__(self):
        super().__init__(n=4)
        del self.factors

number = 3
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed third-party package with an entry point, as pip leaves it."""
    (tmp_path / "stranger.py").write_text(THIRD_PARTY)
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gcrl.envs]\nstranger/Wide-v0 = stranger:Wide\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    return "stranger"


def test_our_environments_are_listed() -> None:
    assert set(envs.available()) >= OWN


FINISHED = [env_id for env_id, target in sorted(envs.available().items()) if env_id in OWN and _finished(target)]


@pytest.mark.parametrize("env_id", FINISHED)
def test_every_environment_of_ours_keeps_the_contract(env_id: str) -> None:
    env = envs.make(env_id)
    assert check_env(env) == []
    env.close()


def test_gymnasium_makes_ours_too() -> None:
    ours, theirs = envs.make("gcrl/BitFlip-v0", n=6), gymnasium.make("gcrl/BitFlip-v0", n=6)
    for key, value in ours.reset(seed=3)[0].items():
        assert np.array_equal(value, theirs.reset(seed=3)[0][key])


def test_importing_envs_loads_no_simulator() -> None:
    heavy = "import envs, sys; print(sorted({'torch', 'pybullet', 'mujoco', 'gymnasium_robotics', 'panda_gym'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_making_a_foreign_environment_prints_nothing() -> None:
    command = [sys.executable, "-c", "import envs; envs.make('FetchReach-v4').reset(seed=0)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_third_parties_come_by_entry_point_or_by_class(package: str) -> None:
    assert envs.available()["stranger/Wide-v0"] == "stranger:Wide"
    for name in ("stranger/Wide-v0", "stranger:Wide"):
        assert envs.make(name, width=7).horizon == 7
    assert envs.make("stranger:Wide", n=5).horizon == 5, "what a class passes on to its base is accepted"


@pytest.mark.parametrize(
    ("env_id", "arguments", "words"),
    [
        ("gcrl/Dor-v0", {}, ["unknown environment 'gcrl/Dor-v0'", "did you mean 'gcrl/Door-v0'?"]),
        ("Door-v0", {}, ["did you mean 'gcrl/Door-v0'?"]),
        ("FetchReech-v4", {}, ["did you mean 'FetchReach-v4'?"]),
        ("FetchReach-v99", {}, ["FetchReach-v99", "did you mean 'FetchReach-v"]),
        ("nonsense", {}, ["gcrl/BitFlip-v0", "module:Class"]),
        ("", {}, ["gcrl/BitFlip-v0"]),
        ("gcrl/BitFlip-v0", {"bits": 3}, ["unknown argument of gcrl/BitFlip-v0 'bits'", "expected one of: n"]),
        ("gcrl/Corridor-v0", {"nois": 0.1}, ["did you mean 'noise'?"]),
        ("FetchReach-v4", {"reward_typ": "dense"}, ["did you mean 'reward_type'?", "success_threshold"]),
        ("nowhere:Thing", {}, ["cannot import nowhere"]),
        ("stranger:Wid", {}, ["unknown class in stranger 'Wid'", "did you mean 'Wide'?"]),
        ("stranger:number", {}, ["number is int", "expected a class"]),
        ("stranger:NotAnEnvironment", {}, ["NotAnEnvironment has no reset"]),
        ("stranger:Incomplete", {}, ["factors"]),
        ("stranger:Wide", {"widht": 3}, ["did you mean 'width'?"]),
    ],
)
def test_mistakes_are_said_in_one_line(package: str, env_id: str, arguments: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        envs.make(env_id, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
