"""Environments by name: gcrl's own, those of installed packages, ``module:Class``, and any Gymnasium goal environment."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
from importlib.metadata import entry_points
from typing import Any

import gymnasium

from envs.api import TaskEnv
from envs.errors import UserError, did_you_mean, unknown
from envs.foreign import ForeignEnv
from envs.foreign_inside import load_entry
from envs.signatures import keywords

OWN = {
    "gcrl/Door-v0": "envs.door:DoorEnv",
    "gcrl/Reach-v0": "envs.reach:ReachEnv",
    "gcrl/Push-v0": "envs.push:PushEnv",
    "gcrl/MultiPush-v0": "envs.multi_push:MultiPushEnv",
    "gcrl/PickPlace-v0": "envs.pick_place:PickPlaceEnv",
    "gcrl/Stack-v0": "envs.stack:StackEnv",
    "gcrl/Drawer-v0": "envs.drawer:DrawerEnv",
    "gcrl/Button-v0": "envs.button:ButtonEnv",
    "gcrl/DrawerPickPush-v0": "envs.drawer_pick_push:DrawerPickPushEnv",
    "gcrl/Tabletop-v0": "envs.tabletop:TabletopEnv",
    "gcrl/StandIn-v0": "envs.stand_in:StandInEnv",
    "gcrl/Corridor-v0": "envs.corridor:CorridorEnv",
    "gcrl/BitFlip-v0": "envs.bitflip:BitFlipEnv",
    "gcrl/OGBenchPointMaze-v0": "envs.ogbench_pointmaze:OGBenchPointMazeEnv",
}
ENTRY_POINTS = "gcrl.envs"
_GYMNASIUM_PACKAGES = ("gymnasium_robotics", "panda_gym")  # imported only when an id is not known yet
_METHODS = ("reset", "step", "compute_reward", "compute_terminated", "success", "metrics", "sample_goals", "fixed_goals")


def available() -> dict[str, str]:
    """Return ``{id: "module:Class"}`` of gcrl's environments and of those that installed packages register (group ``gcrl.envs``)."""
    return {**{point.name: point.value for point in entry_points(group=ENTRY_POINTS)}, **OWN}


def make(env_id: str, **kwargs: Any) -> TaskEnv:
    """Return the environment `env_id`, built with `kwargs`.

    `env_id` is an id of `available`, ``module:Class`` of a class that follows `envs.api.TaskEnv`, or the id of any Gymnasium
    goal environment, which comes wrapped in `envs.foreign.ForeignEnv`. Raises `UserError` for an unknown id or keyword, a class
    that does not follow the contract and an environment that cannot be built.
    """
    target = available().get(env_id)
    if target is None and env_id.rpartition(":")[2].isidentifier() and ":" in env_id:
        target = env_id
    if target is None:
        spec = _gymnasium_spec(env_id)
        _check_keywords(env_id, kwargs, (keywords(ForeignEnv) | keywords(load_entry(spec))) - {"env_id"})
        return ForeignEnv(spec.id, **kwargs)
    found = _load(env_id, target)
    _check_keywords(env_id, kwargs, keywords(found))
    env = found(**kwargs)
    if not isinstance(env, TaskEnv):
        raise UserError(
            f"'{env_id}' lacks part of the contract: expected an attribute for each of envs.api.TaskEnv ({_missing(env)} missing)"
        )
    return env


def register_with_gymnasium() -> None:
    """Let ``gymnasium.make("gcrl/Door-v0")`` find gcrl's environments; nothing is imported before one is made."""
    for env_id, target in OWN.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, entry_point=target)


def _load(env_id: str, target: str) -> Any:
    module_name, _, class_name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(
            f"environment '{env_id}': cannot import {module_name} ({error}); expected module:Class of an importable module"
        ) from error
    if not hasattr(module, class_name):
        raise unknown(f"class in {module_name}", class_name, [name for name, value in vars(module).items() if inspect.isclass(value)])
    found = getattr(module, class_name)
    if not inspect.isclass(found):
        raise UserError(f"environment '{env_id}': {class_name} is {type(found).__name__}; expected a class that follows envs.api.TaskEnv")
    lacking = [name for name in _METHODS if not callable(getattr(found, name, None))]
    if lacking:
        raise UserError(f"environment '{env_id}': {class_name} has no {', '.join(lacking)}; expected a class that follows envs.api.TaskEnv")
    return found


def _gymnasium_spec(env_id: str) -> Any:
    """Return the registration of a Gymnasium id, importing packages that are known to register goal environments if need be."""
    module, _, name = env_id.rpartition(":")  # Gymnasium's own "module:Name-v0"
    for package in (module, *_GYMNASIUM_PACKAGES):
        if package:
            # gymnasium-robotics prints a notice on import, which would end up in output that programs read.
            with contextlib.suppress(ImportError), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                importlib.import_module(package)
        with contextlib.suppress(gymnasium.error.Error, ValueError):
            return gymnasium.spec(name)
    names = [*available(), *gymnasium.registry]
    short = {name.rpartition("/")[2]: name for name in available()}  # "Door-v0" means gcrl/Door-v0
    near = f" (did you mean '{short[env_id]}'?)" if env_id in short else did_you_mean(env_id, names)
    expected = f"expected one of {', '.join(sorted(available()))}, module:Class or the id of a Gymnasium goal environment"
    raise UserError(f"unknown environment '{env_id}'{near}; {expected}")


def _check_keywords(env_id: str, kwargs: dict[str, Any], valid: set[str]) -> None:
    for name in kwargs:
        if name not in valid:
            raise unknown(f"argument of {env_id}", name, valid)


def _missing(env: object) -> str:
    names = [*TaskEnv.__annotations__, *(name for name in vars(TaskEnv) if not name.startswith("_") and callable(getattr(TaskEnv, name)))]
    return ", ".join(name for name in names if not hasattr(env, name))
