"""A torch module of the user's: its class by name, its weights from a safetensors file."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from envs.errors import UserError, unknown
from representations.init import seeded
from representations.state import load_module


def made(name: str, arguments: Mapping[str, Any], seed: int, owner: str) -> nn.Module:
    """Return an instance of the class `name`, ``package.module:Class``, made with `arguments`; raise `UserError` where it cannot be."""
    package, _, title = name.partition(":")
    if not package or not title:
        raise UserError(f"{owner}: module = '{name}'; expected the class of the network as package.module:Class")
    try:
        found = importlib.import_module(package)
    except ImportError as error:
        raise UserError(f"{owner}: cannot import {package} ({error}); expected an installed module or one in this folder") from error
    cls = getattr(found, title, None)
    if cls is None:
        raise unknown(f"class of {package} for {owner}", title, [key for key, value in vars(found).items() if _is_network(value)])
    if not _is_network(cls):
        raise UserError(f"{owner}: {name} is no torch.nn.Module; expected a class of networks")
    try:
        module: nn.Module = seeded(lambda: cls(**arguments), seed)
    except Exception as error:  # the class is the user's: anything may happen in it
        shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise UserError(f"{owner}: {title}({shown}) fails: {type(error).__name__}: {error}") from error
    return module


def weighted(path: str, name: str, arguments: Mapping[str, Any], seed: int, owner: str) -> nn.Module:
    """Return `made` of `name` in eval mode, without gradients, with the weights in the safetensors file `path`.

    Raises `UserError` where the file is missing or of another format, the class cannot be made, or weights are missing, extra or misshapen.
    """
    file = Path(path)
    if file.suffix != ".safetensors":
        raise UserError(f"{owner}: path = '{path}'; expected a .safetensors file, since other formats of weights are unpickled to be read")
    if not file.is_file():
        raise UserError(f"{owner}: there is no file {path}; expected the weights of {name} in safetensors' format")
    module = made(name, arguments, seed, owner)
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{owner}: cannot read {path} ({error}); expected safetensors' format") from error
    # as floats, since numpy knows no bfloat16
    load_module(module, {key: value.float() for key, value in weights.items()}, f"{owner} ({path})")
    return module.float().eval().requires_grad_(False)


def _is_network(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, nn.Module)
