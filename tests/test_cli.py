"""The command ``gcrl``: verbs, exit codes, one line for whatever is wrong, several practices from one command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gcrl
from envs.errors import UserError
from gcrl import cli, doctor
from gcrl.config import check_parts, load_settings
from gcrl.overrides import choices
from gcrl.several import plan
from gcrl.system import system

VERBS = ["practice", "compare", "resume", "evaluate", "report", "inspect", "collect", "goals", "check", "data", "list", "doctor"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Return (exit code, standard output, standard error) of one command in this process."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    out, err = capsys.readouterr()
    return int(str(ended.value.code or 0)), out, err


def shell(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-m", "gcrl", *arguments], capture_output=True, text=True, cwd=folder)


def test_help_names_every_verb_and_loads_nothing_heavy() -> None:
    done = shell("--help")
    assert done.returncode == 0
    assert all(f"\n    {verb} " in done.stdout for verb in VERBS)
    imported = subprocess.run([sys.executable, "-P", "-X", "importtime", "-m", "gcrl", "--help"], capture_output=True, text=True).stderr
    assert not any(f" {heavy}\n" in imported for heavy in ("torch", "pybullet", "mujoco", "hydra", "matplotlib"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    code, out, _ = run(capsys, verb, "--help")
    assert code == 0
    assert out.startswith(f"usage: gcrl {verb}")


@pytest.mark.parametrize(("verb", "page"), [("collect", "docs/datasets.md"), ("goals", "docs/goals.md")])
def test_help_points_to_the_page_that_explains_the_arguments(capsys: pytest.CaptureFixture[str], verb: str, page: str) -> None:
    _, out, _ = run(capsys, verb, "--help")
    assert page in out
    assert verb in Path(page).read_text()


MISTAKES = [
    (["prctice"], "did you mean 'practice'?"),
    (["practice", "--bogus"], "unknown argument '--bogus'; see gcrl practice --help"),
    (["practice", "experiment=dor"], "did you mean 'door'?"),
    (["practice", "goal_sampler.alhpa=-1"], "did you mean 'goal_sampler.alpha'?"),
    (["practice", "seeds=0"], "expected at least 1"),
    (["practice", "seeds=many"], "seeds: expected a whole number, got 'many'"),
    (["practice", "-m", "agent=sac,tdd3", "run_dir=unused"], "did you mean 'td3'?"),
    (["resume", "no_such_run"], "no_such_run is not a run folder"),
    (["evaluate"], "the following arguments are required: RUN"),
    (["evaluate", "no_such_run", "--json"], "no_such_run is not a run folder"),
    (["report", "no_such_run"], "no_such_run is not a run folder"),
    (["inspect", "no_such_run"], "no_such_run is not a run folder"),
    (["data", "info", "no_such_file.h5"], "no_such_file.h5"),
    (["data"], "ACTION"),
    (["list", "agents"], "did you mean 'agent'?"),
    (["list", "agent", "sca"], "did you mean 'sac'?"),
]


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_mistakes_are_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert expected in err


def test_a_mistake_in_a_shell_shows_no_traceback_and_makes_no_folder(tmp_path: Path) -> None:
    done = shell("practice", "agent.hiden=[3]", "run_dir=here", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().startswith("gcrl: unknown key 'agent.hiden'")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_run_inside_the_given_folder_is_suggested(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "seed_1").mkdir()
    (tmp_path / "seed_1" / "config.yaml").touch()
    assert f"did you mean {tmp_path / 'seed_1'}?" in run(capsys, "resume", str(tmp_path))[2]


def test_list_shows_every_choice_and_every_practice_field(capsys: pytest.CaptureFixture[str]) -> None:
    everything = run(capsys, "list")[1]
    assert all(name in everything for name in [*choices("experiment"), *choices("goal_sampler")])
    assert "practice.epochs" in run(capsys, "list", "practice")[1]
    assert "alpha: -1.0  #" in run(capsys, "list", "goal_sampler", "skewfit")[1]
    table = json.loads(run(capsys, "list", "--json")[1])
    assert all(summary for group in table.values() for summary in group.values())


def test_output_may_be_cut_short(tmp_path: Path) -> None:
    command = f"{sys.executable} -P -m gcrl list practice | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# several practices ---------------------------------------------------------------------------------------------------


def test_one_practice_stays_one() -> None:
    assert plan(["agent=td3", "seed=4"], multirun=False) == [["agent=td3", "seed=4"]]
    assert plan(["agent=td3", "seeds=1"], multirun=True) == [["agent=td3"]]


def test_seeds_count_up_from_the_seed_each_in_its_folder() -> None:
    assert plan(["experiment=push", "seed=3", "seeds=2", "run_dir=out"], multirun=False) == [
        ["experiment=push", "seed=3", "run_dir=out/seed_3"],
        ["experiment=push", "seed=4", "run_dir=out/seed_4"],
    ]


def test_a_sweep_over_seeds_and_choices_has_a_folder_each() -> None:
    plans = plan(["agent=sac,td3", "seed=1,2", "practice.epochs=3", "run_dir=out"], multirun=True)
    folders = [load_settings(overrides).run_dir for overrides in plans]
    assert folders == ["out/agent=sac/seed_1", "out/agent=sac/seed_2", "out/agent=td3/seed_1", "out/agent=td3/seed_2"]
    assert [load_settings(overrides).agent.target[-3:] for overrides in plans] == ["SAC", "SAC", "TD3", "TD3"]
    assert all(load_settings(overrides).practice.epochs == 3 for overrides in plans)


# doctor and system ---------------------------------------------------------------------------------------------------


def test_doctor_constructs_every_environment_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "doctor", "--json")
    report = json.loads(out)
    states = {finding["name"]: finding["state"] for finding in report["findings"]}
    assert set(choices("env")) | {"python", "torch", "disk", "cores", "OpenGL"} <= set(states)
    assert code == (0 if report["ok"] else 1)
    assert report["ok"] == ("bad" not in states.values())
    assert states["bitflip"] == states["door"] == "ok"


def test_doctor_says_what_to_do_about_what_is_bad() -> None:
    findings = [doctor.Finding("torch", "bad", "missing", "pip install torch"), doctor.Finding("python", "ok", "3.11")]
    assert "→ pip install torch" in doctor.as_text(findings)
    assert "1 of 2 need attention" in doctor.as_text(findings)
    assert not doctor.as_json(findings)["ok"]


def test_system_is_plain_json_with_versions_and_cores() -> None:
    facts = json.loads(json.dumps(system()))
    assert facts["packages"]["torch"]
    assert 1 <= facts["cores"] <= (os.cpu_count() or 1)


# the package ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["envs", "representations", "goal_samplers"])
def test_a_folder_of_ones_own_that_hides_ours_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    done = subprocess.run([sys.executable, "-c", "import gcrl"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert str(tmp_path / name) in last
    assert "rename it" in last


@pytest.mark.parametrize("content", [{}, {"conf/__init__.py": ""}, {"conf/config.yaml": "mine: 1"}])
def test_other_folders_of_ones_own_do_no_harm(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    code = "import gcrl; from gcrl.config import load_settings; print(load_settings().env_id)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "gcrl/Door-v0", done.stderr


def test_the_function_practice_stays_a_function_after_its_module_is_imported() -> None:
    import gcrl.practice

    assert callable(gcrl.practice)
    with pytest.raises(UserError, match="did you mean 'door'"):
        gcrl.practice(experiment="dor")


def test_importing_the_package_is_light() -> None:
    code = "import sys, gcrl; print([name for name in ('torch', 'pybullet', 'hydra', 'mujoco') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    assert gcrl.__all__ == ["load", "practice"]


# the guide -----------------------------------------------------------------------------------------------------------

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.partition("#")[0].split() for line in README.splitlines() if line.startswith("    gcrl ")]


@pytest.mark.parametrize("words", COMMANDS, ids=[" ".join(words) for words in COMMANDS])
def test_every_command_of_the_readme_is_one(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_samplers.py").write_text(README.split("```python\n")[1].split("```")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    parsed = cli._parser().parse_args(words[1:])
    if parsed.verb == "practice":
        for overrides in plan(parsed.overrides, parsed.multirun):
            check_parts(load_settings(overrides))
