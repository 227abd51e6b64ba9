"""`gcrl check` of goal samplers: ours keep the contract, wrong ones are each told their own fault; `gcrl new` writes one that keeps it."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs.errors import UserError
from gcrl import cli
from gcrl.new import new
from gcrl.overrides import choices
from goal_samplers.api import Goals
from goal_samplers.commanded import Commanded
from goal_samplers.conformance import CHECKS, check_sampler, run_checks
from goal_samplers.densities.kde import KDE
from goal_samplers.skewfit import SkewFit
from goal_samplers.uniform import Uniform


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", *arguments])
    said = capsys.readouterr()
    return int(str(ended.value.code)), said.out, said.err


@pytest.mark.parametrize("choice", choices("goal_sampler"))
def test_every_sampler_of_ours_keeps_the_contract(capsys: pytest.CaptureFixture[str], choice: str) -> None:
    code, out, _ = run(capsys, f"goal_sampler={choice}", *(["files=[a.h5,b.h5]"] if choice in ("sets", "stages") else []))
    assert code == 0, out
    assert len(out.splitlines()) == len(CHECKS) + 1


class Short(Uniform):
    def sample(self, context: Any, n: int) -> Any:
        return super().sample(context, n)[: max(1, n // 2)]


class Beyond(Uniform):
    def sample(self, context: Any, n: int) -> Any:
        return super().sample(context, n) + context.experience.size


class NotNumbers(Commanded):
    def sample(self, context: Any, n: int) -> Any:
        goals = super().sample(context, n)
        goals.params[0] = np.nan
        return goals


class Outside(Commanded):
    def sample(self, context: Any, n: int) -> Any:
        goals = super().sample(context, n)
        return Goals(goals.params, goals.rows, goals.images, goals.achieved * 10)


class Divides(Uniform):
    """Cannot do with frames that are all alike, and crashes."""

    def sample(self, context: Any, n: int) -> Any:
        rows = super().sample(context, n)
        spread = np.ptp(context.experience.read("latent", np.arange(context.experience.size)), axis=0).max()
        return rows if spread > 0 else [1 // int(spread)]


class Unasked:
    def sample(self, context: Any, n: int) -> Any:
        return context.experience.sample_rows(n, context.generator)


class Silent(Commanded):
    needs_commanded = False


class Crashes(Uniform):
    """Asks for values without a look at whether there are any."""

    def sample(self, context: Any, n: int) -> Any:
        rows = super().sample(context, n)
        context.value(rows, context.experience.read("latent", rows))
        return rows


class OwnDice(Uniform):
    def __init__(self) -> None:
        self.dice = np.random.default_rng()

    def sample(self, context: Any, n: int) -> Any:
        super().sample(context, n)
        return context.experience.sample_rows(n, self.dice)


class Draws(Uniform):
    library = "numpy"

    def sample(self, context: Any, n: int) -> Any:
        {"numpy": np.random.random, "torch": lambda: torch.rand(1), "random": random.random}[self.library]()
        return super().sample(context, n)


class DrawsTorch(Draws):
    library = "torch"


class DrawsPython(Draws):
    library = "random"


class Writes(Uniform):
    def sample(self, context: Any, n: int) -> Any:
        rows = super().sample(context, n)
        latents = context.experience.read("latent", rows)
        latents -= latents.mean(axis=0)
        return rows


class Mumbles(Uniform):
    def fit(self, context: Any, draw: Any) -> Any:
        return {"loss": float("inf")}


class Returns(Uniform):
    def fit(self, context: Any, draw: Any) -> Any:
        return 3


class OneWeight(Uniform):
    def log_weights(self, experience: Any, rows: Any, generator: Any) -> Any:
        return np.zeros((len(rows), 1))[:, 0] if len(rows) > 50 else np.zeros(1)


class NoWeights(Uniform):
    def log_weights(self, experience: Any, rows: Any, generator: Any) -> Any:
        return np.full(len(rows), np.nan if len(rows) <= 50 else 0.0)


class Forgets(SkewFit):
    """Learns, and keeps what it learnt to itself."""

    def __init__(self) -> None:
        super().__init__(KDE())

    def state_dict(self) -> dict[str, Any]:
        return {"fitted": 0, "density": {}, "imagined": {}}


class Pickles(Uniform):
    def state_dict(self) -> dict[str, Any]:
        return {"model": object()}


class NoSample:
    def fit(self, context: Any, draw: Any) -> Any:
        return {}


@pytest.mark.parametrize(
    ("make", "check", "words"),
    [
        (NoSample, "contract", "NoSample lacks sample"),
        (Short, "goals", r"sample\(7\) returned int64 of shape \(3,\); expected 7 integer rows"),
        (Beyond, "goals", "of 600 stored ones"),
        (NotNumbers, "goals", "1 of 7 goals are not finite"),
        (Outside, "goals", "outside the goal space"),
        (Divides, "experience", "of identical frames: ZeroDivisionError"),
        (Unasked, "empty", "without experience: ValueError"),
        (Silent, "needs", "cannot do without context.commanded; expected the attribute needs_commanded = True"),
        (Crashes, "needs", "without context.value: TypeError"),
        (OwnDice, "randomness", "the same context.generator gave other goals"),
        (Draws, "randomness", "the global generator of numpy.random"),
        (DrawsTorch, "randomness", "the global generator of torch"),
        (DrawsPython, "randomness", "the global generator of random"),
        (Writes, "reading", "it changed 'latent' of the experience"),
        (Mumbles, "fitting", "'loss': inf"),
        (Returns, "fitting", "fit returned int"),
        (OneWeight, "weights", r"have shape \(1,\)"),
        (NoWeights, "weights", "are not numbers"),
        (Forgets, "state", "restored from state_dict proposes other goals"),
        (Pickles, "state", r"state_dict holds model \(object\)"),
    ],
)
def test_a_wrong_sampler_is_told_its_own_fault(make: Any, check: str, words: str) -> None:
    problems = check_sampler(make)
    assert any(problem.startswith(check) for problem in problems)
    assert any(re.search(words, problem) for problem in problems), problems
    failed = {outcome.name for outcome in run_checks(make) if outcome.problems}
    allowed = {check, "state"} if make is OwnDice else {check, "randomness", "weights"} if make is Forgets else {check}
    assert failed <= allowed


def test_a_sampler_that_fails_is_named_with_exit_code_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "test_sampler_check:Writes")
    assert code == 1
    assert "FAILED  reading" in out
    assert out.splitlines()[-1].startswith("test_sampler_check:Writes: ")
    code, out, _ = run(capsys, "test_sampler_check:Writes", "--json")
    assert (code, json.loads(out)["goal_sampler"], json.loads(out)["ok"]) == (1, "test_sampler_check:Writes", False)
    code, out, _ = run(capsys, "goal_sampler=mega", "choices=3", "goal_sampler.candidates=16")
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["goal_sampler=megga"], "did you mean 'mega'"),
        (["goal_sampler=mega", "choises=3"], "did you mean 'goal_sampler.choices'"),
        (["goal_samplers.mega:MEGA"], "needs 'goal_sampler.density'"),
        (["test_sampler_check:Wrtes"], "did you mean 'Writes'"),
    ],
)
def test_a_name_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    code, out, error = run(capsys, *arguments)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert words in error


# ---- gcrl new --------------------------------------------------------------------------------------------------------------------


def test_what_is_written_keeps_the_contract_passes_its_test_and_practises(tmp_path: Path) -> None:
    said = new("sampler", "far_out", tmp_path)
    assert "gcrl check far_out:FarOut" in said
    assert len((tmp_path / "far_out.py").read_text().splitlines()) < 30

    def python(*words: str) -> str:
        done = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "2 passed" in python("pytest", "-p", "no:cacheprovider", "test_far_out.py")
    assert "0 failed" in python("gcrl", "check", "far_out:FarOut")
    tiny = ["practice.epochs=2", "practice.random_epochs=1", "practice.episodes_per_epoch=2", "practice.updates_per_epoch=1"]
    tiny += ["practice.final_goals=2", "practice.film_goals=0", "practice.eval_every=0", "goal_sampler.candidates=50"]
    python("gcrl", "practice", "experiment=corridor", "goal_sampler=far_out:FarOut", *tiny, f"run_dir={tmp_path / 'run'}")
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("smapler", "mine", "did you mean 'sampler'"),
        ("sampler", "My-Sampler.py", "as in my_sampler"),
        ("sampler", "class", "is no module's name"),
        ("sampler", "none", "would name a class 'None'"),
        ("sampler", "_", "would name a class ''"),
        ("env", "goal_set", "would name a class 'GoalSet'"),
        ("sampler", "there", "there.py is there already"),
        ("sampler", "half", "test_half.py is there already"),
    ],
)
def test_nothing_is_written_where_it_would_not_do(kind: str, name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "there.py").write_text("mine")
    (tmp_path / "test_half.py").write_text("mine")
    with pytest.raises(UserError, match=words):
        new(kind, name, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test_half.py", "there.py"]
    assert (tmp_path / "there.py").read_text() == "mine"
