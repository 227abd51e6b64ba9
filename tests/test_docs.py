"""What the README and the guides show runs as they show it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from data_cases import dataset

import gcrl
from gcrl import cli
from gcrl.arguments import parse
from gcrl.collect import Arguments as CollectArguments
from gcrl.data.exchange import export
from gcrl.goals.make import Arguments as GoalArguments
from gcrl.goals.make import make_goals
from gcrl.overrides import choices
from goal_samplers.conformance import check_sampler
from goal_samplers.planners.conformance import run_checks as planner_checks
from representations.made_up import made_up_frames

ROOT = Path(__file__).resolve().parent.parent
TINY = {"epochs": 3, "random_epochs": 1, "episodes_per_epoch": 8, "updates_per_epoch": 2, "final_goals": 8, "collector_process": False}


def blocks(name: str) -> list[str]:
    """Return the python blocks of a document, in order."""
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


def run(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run a block as an imported module would run, so that what stands under a main guard does not."""
    exec(compile(code, "block", "exec"), names)
    return names


@pytest.fixture(scope="module")
def practised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Practise with the README's own sampler, saved where a user would save it."""
    folder = tmp_path_factory.mktemp("user")
    sampler = blocks("README.md")[0]
    (folder / "my_samplers.py").write_text(sampler, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        return gcrl.practice(
            experiment="door_state",
            run_dir=str(folder / "run"),
            practice=TINY,
            env={"horizon": 5},
            goal_sampler="my_samplers:Outermost",
        )


def test_the_readmes_sampler_practises_and_is_named_in_the_report(practised: Path) -> None:
    assert "my_samplers:Outermost" in (practised / "config.yaml").read_text()
    assert "Outermost" in (practised / "report.html").read_text()


def test_the_readmes_sampler_keeps_the_contract(practised: Path) -> None:
    import my_samplers

    assert check_sampler(my_samplers.Outermost) == []


def test_the_sampler_guides_class_keeps_the_contract_and_its_table_is_complete() -> None:
    names = run(blocks("docs/goal_samplers.md")[0], {"__name__": "block"})
    checks = check_sampler(type("Shown", (), {"sample": names["sample"]}))
    assert [line for line in checks if not line.startswith("empty")] == []
    text = (ROOT / "docs/goal_samplers.md").read_text(encoding="utf-8")
    assert [choice for choice in choices("goal_sampler") if f"| `{choice}` |" not in text] == []


def test_the_representation_guides_fit_runs_and_its_table_is_complete() -> None:
    names = run(blocks("docs/representations.md")[0], {"__name__": "block"})
    frames, rng = made_up_frames(), np.random.default_rng(0)
    assert names["fit"](None, frames, lambda n: frames.sample_rows(n, rng), rng, first=True) == {"frames": 1000.0, "steps": 2000.0}
    text = (ROOT / "docs/representations.md").read_text(encoding="utf-8")
    assert [choice for choice in choices("representation") if f"| `{choice}` |" not in text] == []


def test_the_planner_guides_class_keeps_the_contract_and_its_table_is_complete() -> None:
    names = run(blocks("docs/planners.md")[0], {"__name__": "block"})
    assert [problem for check in planner_checks(names["Halfway"]) for problem in check.problems] == []
    text = (ROOT / "docs/planners.md").read_text(encoding="utf-8")
    assert [choice for choice in choices("planner") if f"| `{choice}` |" not in text] == []


def test_the_sampler_guide_goes_from_an_empty_folder_to_a_race(tmp_path: Path) -> None:
    text = (ROOT / "docs/goal_samplers.md").read_text(encoding="utf-8")
    lines = [line[4:] for line in text[text.index("## One of your own") :].splitlines() if line.startswith("    ")]
    lines = [line for line in lines if line.startswith(("gcrl", "python")) and "goal_sampler=mega" not in line]
    assert [line.split()[1] for line in lines] == ["new", "check", "-m", "practice", "compare"]
    few = ["practice.epochs=2", "practice.episodes_per_epoch=10", "practice.final_goals=2", "practice.collector_process=false"]
    more = {"practice": [*few, "run_dir=mine"], "compare": [*few, "seeds=1", "goal_sampler=uniform,far_out:FarOut"]}
    for line in lines:
        words = [sys.executable, *line.split()[1:]] if line.startswith("python") else [sys.executable, "-m", *line.split()]
        words += more.get(line.split()[1], [])
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    assert "FarOut" in (tmp_path / "race/compare.html").read_text()


def test_the_readmes_python_is_valid() -> None:
    for block in blocks("README.md"):
        run(block, {"__name__": "block"})


def test_the_environment_guide_runs() -> None:
    names: dict[str, Any] = {"__name__": "block"}
    for block in blocks("docs/environments.md"):
        run(block, names)
    assert names["env"].horizon


def test_the_robot_guides_class_is_made_without_touching_the_robot() -> None:
    names: dict[str, Any] = {"__name__": "block"}
    for block in blocks("docs/real_robot.md"):
        run(block, names)
    assert names["TableRobot"](image_size=8).capabilities.copies is False


def test_the_dataset_guide_reads_what_practice_wrote(practised: Path, tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "block"}
    for block in blocks("docs/datasets.md"):
        run(block, names)
    frames, actions = names["first_episode"](practised / "practice.h5")
    assert len(frames) == len(actions) + 1 == 6
    assert names["random_batch"](practised / "practice.h5", 7, np.random.default_rng(0)).shape == (7, 4)
    with names["Reader"](practised / "practice.h5") as reader:
        episodes, header = reader.episodes([0, 1]), reader.header
    batch = next(iter(names["loader"](practised / "practice.h5", 8, workers=0)))
    assert batch["next_achieved_goal"].shape == batch["desired_goal"].shape == (8, 4)
    names["save"](tmp_path / "copy.h5", header.observation_space, header.action_space, episodes)
    with names["Reader"](tmp_path / "copy.h5") as copy:
        assert np.array_equal(copy.episodes([0, 1]).actions, episodes.actions)


def test_the_goal_guide_reads_what_its_own_command_makes(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "block"}
    for block in blocks("docs/goals.md"):
        run(block, names)
    assert names["make"](tmp_path / "goals.h5") == {"train": 2, "valid": 1, "test": 1}
    pictures, achieved = names["goals_of"](tmp_path / "goals.h5")
    assert (pictures.shape, achieved.shape) == ((2, 24, 24, 3), (2, 4))
    assert names["test_goals"](tmp_path / "goals.h5")[2] == "puck_distance_m < 0.04"


def test_the_goal_guide_names_every_dataset_and_attribute_of_the_format(tmp_path: Path) -> None:
    text = (ROOT / "docs/goals.md").read_text(encoding="utf-8")
    make_goals(["env=push", "n=1", "env.image_size=16", "cameras=[top]", f"out={tmp_path / 'goals.h5'}"])
    with h5py.File(tmp_path / "goals.h5") as file:
        found = [name.rpartition("/")[2] for name in (*file["goals"], *file["starts"], *file["mask"])]
        assert [name for name in [*found, *file.attrs] if f"`{name}`" not in text and f"/{name}" not in text] == []


COMMANDS = [
    shlex.split(line.partition("  ")[0])
    for name in ("goals", "datasets", "environments", "real_robot", "goal_samplers", "representations")
    for line in (text[4:] for text in (ROOT / f"docs/{name}.md").read_text(encoding="utf-8").splitlines() if text.startswith("    gcrl "))
]


@pytest.mark.parametrize("words", COMMANDS, ids=[" ".join(words) for words in COMMANDS])
def test_every_command_of_the_guides_is_one(words: list[str]) -> None:
    parsed = cli._parser().parse_args(words[1:])
    if parsed.verb in ("goals", "collect"):
        given, environment = parse(GoalArguments if parsed.verb == "goals" else CollectArguments, parsed.overrides, parsed.verb)
        assert given.out.endswith(".h5")
        assert environment is not None or given.dataset


def test_the_guides_name_every_argument() -> None:
    for name, cls in (("datasets", CollectArguments), ("goals", GoalArguments)):
        text = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
        assert [field for field in cls.__dataclass_fields__ if f"`{field}=" not in text and f" {field}=" not in text] == []


def test_the_dataset_guides_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (commands,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/datasets.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    for name in ("data.h5", "day1.h5", "day2.h5"):
        dataset(tmp_path / name, [3] * 20)
    (tmp_path / "pointmaze").mkdir()
    export("day1.h5", "pointmaze/umaze-v2", "minari")
    lines = [shlex.split(line, comments=True)[1:] for line in commands.strip().split("\n")]
    assert {line[1] for line in lines} == {"info", "check", "play", "merge", "split", "export", "import"}
    for line in lines:
        with pytest.raises(SystemExit) as ended:
            cli.main(line)
        assert not ended.value.code, line
    assert {"sheet.png", "both.h5", "data.hdf5", "maze.h5"} <= {path.name for path in tmp_path.iterdir()}
