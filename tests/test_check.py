"""`gcrl check`: all of our environments keep the contract, by our own kit and by those of others, and one that does not is told apart."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check

import envs
from envs.bitflip import BitFlipEnv
from envs.conformance import CHECKS
from envs.manipulation import ManipulationEnv
from envs.registry import OWN, _load
from gcrl import cli


class Liar(BitFlipEnv):
    """Breaks three promises: the reward of many, the state, and the end by the clock."""

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        return super().compute_reward(achieved_goal, desired_goal, info) + (np.ndim(achieved_goal) > 1)

    def compute_truncated(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        return np.ones(np.shape(achieved_goal)[:-1], np.bool_)

    def set_state(self, state: bytes) -> None:
        pass


class Forgetful(BitFlipEnv):
    """Draws its start from a generator that no seed sets."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        return super().reset(seed=None, options=options)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", *arguments])
    said = capsys.readouterr()
    return int(str(ended.value.code)), said.out, said.err


@pytest.mark.parametrize("env_id", sorted(OWN))
def test_every_environment_of_ours_passes(capsys: pytest.CaptureFixture[str], env_id: str) -> None:
    pictures = ["image_size=24"] if issubclass(_load(env_id, OWN[env_id]), ManipulationEnv) else []
    code, out, _ = run(capsys, OWN[env_id], *pictures)
    lines = out.splitlines()
    assert code == 0, out
    assert len(lines) == len(CHECKS) + 1
    assert not any(line.startswith("FAILED") for line in lines)
    assert not pictures or lines[-1] == f"{OWN[env_id]}: {len(CHECKS)} ok, 0 failed"


def test_an_environment_is_named_by_its_id_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "gcrl/Corridor-v0", "--json")[0] == 0


def test_an_environment_that_breaks_its_promises_is_told_which(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "test_check:Liar", "env.n=12", "--json")
    report = json.loads(out)
    states = {row["name"]: row["state"] for row in report["checks"]}
    assert (code, report["ok"]) == (1, False)
    assert {name for name, state in states.items() if state == "failed"} == {"formulas", "clock", "state"}
    assert states["images"] == "not claimed"
    code, out, _ = run(capsys, "test_check:Liar")
    assert code == 1
    assert "        compute_reward differs from the reward of step()" in out
    assert run(capsys, "test_check:Forgetful", "n=12")[1].splitlines()[1].startswith("FAILED  seeding")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["gcrl/Dor-v0"], "did you mean 'gcrl/Door-v0'?"),
        (["test_check:Lair"], "did you mean 'Liar'?"),
        (["no_such_module:Env"], "cannot import no_such_module"),
        (["envs.errors:UserError"], "has no reset, step"),
        (["gcrl/BitFlip-v0", "m=3"], "unknown argument of gcrl/BitFlip-v0 'm'"),
        (["gcrl/BitFlip-v0", "three"], "cannot read 'three'; expected KEY=VALUE"),
        ([], "required: MODULE:CLASS"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err


def test_a_class_in_the_current_folder_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here_only.py").write_text("from envs.bitflip import BitFlipEnv\nclass Mine(BitFlipEnv):\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path not in ("", str(tmp_path))])
    assert run(capsys, "here_only:Mine")[0] == 0


@pytest.mark.parametrize("env_id", sorted(OWN))
def test_gymnasiums_own_checker_finds_nothing_wrong(env_id: str) -> None:
    env: Any = envs.make(env_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on spaces without bounds
        if env.horizon > 1:
            gymnasium_check(env, skip_render_check=True, skip_close_check=True)
        else:  # the corridor's episodes are one step long, which that checker takes for a mistake
            with pytest.raises(AssertionError, match="truncates after 1 step"):
                gymnasium_check(env, skip_render_check=True, skip_close_check=True)
    env.close()


@pytest.mark.parametrize("env_id", sorted(OWN))
def test_stable_baselines3_finds_nothing_wrong(env_id: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env: Any = envs.make(env_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checker.check_env(env)
    env.close()
