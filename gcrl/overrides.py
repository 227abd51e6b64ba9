"""What a person types (``group=choice``, ``group.field=value``) as overrides that Hydra takes, wrong names caught first."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from envs.errors import UserError, did_you_mean, unknown
from gcrl.settings import Practice

CONF = Path(__file__).resolve().parent.parent / "conf"
# Groups that take a module:Class of one's own.
CUSTOM = ("env", "representation", "goal_sampler", "goal_space", "planner", "density", "cost", "agent", "reward")
# Parts of a part, and the groups they are chosen from; and of those that stand nowhere else, whose part they are and a choice that has one.
INSIDE = {"density": "density", "cost": "cost", "first": "goal_sampler", "second": "goal_sampler"}
OWNERS = {"density": ("goal_sampler", "skewfit"), "cost": ("planner", "ptp")}
RAW = ("run_dir",)  # taken as typed, past Hydra: paths may hold characters that mean something to it


def groups() -> list[str]:
    """Return the configuration groups."""
    return sorted(path.name for path in CONF.iterdir() if any(path.glob("*.yaml")))


def choices(group: str) -> list[str]:
    """Return the choices of a group, those of installed plug-ins included."""
    return sorted({path.stem for path in (CONF / group).glob("*.yaml") if path.stem != "custom"} | set(registered(group)))


def registered(group: str) -> dict[str, str]:
    """Return {name: ``module:Class``} of what other packages registered under the entry points ``gcrl.envs``, ``gcrl.agents``, ..."""
    plural = "densities" if group == "density" else f"{group}s"
    return {entry.name: entry.value for entry in entry_points(group=f"gcrl.{plural}")} if group in CUSTOM else {}


@functools.cache
def root_keys() -> tuple[str, ...]:
    """Return the keys that stand outside every group."""
    return tuple(key for key in yaml.safe_load((CONF / "config.yaml").read_text()) if key != "defaults")


def for_hydra(overrides: Sequence[str]) -> list[str]:
    """Return Hydra's form of `overrides`; `UserError` for a malformed one, an unknown group choice or an unknown first key."""
    # a class of one's own has no parts in its file yet
    new = tuple(f"{part}@" for part, (owner, _) in OWNERS.items() if ":" in chosen(overrides, owner, ""))
    return [(f"+{line}" if line.startswith(new) else line) for text in overrides for line in _rewrite(text)]


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Return the combinations of all ``key=a,b,c`` and ``key=range(...)`` in `overrides`, the last one varying fastest."""
    options: list[list[str]] = []
    for text in overrides:
        override = None if _key(text) in RAW else _parse(text)
        if override is not None and override.is_sweep_override():
            try:
                # Hydra writes the colon of module:Class with a backslash before it
                options.append([f"{_key(text)}={value}".replace("\\:", ":") for value in override.sweep_string_iterator()])
            except HydraException as error:
                raise UserError(f"{text} cannot be swept: {' '.join(str(error).split())}; expected {_key(text)}=A,B,C") from error
        else:
            options.append([text])
    return [list(combination) for combination in itertools.product(*options)]


def chosen(overrides: Sequence[str], key: str, default: str) -> str:
    """Return the value given to `key` in `overrides` (the last one counts), or `default`."""
    values = [text.partition("=")[2] for text in overrides if _key(text) == key]
    return values[-1] if values else default


def value_of(text: str) -> Any:
    """Return the value of a ``key=value`` as Hydra reads it: ``n=1e3`` is a number, ``cameras=[front,top]`` a list."""
    override = _parse(text)
    if override.is_sweep_override():
        raise UserError(f"{text} names several values; expected one (a list is written {_key(text)}=[...])")
    return override.value()


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+")


def _rewrite(text: str) -> list[str]:
    key, equals, value = text.partition("=")
    key = key.lstrip("+")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", key):
        verbs = f"; to drop a field set {key[1:]}=null" if key.startswith("~") else ""
        raise UserError(f"cannot read '{text}'; expected KEY=VALUE such as practice.epochs=3 or goal_sampler=skewfit{verbs}")
    known = [*root_keys(), *(group for group in groups() if group not in OWNERS)]
    if key.split(".")[0] not in known:
        if key.split(".")[0] in OWNERS:
            raise UserError(f"unknown key '{key}' (did you mean '{OWNERS[key.split('.')[0]][0]}.{key}'?)")
        near = did_you_mean(key, [*known, *(f"practice.{field.name}" for field in dataclasses.fields(Practice))])
        raise UserError(f"unknown key '{key}'{near}; expected one of: {', '.join(known)}")
    name = key.split(".")[-1]
    nested = key.count(".") >= 1 and name in INSIDE  # a part inside a part: goal_sampler.density=kde
    group = INSIDE[name] if nested else name
    if (key in known and key in groups()) or nested:
        return _choose(key, group, value)
    if key in RAW:
        return []
    if _parse(text).is_sweep_override():
        raise UserError(f"{text} names several values; add -m to run them one after another")
    return [f"++{key}={value}"]


def _choose(key: str, group: str, value: str) -> list[str]:
    """Return the overrides that choose `value` for `group` at `key`."""
    path = key if key == group else f"{group}@{key}"
    if value.startswith(("[", "{")) or "," in value:
        raise UserError(
            f"{key}={value} names several choices; give one, or sweep them: gcrl practice -m {key}={value.strip('[]').replace(' ', '')}"
        )
    value = registered(group).get(value, value)
    if value in choices(group):
        return [f"{path}={value}"]
    foreign = group in CUSTOM and (":" in value or (group == "env" and bool(re.search(r"-v\d+$", value))))
    if foreign:
        return [f"{path}=custom", f"++{key}.{'id' if group == 'env' else 'target'}='{value}'"]
    if group in CUSTOM and "." in value:
        raise UserError(
            f"{key}={value}: a class of your own is named module:Class, such as {value.rpartition('.')[0]}:{value.rpartition('.')[2]}"
        )
    raise unknown(key, value, choices(group))


def _parse(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        first = " ".join(str(error).split("\n")[0].split())
        raise UserError(f"cannot read '{text}': {first}; quote values with special characters: \"key='value'\"") from error


__all__ = ["CONF", "OWNERS", "choices", "chosen", "for_hydra", "groups", "registered", "root_keys", "sweep", "value_of"]
