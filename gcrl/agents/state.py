"""Checkpoints of agents as nested dicts of tensors and arrays, checked when they are read back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from envs.errors import UserError, did_you_mean
from gcrl.agents.normalizer import Normalizer
from representations.adam import Adam


@dataclass
class Learner:
    """Everything of an agent that changes as it learns; `owner` names the agent in errors.

    generator: on the CPU wherever the networks are, so that every device learns from the same random numbers.
    """

    owner: str
    networks: dict[str, nn.Module]
    optimizers: dict[str, Adam]
    normalizer: Normalizer
    generator: torch.Generator
    updates: int = 0
    measuring: bool = False  # losses are asked for: `step` does nothing

    def state(self) -> dict[str, Any]:
        """Return a copy of it all, on the CPU."""
        return {
            "networks": {name: network_state(network) for name, network in self.networks.items()},
            "optimizers": {name: adam_state(optimizer) for name, optimizer in self.optimizers.items()},
            "normalizer": self.normalizer.state(),
            "generator": self.generator.get_state().numpy().copy(),
            "updates": self.updates,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned, bit by bit; raises `UserError` for missing, altered or unknown parts."""
        networks, optimizers = part(state, "networks", self.owner), part(state, "optimizers", self.owner)
        if unknown := [name for name in networks if name not in self.networks]:
            raise UserError(f"saved state of {self.owner} has an unknown network '{unknown[0]}'; expected only: {', '.join(self.networks)}")
        for name, network in self.networks.items():
            load_network(network, part(networks, name, self.owner), f"{self.owner} {name}")
        for name, optimizer in self.optimizers.items():
            load_adam(optimizer, part(optimizers, name, self.owner), f"{self.owner} optimizer of {name}")
        self.normalizer.load(part(state, "normalizer", self.owner))
        load_generator(self.generator, part(state, "generator", self.owner), self.owner)
        self.updates = int(part(state, "updates", self.owner))

    def noise(self, *shape: int) -> Tensor:
        """Return standard normal numbers of `shape` where the networks are."""
        return torch.randn(shape, generator=self.generator).to(self.normalizer.device)

    def step(self, name: str, loss: Tensor) -> None:
        """Take one step of the optimiser `name` down the gradient of `loss`; none while `measured`."""
        if self.measuring:
            return
        self.optimizers[name].descend(loss)

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Let the body compute losses as an update does and leave no trace: no optimiser steps, and what else an update moves (target
        networks, generator, counter) is put back."""
        parameters = [parameter for network in self.networks.values() for parameter in network.parameters()]
        kept, drawn, updates = [parameter.detach().clone() for parameter in parameters], self.generator.get_state(), self.updates
        self.measuring = True
        try:
            yield
        finally:
            self.measuring, self.updates = False, updates
            self.generator.set_state(drawn)
            with torch.no_grad():
                for parameter, value in zip(parameters, kept, strict=True):
                    parameter.copy_(value)


def part(state: Mapping[str, Any], name: str, owner: str) -> Any:
    """Return `state[name]`; raises `UserError` where it is missing."""
    if name not in state:
        raise UserError(f"saved state of {owner} has no '{name}'{did_you_mean(name, state)}; expected what the same agent saved")
    return state[name]


def network_state(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all parameters, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def load_network(network: nn.Module, state: Mapping[str, Any], owner: str) -> None:
    """Copy `state` into `network` in place; raises `UserError` for missing, unknown or misshapen tensors, leaving the network as it was."""
    own = network.state_dict()
    for name in [*own, *state]:
        if name not in state:
            raise UserError(f"saved {owner} has no tensor '{name}'{did_you_mean(name, state)}; expected {tuple(own[name].shape)}")
        if name not in own:
            raise UserError(f"saved {owner} has an unknown tensor '{name}'{did_you_mean(name, own)}; expected only: {', '.join(own)}")
        if np.shape(state[name]) != own[name].shape:
            raise UserError(f"saved {owner} has '{name}' of shape {tuple(np.shape(state[name]))}; expected {tuple(own[name].shape)}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(torch.as_tensor(state[name]))


def actor_state(actor: nn.Module, normalizer: Normalizer) -> dict[str, NDArray[Any]]:
    """Return a copy of what acting needs as flat numpy arrays: weights as ``actor.*``, the normalizer as ``normalizer.*``."""
    weights = {f"actor.{name}": value.numpy() for name, value in network_state(actor).items()}
    return weights | {f"normalizer.{name}": value for name, value in normalizer.state().items()}


def load_actor_state(actor: nn.Module, normalizer: Normalizer, state: Mapping[str, NDArray[Any]], owner: str) -> None:
    """Take over what `actor_state` returned; raises `UserError` where it does not fit."""
    normalizer.load(_under("normalizer.", state))
    load_network(actor, _under("actor.", state), f"{owner} actor")


def _under(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def adam_state(optimizer: Adam) -> dict[str, dict[str, Tensor]]:
    """Return a copy of the moments per parameter, {"0": {"step", "exp_avg", "exp_avg_sq"}, ...}; empty before the first step."""
    return {str(index): {name: value.cpu().clone() for name, value in one.items()} for index, one in enumerate(optimizer.state)}


def load_adam(optimizer: Adam, state: Mapping[str, Mapping[str, Any]], owner: str) -> None:
    """Take over what `adam_state` returned; raises `UserError` where it belongs to other parameters."""
    parameters = optimizer.parameters
    if state and set(state) != {str(index) for index in range(len(parameters))}:
        raise UserError(f"saved {owner} is for parameters {', '.join(sorted(state))}; expected 0 to {len(parameters) - 1}")
    moments: list[dict[str, Tensor]] = []
    for index, parameter in enumerate(parameters if state else []):
        moments.append({})
        for name, shape in (("step", ()), ("exp_avg", parameter.shape), ("exp_avg_sq", parameter.shape)):
            value = part(state[str(index)], name, owner)
            if np.shape(value) != shape:
                raise UserError(
                    f"saved {owner} has '{name}' of parameter {index} of shape {tuple(np.shape(value))}; expected {tuple(shape)}"
                )
            # A copy, because Adam goes on in the very tensors that it is given, and in the layout of the parameter.
            like = torch.zeros((), device=parameter.device) if name == "step" else torch.empty_like(parameter)
            moments[-1][name] = like.detach().copy_(torch.as_tensor(value))
    optimizer.state = moments


def load_generator(generator: torch.Generator, state: Any, owner: str) -> None:
    """Set a generator to a state given as bytes (uint8); raises `UserError` for anything else."""
    expected = generator.get_state()
    values = torch.as_tensor(np.asarray(state))
    if values.dtype != torch.uint8 or values.shape != expected.shape:
        raise UserError(f"saved generator of {owner} is {values.dtype} {tuple(values.shape)}; expected torch.uint8 {tuple(expected.shape)}")
    generator.set_state(values.clone())
