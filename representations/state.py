"""Weights, optimiser moments and arrays as plain nested dicts: written without pickles, checked when read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from envs.errors import UserError, did_you_mean
from representations.adam import Adam


def entry(state: Mapping[str, Any], name: str, owner: str) -> Any:
    """Return ``state[name]``; raise `UserError` naming `owner` where it is missing."""
    if name not in state:
        raise UserError(
            f"the saved state of {owner} has no '{name}'{did_you_mean(name, state)}; expected one with: {', '.join(state)}, {name}"
        )
    return state[name]


def array(state: Mapping[str, Any], name: str, owner: str, shape: tuple[int, ...] | None = None) -> NDArray[np.float32]:
    """Return ``state[name]`` as a float32 array; raise `UserError` where it is missing or, with `shape`, of another shape."""
    value = entry(state, name, owner)
    value = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if shape is not None and value.shape != shape:
        raise UserError(f"'{name}' in the saved state of {owner} has shape {value.shape}; expected {shape}")
    return np.array(value, dtype=np.float32)


def load_module(module: nn.Module, state: Mapping[str, Any], owner: str) -> None:
    """Copy saved weights {name: array or tensor} into `module`; raise `UserError` for a missing, extra or misshapen one."""
    own = module.state_dict()
    for name in state:
        if name not in own:
            raise UserError(f"unknown weight '{name}' in the saved state of {owner}{did_you_mean(name, own)}")
    for name, tensor in own.items():
        tensor.copy_(torch.as_tensor(array(state, name, owner, tuple(tensor.shape))))


def module_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of `module`'s weights by name, contiguous whatever memory format they are computed in."""
    return {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in module.state_dict().items()}


def optimizer_state(optimizer: Adam, module: nn.Module) -> dict[str, Any]:
    """Return the moments and step counts of an Adam over `module`'s parameters, by parameter name; empty before its first step."""
    saved: dict[str, Any] = {}
    learnt = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    for name, one in zip(learnt, optimizer.state, strict=True) if optimizer.state else ():
        for key, value in one.items():
            saved[f"{name}/{key}"] = value.clone(memory_format=torch.contiguous_format)
    return saved


def load_optimizer_state(optimizer: Adam, module: nn.Module, state: Mapping[str, Any], owner: str) -> None:
    """Put what `optimizer_state` returned back; raise `UserError` where an entry is missing or misshapen."""
    found: list[dict[str, torch.Tensor]] = []
    learnt = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    for name, parameter in learnt if state else ():
        moments = {key: torch.as_tensor(array(state, f"{name}/{key}", owner, tuple(parameter.shape))) for key in ("exp_avg", "exp_avg_sq")}
        step = torch.as_tensor(array(state, f"{name}/step", owner, ())).to(parameter.device)
        # Adam multiplies moments and weights elementwise, so they must share a memory format
        found.append({"step": step} | {key: torch.empty_like(parameter).copy_(value) for key, value in moments.items()})
    optimizer.state = found
