"""Configuration: what is typed becomes checked settings, or one line that says what is wrong."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs.errors import UserError
from gcrl.agents.api import Agent
from gcrl.build import build, check, import_class
from gcrl.config import as_overrides, check_parts, load_settings, read_settings, write_settings
from gcrl.overrides import CONF, OWNERS, choices, groups, sweep
from gcrl.practice import Practice
from gcrl.settings import Choice
from gcrl.typed import typed
from goal_samplers.api import Density, GoalSampler
from representations.api import Representation


def message(*overrides: str) -> str:
    """Return the error that the overrides give, checked to be one line."""
    with pytest.raises(UserError) as caught:
        check_parts(load_settings(overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# presets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_preset_names_parts_that_exist_and_take_its_arguments(experiment: str) -> None:
    loaded = load_settings([f"experiment={experiment}"])
    check_parts(loaded)
    assert loaded.experiment == experiment
    assert sum(share for name, share in loaded.relabel.items() if name != "discount") == pytest.approx(1.0)
    assert loaded.env_id in envs.available() or loaded.env_id in ("FetchReach-v4", "FetchPush-v4", "PointMaze_UMaze-v3")


def test_the_presets_that_the_guide_promises_are_there() -> None:
    assert {"bitflip", "fetch_reach", "corridor", "door", "door_long", "door_explore", "push"} <= set(choices("experiment"))


def test_a_bare_practice_is_the_door_from_images() -> None:
    bare, door = load_settings(["run_dir=x"]), load_settings(["experiment=door", "run_dir=x"])
    assert bare == door
    assert (bare.env_id, bare.env_arguments["image_size"], bare.seed) == ("gcrl/Door-v0", 48, 1)


@pytest.mark.parametrize("group", ["representation", "goal_sampler", "goal_space", "planner", "density", "cost", "agent", "reward"])
def test_every_choice_shows_every_argument_of_its_class(group: str) -> None:
    protocols: dict[str, Any] = {"representation": Representation, "goal_sampler": GoalSampler, "density": Density, "agent": Agent}
    provided = ("observation_space", "input_dim", "goal_dim", "action_space", "seed", "device")
    injected = {"reward": ("env", "env_id", "representation", "goal_space"), "goal_space": ("latent_dim",), "planner": ("goal_space",)}
    provided += injected.get(group, ())
    for choice in choices(group):
        if group in OWNERS:
            owner, having = OWNERS[group]
            part = getattr(load_settings([f"{owner}={having}", f"{owner}.{group}={choice}", "run_dir=x"]), owner).arguments[group]
        else:
            part = getattr(load_settings([f"{group}={choice}", "run_dir=x"]), group)
        part = part if isinstance(part, Choice) else Choice(part["target"], {k: v for k, v in part.items() if k != "target"})
        cls, arguments = check(part, protocols.get(group, object), group, provided)
        own = set() if cls.__init__ is object.__init__ else set(inspect.signature(cls).parameters) - set(provided)
        hidden = {"batch_size"} if choice == "oracle" else set()
        assert own - hidden == set(arguments), f"conf/{group}/{choice}.yaml"


def test_every_field_of_every_file_has_a_comment() -> None:
    for path in CONF.rglob("*.yaml"):
        if path.parent.name in ("experiment",) or path.stem == "custom":
            continue
        bare = [line for line in path.read_text().splitlines() if line and line[0].isalpha() and "#" not in line and line != "defaults:"]
        assert not bare, f"{path.relative_to(CONF)}: {bare}"


# overrides -----------------------------------------------------------------------------------------------------------


def test_any_field_is_overridable_and_typed() -> None:
    top = ["practice.epochs=3", "practice.inputs=[latent]", "seed=7", "max_minutes=2", "profile=true", "env.image_size=32"]
    parts = ["goal_sampler.alpha=-1", "goal_sampler.density.bandwidth=0.1", "agent.hidden=[64,64]", "agent.lr=3e-4"]
    loaded = load_settings([*top, *parts])
    assert loaded.goal_sampler.arguments["alpha"] == -1
    assert loaded.goal_sampler.arguments["density"]["bandwidth"] == 0.1
    assert (loaded.practice.epochs, loaded.practice.inputs, loaded.seed, loaded.profile) == (3, ("latent",), 7, True)
    assert loaded.env_arguments["image_size"] == 32
    assert loaded.max_minutes == 2.0
    assert isinstance(loaded.max_minutes, float)
    assert loaded.agent.arguments["hidden"] == [64, 64]
    assert loaded.agent.arguments["lr"] == 3e-4


def test_another_part_of_a_part_takes_back_what_the_preset_set_in_its_own() -> None:
    preset, other = (load_settings(["experiment=corridor", *given]) for given in ([], ["goal_sampler.density=flow"]))
    assert preset.goal_sampler.arguments["density"]["decoder_sigma"] == 0.5
    assert other.goal_sampler.arguments["density"] == load_settings(["goal_sampler.density=flow"]).goal_sampler.arguments["density"]
    assert {**other.goal_sampler.arguments, "density": 0} == {**preset.goal_sampler.arguments, "density": 0}


def test_what_is_typed_wins_over_the_preset() -> None:
    loaded = load_settings(["experiment=push", "agent=td3", "practice.epochs=1"])
    assert loaded.agent.target == "gcrl.agents.td3:TD3"
    assert loaded.practice.epochs == 1


def test_a_presets_arguments_do_not_reach_another_class() -> None:
    assert load_settings(["experiment=fetch_reach"]).agent.arguments["reward_range"] == [-1.0, 0.0]
    other = load_settings(["experiment=fetch_reach", "agent=sac"]).agent
    assert other.target.endswith(":SAC")
    assert other.arguments["reward_range"] is None  # the preset's range describes its own agent
    assert load_settings(["experiment=door_state", "representation=pca", "env.image_size=48"]).representation.target.endswith(":PCA")


@pytest.mark.parametrize("folder", ["/tmp/a b", "runs/x=1,2", "it's", "a[b]{c}", "~/runs", "$HOME", "ünï", "x:y", '"q"', "a#b", "a\\b"])
def test_run_folders_are_taken_as_typed(folder: str) -> None:
    assert load_settings([f"run_dir={folder}"]).run_dir == folder


def test_a_density_is_chosen_by_name_or_class() -> None:
    loaded = load_settings(["goal_sampler.density=vae_state", "goal_sampler.density.steps=5"])
    assert loaded.goal_sampler.arguments["density"]["target"].endswith(":StateVAE")
    assert loaded.goal_sampler.arguments["density"]["steps"] == 5
    assert "bandwidth" not in loaded.goal_sampler.arguments["density"]
    assert "no density" in message("goal_sampler=uniform", "goal_sampler.density=kde")


ERRORS = [
    (["goal_sampler=skewfitt"], "unknown goal_sampler 'skewfitt' (did you mean 'skewfit'?)"),
    (["experiment=dor"], "did you mean 'door'?"),
    (["sed=1"], "did you mean 'seed'?"),
    (["epochs=3"], "did you mean 'practice.epochs'?"),
    (["practice.epocs=3"], "unknown key 'practice.epocs' (did you mean 'practice.epochs'?)"),
    (["agent.hiden=[3]"], "unknown key 'agent.hiden' for gcrl.agents.sac:SAC (did you mean 'agent.hidden'?)"),
    (["goal_sampler.density.bandwith=1"], "did you mean 'goal_sampler.density.bandwidth'?"),
    (["density=kde"], "did you mean 'goal_sampler.density'?"),
    (["practice.epochs=abc"], "practice.epochs: expected a whole number, got 'abc'"),
    (["practice.epochs=1.5"], "practice.epochs: expected a whole number, got 1.5"),
    (["practice.collector_process=3"], "practice.collector_process: expected true or false, got 3"),
    (["seed=null"], "seed: expected a whole number, got None"),
    (["agent.lr=fast"], "agent.lr: expected a number, got 'fast'"),
    (["agent.hidden=3"], "agent.hidden: expected a list (each a whole number), got 3"),
    (["agent.hidden=[3"], "cannot read 'agent.hidden=[3'"),
    (["practice=3"], "practice: expected fields, got 3"),
    (["env=[door,push]"], "names several choices; give one"),
    (["goal_sampler=skewfit,uniform"], "-m goal_sampler=skewfit,uniform"),
    (["seed=1,2"], "add -m"),
    (["seeds=3"], "several practices"),
    (["foo"], "expected KEY=VALUE"),
    (["~agent"], "expected KEY=VALUE"),
    (["=3"], "expected KEY=VALUE"),
    (["agent.seed=3"], "agent.seed is set by the program"),
    (["env.id=3"], "env.id: expected an environment"),
    (["goal_sampler=no_such_package.module:Thing"], "cannot import no_such_package.module"),
    (["goal_sampler=gcrl.rewards.PixelError"], "named module:Class, such as gcrl.rewards:PixelError"),
    (["goal_sampler=goal_samplers.uniform:Unifrom"], "did you mean 'Uniform'?"),
    (["goal_sampler=gcrl.rewards:PixelError"], "gcrl.rewards:PixelError lacks the method 'sample' of goal_samplers.api:GoalSampler"),
    (["goal_sampler=os:getcwd"], "expected a class"),
    (["goal_sampler.density=gcrl.rewards:PixelError"], "lacks the method 'fit' of goal_samplers.api:Density"),
    (["goal_sampler=goal_samplers.skewfit:SkewFit"], "needs 'goal_sampler.density'"),
    (["agent.hidden.x=3"], "cannot combine agent.hidden.x=3"),
]


@pytest.mark.parametrize(("overrides", "expected"), ERRORS, ids=[" ".join(overrides) for overrides, _ in ERRORS])
def test_bad_input_is_one_line_that_helps(overrides: list[str], expected: str) -> None:
    assert expected in message(*overrides)


@settings(max_examples=30, deadline=None)
@given(
    key=st.sampled_from(["seed", "practice.epochs", "agent.lr", "agent", "env", "experiment", "run_dir", "x"]), value=st.text(max_size=8)
)
def test_no_value_whatever_gives_anything_but_settings_or_one_line(key: str, value: str) -> None:
    try:
        load_settings([f"{key}={value}"])
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 (either outcome is right)


def test_sweeps_are_all_combinations() -> None:
    assert sweep(["agent=sac,td3", "run_dir=a,b", "seed=range(1,3)"]) == [
        ["agent=sac", "run_dir=a,b", "seed=1"],
        ["agent=sac", "run_dir=a,b", "seed=2"],
        ["agent=td3", "run_dir=a,b", "seed=1"],
        ["agent=td3", "run_dir=a,b", "seed=2"],
    ]


def test_python_keywords_are_the_same_as_typed_overrides() -> None:
    keywords = {"agent": "td3", "practice": {"epochs": 3, "inputs": ["latent"]}, "profile": True, "run_dir": Path("a b"), "seed": 2}
    typed_in = ["agent=td3", "practice.epochs=3", "practice.inputs=[latent]", "profile=true", "run_dir=a b", "seed=2"]
    assert load_settings(as_overrides(keywords)) == load_settings(typed_in)


def test_settings_survive_their_file(tmp_path: Path) -> None:
    for experiment in choices("experiment"):
        loaded = load_settings([f"experiment={experiment}", "agent.lr=1e-05"])
        write_settings(loaded, tmp_path / "config.yaml")
        assert read_settings(tmp_path / "config.yaml") == loaded


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"sed": 1}, "unknown key 'sed'"), ({"seed": "x"}, "seed: expected"), ({"practice": {"epoch": 1}}, "did you mean 'practice.epochs'")],
)
def test_an_edited_config_file_is_checked_like_the_command_line(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    path = tmp_path / "config.yaml"
    write_settings(load_settings(), path)
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    with pytest.raises(UserError, match=expected) as caught:
        read_settings(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "3", "", "!!python/object/apply:os.getcwd []"])
def test_a_malformed_config_file_is_one_line_and_runs_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml") as caught:
        read_settings(tmp_path / "config.yaml")
    assert "\n" not in str(caught.value)


# building ------------------------------------------------------------------------------------------------------------


class Part(Protocol):
    width: int

    def act(self) -> int: ...


class Inner:
    def __init__(self, size: int, *, seed: int = 0) -> None:
        self.size, self.seed = size, seed


class Outer:
    def __init__(self, space: str, *, inner: Inner, sizes: tuple[int, ...] = (), kind: Literal["a", "b"] = "a", rate: float = 0.5) -> None:
        self.space, self.inner, self.sizes, self.kind, self.rate = space, inner, sizes, kind, rate
        self.width = 3

    def act(self) -> int:
        return 1


class NoWidth(Outer):
    def __init__(self) -> None:
        pass


HERE = __name__


def outer(**arguments: Any) -> Choice:
    return Choice(f"{HERE}:Outer", {"inner": {"target": f"{HERE}:Inner", "size": 4}, **arguments})


def test_nested_targets_become_objects_and_injected_values_reach_who_names_them() -> None:
    built = build(outer(sizes=[1, 2], rate=1), Part, "part", space="box", seed=9, device="cpu")
    assert (built.space, built.sizes, built.rate) == ("box", (1, 2), 1.0)
    assert isinstance(built.rate, float)
    assert (built.inner.size, built.inner.seed) == (4, 9)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (outer(rte=1), r"unknown key 'part.rte' .*did you mean 'part.rate'"),
        (outer(kind="c"), r"part.kind.*expected one of: a, b"),
        (outer(sizes=[1, "x"]), r"part.sizes\[1\]: expected a whole number, got 'x'"),
        (Choice(f"{HERE}:Outer"), "needs 'part.inner'"),
        (Choice(f"{HERE}:Inner", {"size": 1}), "lacks the method 'act'"),
        (Choice(f"{HERE}:NoWidth"), "lack the attribute 'width'"),
        (Choice("nonsense"), "expected module:Class, got 'nonsense'"),
        (Choice(f"{HERE}:Outer", {"inner": {"target": 3}}), "part.inner.target: expected module:Class"),
    ],
)
def test_what_does_not_fit_is_named(choice: Choice, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        build(choice, Part, "part", space="box")


def test_nothing_is_called_before_it_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_sampler_module.py").write_text("class Mine:\n    def __init__(self):\n        raise RuntimeError('called')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="lacks the method 'act'"):
        build(Choice("my_sampler_module:Mine"), Part, "part")
    assert import_class("my_sampler_module:Mine", "part").__name__ == "Mine"


SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5)


@settings(max_examples=200, deadline=None)
@given(
    value=SCALARS | st.lists(SCALARS, max_size=3),
    annotation=st.sampled_from([int, float, bool, str, list[int], tuple[float, ...], int | None]),
)
def test_a_checked_value_has_the_asked_type_and_the_same_value(value: Any, annotation: Any) -> None:
    try:
        result = typed(value, annotation, "field")
    except UserError as error:
        assert str(error).startswith("field")  # noqa: PT017 (either outcome is right)
    else:
        assert (list(result) if isinstance(value, list) else result) == value
        if isinstance(annotation, type) and not hasattr(annotation, "__origin__"):
            assert type(result) is annotation


def test_groups_are_what_the_guide_says() -> None:
    assert set(groups()) == {
        "env",
        "representation",
        "goal_sampler",
        "goal_space",
        "planner",
        "density",
        "cost",
        "agent",
        "reward",
        "relabel",
        "experiment",
    }


def test_an_installed_plug_in_is_chosen_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "plug_in-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-in\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[gcrl.goal_samplers]\nboldest = goal_samplers.uniform:Uniform\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "boldest" in choices("goal_sampler")
    assert load_settings(["goal_sampler=boldest"]).goal_sampler == Choice("goal_samplers.uniform:Uniform")
    assert "did you mean 'boldest'?" in message("goal_sampler=boldets")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=-1", "seed=-1; expected at least 0"),
        ("torch_threads=0", "torch_threads=0; expected at least 1"),
        ("device=gpu", "device=gpu cannot be used"),
        ("device=cuda:99", "device=cuda:99 cannot be used"),
        ("device=meta", "device=meta cannot be used"),
    ],
)
def test_what_the_machine_cannot_do_is_one_line_before_anything_is_written(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        Practice(load_settings(["experiment=bitflip", f"run_dir={tmp_path / 'run'}", override]))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
