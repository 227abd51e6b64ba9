"""Configuration: overrides in (through Hydra's groups), checked `Settings` out, and to and from a run's ``config.yaml``."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from envs.errors import UserError
from gcrl.build import as_choice, check
from gcrl.overrides import CONF, OWNERS, chosen, for_hydra
from gcrl.settings import Settings
from gcrl.typed import from_mapping

PARTS = ("representation", "goal_sampler", "goal_space", "planner", "agent", "reward")
DEFAULT_EXPERIMENT = "door"


def load_settings(overrides: Sequence[str] = ()) -> Settings:
    """Return the settings that `overrides` describe.

    Each is ``experiment=NAME``, ``group=choice``, ``group=module:Class``, ``group.field=value`` or ``key=value`` (``seed=1``).
    Raises `UserError` (one line, with the nearest valid name) for unknown keys and choices, malformed values and wrong types.
    """
    experiment = chosen(overrides, "experiment", DEFAULT_EXPERIMENT)
    values = _compose(overrides)
    folder = chosen(overrides, "run_dir", "null")
    default = f"runs/{experiment}_seed{values['seed']}_{time.strftime('%Y%m%d_%H%M%S')}"
    values["run_dir"] = default if folder in ("", "null") else folder
    # A preset's values for a group describe the preset's own choice: with another choice they would be arguments of the wrong class.
    preset = _preset_choices(experiment)
    for group, choice in preset.items():
        if chosen(overrides, group, choice) != choice:
            values[group] = _compose(overrides, preset=False)[group]
    for part, (owner, _) in OWNERS.items():
        if chosen(overrides, f"{owner}.{part}", "") and chosen(overrides, owner, preset.get(owner, "")) == preset.get(owner):
            values[owner][part] = _compose([f"{owner}={preset[owner]}", *overrides], preset=False)[owner][part]
    return _settings(experiment, values)


def env_choice(overrides: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the id and the arguments of the environment that ``env=...`` and ``env.FIELD=...`` describe, without any preset.

    Raises `UserError` as `load_settings` does.
    """
    chosen_env = dict(_compose(overrides, preset=False)["env"])
    return _env_id(chosen_env), chosen_env


def as_overrides(settings: Mapping[str, Any]) -> list[str]:
    """Return Python keywords as overrides: ``{"agent": "td3", "practice": {"epochs": 3}}`` is ``agent=td3 practice.epochs=3``."""
    lines: list[str] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            lines += [f"{key}.{line}" for line in as_overrides(value)]
        elif isinstance(value, str | Path):
            lines.append(f"{key}={value}")
        else:
            lines.append(f"{key}={json.dumps(value)}")
    return lines


def with_planner(settings: Settings, overrides: Sequence[str]) -> Settings:
    """Return `settings` with another planner (``planner=NAME``) or other settings of the one that is there (``planner.FIELD=VALUE``).

    Raises `UserError` as `load_settings` does, and for whatever else than a planner.
    """
    for text in overrides:
        if text.partition("=")[0].split(".")[0] != "planner":
            raise UserError(
                f"{text}: of a run that has been practised only the planner may change; expected planner=NAME or planner.FIELD=VALUE"
            )
    if chosen(overrides, "planner", ""):
        return dataclasses.replace(settings, planner=as_choice(_compose(overrides, preset=False)["planner"], "planner"))
    values = {"target": settings.planner.target, **copy.deepcopy(settings.planner.arguments)}
    for part, (owner, choice) in OWNERS.items():
        if chosen(overrides, f"{owner}.{part}", ""):
            values[part] = _compose([f"{owner}={choice}", *overrides], preset=False)[owner][part]
    config: Any = OmegaConf.create({"planner": values})
    _set_values(config, for_hydra(overrides))
    container = OmegaConf.to_container(config.planner)
    assert isinstance(container, dict)
    return dataclasses.replace(settings, planner=as_choice({str(key): value for key, value in container.items()}, "planner"))


def with_more_epochs(settings: Settings, overrides: Sequence[str]) -> Settings:
    """Return `settings` with the number of epochs that ``practice.epochs=N`` asks for.

    Raises `UserError` for fewer epochs than there were to be, and for whatever else than that: what a run was made with stays.
    """
    epochs = settings.practice.epochs
    for text in overrides:
        name, _, value = text.partition("=")
        if name != "practice.epochs":
            raise UserError(
                f"{text}: a run goes on with what it was made with; expected nothing more, or practice.epochs=N for more epochs"
            )
        if not value.isdecimal() or int(value) <= epochs:
            raise UserError(f"{text}; expected a whole number above {epochs}, the epochs that this run was made for")
        settings = dataclasses.replace(settings, practice=dataclasses.replace(settings.practice, epochs=int(value)))
    return settings


def write_settings(settings: Settings, path: str | Path) -> None:
    """Write `settings` as YAML, to be read back by `read_settings`."""
    Path(path).write_text(yaml.safe_dump(plain_settings(settings), sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_settings(path: str | Path) -> Settings:
    """Return the settings in a run's ``config.yaml``; `UserError` naming the file when it is missing, malformed or has unknown keys."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; expected the config.yaml of a run folder") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    try:
        return from_mapping(Settings, values, "")
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def check_parts(settings: Settings) -> None:
    """Import the chosen classes and check their methods, argument names and types before anything starts; raises `UserError`."""
    from gcrl.agents.api import Agent
    from goal_samplers.api import GoalSampler
    from goal_samplers.goal_space import GoalSpace
    from goal_samplers.planners.api import SubgoalPlanner
    from representations.api import Representation

    check(settings.representation, Representation, "representation", ("observation_space", "seed", "device"))
    check(settings.goal_sampler, GoalSampler, "goal_sampler", ("seed", "device"))
    check(settings.goal_space, GoalSpace, "goal_space", ("latent_dim",))
    check(settings.planner, SubgoalPlanner, "planner", ("goal_space", "seed"))
    check(settings.agent, Agent, "agent", ("input_dim", "goal_dim", "action_space", "seed", "device"))
    check(settings.reward, object, "reward", ("env", "env_id", "representation", "goal_space"))


def _settings(experiment: str, values: dict[str, Any]) -> Settings:
    env = dict(values.pop("env"))
    env_id = _env_id(env)
    seeds = values.pop("seeds")
    if seeds != 1:
        raise UserError(f"seeds={seeds} runs several practices; use the command line, or give one seed=N")
    return from_mapping(
        Settings,
        {
            **{key: value for key, value in values.items() if key not in PARTS},
            **{part: dataclasses.asdict(as_choice(values[part], part)) for part in PARTS},
            "experiment": experiment,
            "env_id": env_id,
            "env_arguments": env,
        },
        "",
    )


def _env_id(env: dict[str, Any]) -> str:
    """Take the id out of a composed environment."""
    found = env.pop("id", None)
    if not isinstance(found, str) or not found:
        raise UserError("env.id: expected an environment such as gcrl/Door-v0; `gcrl list env` shows them")
    return found


def _compose(overrides: Sequence[str], preset: bool = True) -> dict[str, Any]:
    """Return the composed configuration; without the preset's own values where `preset` is false."""
    lines = for_hydra(overrides)
    if not preset:
        lines = [*(line for line in lines if not line.startswith("experiment=")), "~experiment"]
    try:
        # What is chosen decides which files are put together; values come on top, as Hydra itself would set them.
        config = OmegaConf.create(copy.deepcopy(_chosen_files(tuple(line for line in lines if not line.startswith("++")))))
        _set_values(config, lines)
        container = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        for part, (owner, choice) in OWNERS.items():
            if f"{part}@" in str(error):
                raise UserError(f"{owner}.{part}: the chosen {owner} has no {part}; expected {owner}={choice}") from error
        raise UserError(f"cannot combine {' '.join(overrides)}: {' '.join(str(error).split())}") from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _set_values(config: Any, lines: Sequence[str]) -> None:
    """Set each ``++KEY=VALUE`` of Hydra's `lines` in a composed configuration; raise `UserError` where it cannot stand there."""
    for line in (line for line in lines if line.startswith("++")):
        try:
            override = OverridesParser.create().parse_override(line)
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:  # the last for agent.hidden.x, since lists have numbers
            raise UserError(f"cannot combine {line.removeprefix('++')}: {' '.join(str(error).split())}") from error


@functools.lru_cache(maxsize=256)
def _chosen_files(choices: tuple[str, ...]) -> Any:
    """Return what the files of the chosen groups say together; kept, since a sweep of values over them would read the same again."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=list(choices)))


def _preset_choices(experiment: str) -> dict[str, str]:
    """Return the group choices that a preset makes, those of the presets that it builds on included."""
    path = CONF / "experiment" / f"{experiment}.yaml"
    found: dict[str, str] = {}
    for entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("defaults", []) if path.exists() else []:
        if isinstance(entry, str):
            found |= _preset_choices(entry) if entry != "_self_" else {}
        else:
            found |= {key.removeprefix("override /"): value for key, value in entry.items() if "@" not in key}
    return found


def plain_settings(settings: Settings) -> dict[str, Any]:
    """Return `settings` as nested dicts, lists and scalars."""
    return {key: _plain(value) for key, value in dataclasses.asdict(settings).items()}


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, list | tuple) else node
