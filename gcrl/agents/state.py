"""Checkpoints of networks, optimisers and generators as nested dicts of tensors and arrays, checked when they are read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from envs.errors import UserError, did_you_mean


def part(state: Mapping[str, Any], name: str) -> Any:
    """Return `state[name]`; raises `UserError` where it is missing."""
    if name not in state:
        raise UserError(f"agent state has no '{name}'{did_you_mean(name, state)}; expected what state_dict() of the same agent returned")
    return state[name]


def network_state(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all parameters, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def load_network(network: nn.Module, state: Mapping[str, Any], owner: str) -> None:
    """Copy `state` into `network` in place; raises `UserError` for missing, extra or misshapen tensors, leaving the network as it was."""
    own = network.state_dict()
    for name in [*own, *state]:
        if name not in state:
            raise UserError(f"{owner} has no tensor '{name}'{did_you_mean(name, state)}; expected {tuple(own[name].shape)}")
        if name not in own:
            raise UserError(f"{owner} has an unknown tensor '{name}'{did_you_mean(name, own)}; expected only {', '.join(own)}")
        if np.shape(state[name]) != own[name].shape:
            raise UserError(f"{owner} tensor '{name}' has shape {tuple(np.shape(state[name]))}; expected {tuple(own[name].shape)}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(torch.as_tensor(state[name]))


def adam_state(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """Return a copy of the moments per parameter, {"0": {"step", "exp_avg", "exp_avg_sq"}, ...}; empty before the first step."""
    state = optimizer.state_dict()["state"]
    return {str(index): {name: value.detach().cpu().clone() for name, value in moments.items()} for index, moments in state.items()}


def load_adam(optimizer: torch.optim.Optimizer, state: Mapping[str, Mapping[str, Any]], owner: str) -> None:
    """Take over what `adam_state` returned; raises `UserError` where it is of other parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if state and set(state) != {str(index) for index in range(len(parameters))}:
        raise UserError(f"{owner} holds moments of parameters {', '.join(sorted(state))}; expected 0 to {len(parameters) - 1}")
    for index, parameter in enumerate(parameters if state else []):
        for name, shape in (("step", ()), ("exp_avg", parameter.shape), ("exp_avg_sq", parameter.shape)):
            if np.shape(part(state[str(index)], name)) != shape:
                raise UserError(
                    f"{owner} {name} of parameter {index} has shape {tuple(np.shape(state[str(index)][name]))}; expected {tuple(shape)}"
                )
    # Copies, because Adam goes on in the very tensors that it is given.
    moments = {int(index): {name: torch.as_tensor(v).clone() for name, v in values.items()} for index, values in state.items()}
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def generator_state(generator: torch.Generator) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the generator's state as bytes (uint8)."""
    return generator.get_state().cpu().numpy().copy()


def load_generator(generator: torch.Generator, state: Any, owner: str) -> None:
    """Take over what `generator_state` returned; raises `UserError` for anything else."""
    expected = generator.get_state()
    values = torch.as_tensor(np.asarray(state))
    if values.dtype != torch.uint8 or values.shape != expected.shape:
        raise UserError(f"{owner} generator is {values.dtype} {tuple(values.shape)}; expected torch.uint8 {tuple(expected.shape)}")
    generator.set_state(values.clone())
