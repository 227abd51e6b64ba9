"""Checks a plain value (from YAML or the command line) against a type annotation, with an error that names the field."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar, Union

from envs.errors import UserError, did_you_mean, unknown

T = TypeVar("T")
SEQUENCES = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)


def typed(value: Any, annotation: Any, name: str) -> Any:
    """Return `value` as `annotation` asks (int to float and list to tuple where exact); raise `UserError` naming the field otherwise.

    Annotations beyond bool, int, float, str, None, Literal, unions, lists, tuples and mappings accept anything.
    """
    for fits, result in _attempts(value, annotation, name):
        if fits:
            return result
    if typing.get_origin(annotation) is Literal:
        raise unknown(f"value of {name}", str(value), [str(choice) for choice in typing.get_args(annotation)])
    raise UserError(f"{name}: expected {describe(annotation)}, got {_shown(value)}")


def describe(annotation: Any) -> str:
    """Return the annotation in words for an error message."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if annotation is type(None):
        return "null"
    if origin is Literal:
        return " or ".join(str(argument) for argument in arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} ({', '.join(describe(argument) for argument in arguments)})"
    if origin is tuple or origin in SEQUENCES:
        return f"a list (each {describe(arguments[0])})" if arguments else "a list"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(annotation, str(annotation))


def from_mapping(cls: type[T], values: Any, name: str) -> T:
    """Return the dataclass `cls` filled from a mapping; `UserError` on unknown keys and wrong types, naming ``name.key``."""
    if not isinstance(values, collections.abc.Mapping):
        raise UserError(f"{name}: expected fields, got {_shown(values)}")
    hints = typing.get_type_hints(cls)
    fields = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    dotted = {key: f"{name}.{key}" if name else str(key) for key in values}
    for key in values:
        if key not in fields:
            near = did_you_mean(dotted[key], [f"{name}.{field}" if name else field for field in fields])
            raise UserError(f"unknown key '{dotted[key]}'{near}; expected one of: {', '.join(fields)}")
    missing = [
        field.name
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if field.name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"missing key '{name + '.' if name else ''}{missing[0]}'")
    return cls(**{key: typed(value, hints[key], dotted[key]) for key, value in values.items()})


def _attempts(value: Any, annotation: Any, name: str) -> typing.Iterator[tuple[bool, Any]]:
    """Yield (whether it fits, the value as it is then)."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        yield True, from_mapping(annotation, value, name)
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            try:
                yield True, typed(value, argument, name)
            except UserError:
                continue
    elif origin is Literal:
        yield value in arguments, value
    elif annotation is bool:
        yield isinstance(value, bool), value
    elif annotation is int:
        whole = isinstance(value, float) and value.is_integer()  # 1e6 is a whole number to a person
        yield whole or (isinstance(value, int) and not isinstance(value, bool)), int(value) if whole else value
    elif annotation is float:
        fits = isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e300)
        yield fits, float(value) if fits else value
    elif annotation is str:
        yield isinstance(value, str), value
    elif annotation is type(None):
        yield value is None, value
    elif annotation in (tuple, *SEQUENCES) or origin is tuple or origin in SEQUENCES:
        yield from _sequence(value, tuple if tuple in (annotation, origin) else list, arguments, name)
    elif annotation in (dict, collections.abc.Mapping) or origin in (dict, collections.abc.Mapping):
        if isinstance(value, collections.abc.Mapping):
            kinds = arguments or (Any, Any)
            yield True, {key: typed(item, kinds[1], f"{name}.{key}") for key, item in value.items()}
    else:
        yield True, value


def _sequence(value: Any, make: type, arguments: tuple[Any, ...], name: str) -> typing.Iterator[tuple[bool, Any]]:
    if not isinstance(value, list | tuple):
        return
    if not arguments:
        yield True, make(value)
    elif make is list or arguments[-1] is Ellipsis:
        yield True, make(typed(item, arguments[0], f"{name}[{index}]") for index, item in enumerate(value))
    elif len(value) == len(arguments):
        yield True, make(typed(item, argument, f"{name}[{i}]") for i, (item, argument) in enumerate(zip(value, arguments)))


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else " ".join(str(value).split())
