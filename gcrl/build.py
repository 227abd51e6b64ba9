"""From a choice (``module:Class`` and arguments) to an object, with everything checked before anything is called."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import typing
from collections.abc import Mapping
from typing import Any

from envs.errors import UserError, did_you_mean, unknown
from gcrl.settings import Choice
from gcrl.typed import typed


def build(choice: Choice, protocol: type[Any], name: str, **injected: Any) -> Any:
    """Return the object that `choice` describes; `name` ("agent") is the configuration group, for errors.

    `injected` holds what the program provides (spaces, seed, device); each class takes those that its constructor names. Arguments that
    hold a ``target`` of their own (a sampler's density) become objects first. Raises `UserError` naming the field: not importable, not
    a class, lacks a method of `protocol`, unknown or missing argument, wrong simple type.
    """
    cls, arguments = check(choice, protocol, name, tuple(injected))
    for key, value in arguments.items():
        if _is_choice(value):
            arguments[key] = build(as_choice(value, f"{name}.{key}"), _protocol(key), f"{name}.{key}", **injected)
    accepted = _parameters(cls)
    offered = {key: value for key, value in injected.items() if accepted is None or key in accepted}
    built = cls(**offered, **arguments)
    lacking = [attribute for attribute in _attributes(protocol) if not hasattr(built, attribute)]
    if lacking:
        raise UserError(f"{name}: {choice.target} objects lack the attribute '{lacking[0]}' of {_title(protocol)}")
    return built


def check(choice: Choice, protocol: type[Any], name: str, injected: tuple[str, ...] = ()) -> tuple[type[Any], dict[str, Any]]:
    """Return the class and its typed arguments without calling anything; raises `UserError` as `build` does."""
    cls = import_class(choice.target, name)
    lacking = [method for method in _methods(protocol) if not _has(cls, method)]
    if lacking:
        raise UserError(f"{name}: {choice.target} lacks the method '{lacking[0]}' of {_title(protocol)}")
    accepted = _parameters(cls)
    hints = _hints(cls)
    arguments: dict[str, Any] = {}
    for key, value in choice.arguments.items():
        free = sorted(set(accepted or ()) - set(injected))
        if key in injected:
            raise UserError(f"{name}.{key} is set by the program for {choice.target}; remove it")
        if accepted is not None and key not in accepted:
            expected = f"expected one of: {', '.join(free)}" if free else "it takes none"
            raise UserError(
                f"unknown key '{name}.{key}' for {choice.target}{did_you_mean(f'{name}.{key}', [f'{name}.{k}' for k in free])}; {expected}"
            )
        if _is_choice(value):
            check(as_choice(value, f"{name}.{key}"), _protocol(key), f"{name}.{key}", injected)
            arguments[key] = value
        else:
            arguments[key] = typed(value, hints.get(key, Any), f"{name}.{key}")
    needed = [key for key, p in (accepted or {}).items() if p.default is p.empty and key not in arguments and key not in injected]
    if needed:
        raise UserError(f"{choice.target} needs '{name}.{needed[0]}'; give {name}.{needed[0]}=VALUE")
    return cls, arguments


def import_class(target: str, name: str) -> type[Any]:
    """Return the class named ``module:Class``; the current folder is searched last, so that one's own modules are found from a shell."""
    module_name, _, class_name = target.partition(":")
    if not module_name or not class_name:
        raise UserError(f"{name}: expected module:Class, got '{target}'")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"{name}: cannot import {module_name} ({error}); expected an installed module or one in this folder") from error
    cls = getattr(module, class_name, None)
    if cls is None:
        classes = [
            key for key, value in vars(module).items() if inspect.isclass(value) and value.__module__ == module_name and key[0] != "_"
        ]
        raise unknown(f"class of {module_name} for {name}", class_name, classes)
    if not inspect.isclass(cls):
        raise UserError(f"{name}: {target} is a {type(cls).__name__}, expected a class")
    return cls


def as_choice(values: Mapping[str, Any], name: str) -> Choice:
    """Return the `Choice` that a configuration mapping ``{target: module:Class, argument: value, ...}`` describes."""
    if not isinstance(values.get("target"), str):
        raise UserError(f"{name}.target: expected module:Class, got '{values.get('target')}'")
    return Choice(values["target"], {str(key): value for key, value in values.items() if key != "target"})


def _is_choice(value: Any) -> bool:
    return isinstance(value, Mapping) and "target" in value


def _protocol(key: str) -> type[Any]:
    """Return the protocol of a part inside a part."""
    from goal_samplers.api import Density, GoalSampler
    from goal_samplers.planners.costs import Cost

    return {"density": Density, "first": GoalSampler, "second": GoalSampler, "cost": Cost}.get(key, object)


def _parameters(cls: type[Any]) -> dict[str, inspect.Parameter] | None:
    """Return the constructor's named parameters, or None where it takes any (``**kwargs``)."""
    parameters = inspect.signature(cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return {key: p for key, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _hints(cls: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls.__init__)
    except (NameError, TypeError):  # annotations that only a type checker can resolve
        return {}


def _bodies(protocol: type[Any]) -> list[type[Any]]:
    return [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False) and base is not typing.Protocol]


def _methods(protocol: type[Any]) -> list[str]:
    names = {key for base in _bodies(protocol) for key, value in vars(base).items() if inspect.isfunction(value)}
    return sorted(key for key in names if not key.startswith("_") or key == "__call__")


def _attributes(protocol: type[Any]) -> list[str]:
    return sorted({key for base in _bodies(protocol) for key in vars(base).get("__annotations__", {})})


def _has(cls: type[Any], method: str) -> bool:
    """Return whether objects of `cls` have `method`; every class has ``__call__`` itself, its objects need not."""
    return any(method in vars(base) for base in cls.__mro__) and callable(getattr(cls, method))


def _title(protocol: type[Any]) -> str:
    return f"{protocol.__module__}:{protocol.__name__}"
