"""`gcrl compare`: a race practises every arm alike, goes on where it broke off, refuses what cannot be compared, writes one page."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_cases import differences, outcome

from envs.button import ButtonEnv
from envs.corridor import CorridorEnv
from envs.coverage import grid_coverage
from envs.errors import UserError
from gcrl import cli
from gcrl.config import load_settings
from gcrl.data import Reader
from gcrl.practice import Practice
from gcrl.race import check, plan
from gcrl.report import race as race_page
from gcrl.report.race import Arm
from gcrl.report.runs import RunRecord
from gcrl.statistics import bootstrap_interval, interquartile_mean
from gcrl.visited import NAMES, coverage_so_far, measure_of, read_visits, visited

TINY = ["experiment=corridor", "practice.epochs=3", "practice.episodes_per_epoch=10", "practice.final_goals=4"]
TINY.append("practice.collector_process=false")
SWEPT = "goal_sampler=skewfit_model,uniform"


def arms(*overrides: str, more: tuple[str, ...] = ()) -> list[str]:
    return list(dict.fromkeys(run.arm for run in plan(overrides, more)))


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "gcrl", "compare", *words]


def race(folder: Path, *words: str) -> dict:
    """Run a race in a process and return what it printed."""
    done = subprocess.run(command(*TINY, *words, "run_dir=race", "--json"), capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))  # one seed has no interval
    return found | {"said": done.stderr}


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A race of the same idea twice, killed while the first arm practised and started once more."""
    folder = tmp_path_factory.mktemp("race")
    (folder / "mine.py").write_text(
        "class First:\n    def sample(self, context, n):\n        return context.experience.sample_rows(n, context.generator)\n"
    )
    words = ("goal_sampler=uniform,mine:First", "seeds=2")
    with subprocess.Popen(command(*TINY, *words, "run_dir=race"), cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        metrics = folder / "race/uniform/seed_1/metrics.jsonl"
        while not metrics.exists() or not metrics.read_text():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    subprocess.run(["pkill", "-9", "-s", str(process.pid)], check=False)
    assert not (folder / "race/uniform/seed_1/evaluation.json").exists()
    assert not (folder / "race/First").exists()
    return folder, race(folder, *words, "--jobs", "2")


def test_arms_are_named_by_what_was_swept_and_practised_seed_by_seed() -> None:
    runs = plan([SWEPT, "seeds=2", "run_dir=race"])
    assert [(run.arm, run.seed) for run in runs] == [("skewfit_model", 1), ("uniform", 1), ("skewfit_model", 2), ("uniform", 2)]
    assert str(runs[-1].folder) == "race/uniform/seed_2"
    assert arms("goal_sampler=uniform,my.mod:Mine") == ["uniform", "Mine"]
    assert arms("goal_sampler=uniform,prior", "goal_sampler=skewfit,mega") == ["skewfit", "mega"]
    assert arms("goal_sampler=mega", "goal_sampler.cutoff=null,-3") == ["goal_sampler.cutoff=null", "goal_sampler.cutoff=-3"]
    assert plan([], ("a: dataset='my data.h5'", "b: dataset=c.h5"))[0].overrides[0] == "dataset=my data.h5"
    assert arms("goal_sampler.alpha=0,-1") == ["goal_sampler.alpha=0", "goal_sampler.alpha=-1"]
    assert arms("agent=sac,td3", "goal_sampler=uniform,prior")[0] == "agent=sac goal_sampler=uniform"
    assert arms(SWEPT, more=("mega: goal_sampler=mega goal_sampler.cutoff=null", "agent=td3")) == [
        "skewfit_model",
        "uniform",
        "mega",
        "td3",
    ]


@pytest.mark.parametrize(
    ("overrides", "more", "said"),
    [
        (["goal_sampler=uniform"], (), "nothing to compare: expected at least two values"),
        (["goal_sampler=uniform"], ("goal_sampler=prior",), "nothing to compare"),
        (["goal_sampler=a:Mine,b:Mine"], (), "two arms are called 'Mine'; expected names of their own"),
        ([SWEPT], ("a/b: agent=td3", "a_b: agent=sac"), "cannot each have a folder"),
        ([SWEPT], ("..: agent=td3",), "cannot each have a folder"),
        ([SWEPT], ("mega: seed=3",), "without seed, seeds and run_dir"),
        ([SWEPT], ("",), "expected 'KEY=VALUE ...'"),
        ([SWEPT, "seeds=0"], (), "seeds=0: expected at least 1"),
        ([SWEPT, "seeds=many"], (), "seeds"),
    ],
)
def test_what_is_no_race_is_refused(overrides: list[str], more: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        plan(overrides, more)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["goal_sampler=uniform", "practice.go_explore=0,1.5"], "practice.go_explore=1.5; expected a share"),
        (["goal_sampler=uniform", "practice.final_goals=4,100"], "unequal budgets"),
        ([SWEPT, "practice.epochs=2,3"], "unequal budgets: goal_sampler=skewfit_model practice.epochs=3 has 3 epochs"),
        (["goal_sampler=uniform,mega"], "needs an agent with values, and Oracle has none"),
        (["goal_sampler=uniform,skewfitt"], "did you mean 'skewfit'"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused_before_anything_starts(tmp_path: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        check(plan(["experiment=corridor", *overrides, f"run_dir={tmp_path / 'race'}"]))
    assert not (tmp_path / "race").exists()


def test_a_race_says_the_figures_of_every_arm_and_the_differences_from_the_best(raced: tuple[Path, dict]) -> None:
    _, found = raced
    assert list(found["arms"]) == ["uniform", "First"]
    assert found["arms"]["uniform"]["coverage"] == found["arms"]["First"]["coverage"]  # the same idea on the same seeds
    best = max(found["arms"], key=lambda arm: found["arms"][arm]["entropy"]["iqm"])
    against = [one for one in found["differences"] if one["figure"] == "entropy"]
    assert {one["best"] for one in against} == {best}
    assert len(against) == 1
    for one in against:
        ours, its = (found["arms"][arm]["entropy"]["seeds"] for arm in (best, one["against"]))
        assert one["difference"] == pytest.approx(np.mean([ours[seed] - its[seed] for seed in ("1", "2")]))
        assert one["verdict"] == ("better" if one["interval"][0] > 0 else "tie")


def test_the_page_is_one_file_that_shows_what_each_proposed(raced: tuple[Path, dict]) -> None:
    folder, found = raced
    page = (folder / found["page"]).read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert [title for title in ("Who is ahead", "What was visited", "What each proposed", "Every run") if title not in page] == []
    assert all(f"<h3>{arm}</h3>" in page for arm in found["arms"])
    assert page.count('aria-label="epoch 1"') == 2 + 4  # each arm's grid, and each run's own
    assert "With 2 seeds this is exploratory" in page
    assert "gcrl compare experiment=corridor" in page
    assert "Every run had 30 environment steps and 0 updates" in page


def test_a_second_start_practises_only_what_is_new(raced: tuple[Path, dict]) -> None:
    folder, _ = raced
    before = {path: path.stat().st_mtime_ns for path in folder.glob("race/*/seed_1/metrics.jsonl")}
    again = race(folder, "goal_sampler=uniform,mine:First", "--arm", "far: goal_sampler=mega goal_sampler.cutoff=null")
    assert "2 of 3 practices have ended already" in again["said"]
    assert list(again["arms"]) == ["uniform", "First", "far"]
    assert set(again["arms"]["far"]["coverage"]["seeds"]) == {"1"}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    done = subprocess.run(
        command(*TINY, "goal_sampler=uniform,mine:First", "practice.epochs=4", "run_dir=race"), capture_output=True, text=True, cwd=folder
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "already holds a run with practice.epochs=3 (now 4)" in done.stderr


def test_a_race_that_was_killed_goes_on_to_the_same_end(raced: tuple[Path, dict]) -> None:
    folder, _ = raced
    killed, whole = (outcome(folder / f"race/{arm}/seed_1") for arm in ("uniform", "First"))
    assert differences(killed, whole) == []


def test_a_practice_that_fails_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong.py").write_text("class Wrong:\n    def sample(self, context, n):\n        raise ValueError('no idea')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", *TINY, "goal_sampler=wrong:Wrong,uniform", "run_dir=race", "--jobs", "2"])
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "Wrong, seed 1: failed; see race/Wrong/seed_1.log" in said
    assert "no idea" in (tmp_path / "race/Wrong/seed_1.log").read_text()
    assert "uniform, seed 1: done" in said
    assert (tmp_path / "race/uniform/seed_1/report.html").exists()


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12))
def test_an_interquartile_mean_is_the_mean_of_the_middle(values: list[float]) -> None:
    cut = len(values) // 4
    middle = sorted(values)[cut : len(values) - cut]
    assert interquartile_mean(values) == pytest.approx(np.mean(middle), abs=1e-9)
    mean, low, high = bootstrap_interval(values)
    assert mean == interquartile_mean(values)
    if len(values) > 1:
        assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    else:
        assert np.isnan([low, high]).all()


def test_what_was_visited_leaves_out_where_resets_put_the_robot(raced: tuple[Path, dict]) -> None:
    folder, _ = raced
    run = folder / "race/uniform/seed_1"
    visits = read_visits(run / "practice.h5")
    measure, _ = measure_of(CorridorEnv(), [visits])
    with Reader(run / "practice.h5") as reader:
        assert len(visited(reader)) == int(reader.lengths.sum()) == 30
        assert len(visited(reader, 1)) == 20
        everything = measure(visited(reader))
    steps, along = coverage_so_far(visits, measure)
    assert steps.tolist() == [10, 20, 30]
    assert along[-1] == everything
    assert all(late["coverage"] >= early["coverage"] for early, late in itertools.pairwise(along))


def test_arms_are_compared_over_the_seeds_that_all_have_and_curves_at_the_same_steps(tmp_path: Path) -> None:
    def arm(label: str, values: dict[int, float], lengths: tuple[int, ...]) -> Arm:
        runs = [RunRecord(tmp_path, {"seed": seed}, metrics=[{"env_steps": 10, "updates": 3}]) for seed in values]
        along = [(np.arange(1, n + 1) * 4000 // n, [{"coverage": k / n, "entropy": k / n} for k in range(1, n + 1)]) for n in lengths]
        return Arm(label, runs, along, {"success_rate": values})

    racing = [arm("a", {1: 0.1, 2: 0.1, 3: 0.9, 4: 0.9}, (16, 8)), arm("b", {1: 0.5, 2: 0.5}, (4,))]
    (found,) = race_page._differences(racing, "success_rate")
    assert (found["best"], found["against"], found["verdict"]) == ("b", "a", "better")
    drawn: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(race_page.fig, "curves", lambda lines, *rest: drawn.append(lines) or "")
        race_page._curves(racing, "a grid")
    line = drawn[0][0]
    assert line.mean[3:] == pytest.approx(line.x[3:] / 4000, abs=0.07)
    assert line.mean[-1] == 1
    assert race_page._equal(racing)
    racing[1].runs[0].metrics[0]["env_steps"] = 5
    assert not race_page._equal(racing)


def test_coverage_of_other_names_is_not_asked_for_and_runs_without_episodes_are_left_out(tmp_path: Path) -> None:
    words = ["experiment=push_state", "env=button", "representation.scale=null", "goal_sampler=uniform", "practice.random_epochs=1"]
    words += ["practice.episodes_per_epoch=2", "practice.updates_per_epoch=1", "env.horizon=10", "practice.simulators=1"]
    practice = Practice(load_settings([*words, "practice.collector_process=false", f"run_dir={tmp_path / 'button'}"]))
    while practice.epoch < 1:
        practice.step()
    practice.close()
    visits = read_visits(tmp_path / "button/practice.h5")
    env = ButtonEnv()
    measure, _ = measure_of(env, [visits])
    assert not set(NAMES) & env.coverage(visits.goals).keys()
    assert set(measure(visits.goals)) >= {"coverage", "entropy"}
    env.close()
    empty = tmp_path / "empty"
    Practice(load_settings([*TINY, "env=reach", "env.image_size=0", f"run_dir={empty}", "goal_sampler=uniform", "agent=sac"])).close()
    nothing = read_visits(empty / "practice.h5")
    assert coverage_so_far(nothing, lambda goals: {})[1] == []
    with pytest.raises(UserError, match="nothing was visited yet"):
        measure_of(CorridorEnv(), [nothing])


def test_an_environment_that_does_not_say_is_measured_on_one_grid_for_all(
    raced: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = raced
    several = [read_visits(folder / f"race/{arm}/seed_1/practice.h5") for arm in ("uniform", "First")]
    monkeypatch.delattr(CorridorEnv, "coverage")
    measure, words = measure_of(CorridorEnv(), several)
    both = np.concatenate([one.goals for one in several])
    assert measure(both) == grid_coverage(both, both.min(axis=0), both.max(axis=0), [30, 30])
    assert words.startswith("30 cells along each of")
