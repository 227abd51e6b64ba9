"""Agents learn wherever their tensors are: nothing stays behind on the CPU, and a GPU comes to what the CPU comes to."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from agent_cases import KINDS, batch_of, flat, small
from test_drq import batch_of as batch_of_pictures
from test_drq import small as small_drq

from gcrl.agents.api import Batch

ALL = [*KINDS, "drq"]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def agent_on(kind: str, device: str) -> Any:
    return small_drq(device=device) if kind == "drq" else small(kind, device=device)


def batch_on(kind: str, seed: int, device: str) -> Batch:
    batch = batch_of_pictures(seed) if kind == "drq" else batch_of(kind, np.random.default_rng(seed))
    moved = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return Batch(**{name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in moved.items()})


@pytest.mark.parametrize("kind", ALL)
def test_an_agent_on_another_device_leaves_nothing_on_the_cpu(kind: str) -> None:
    # "meta" tensors have a device and shapes but no numbers, and refuse to be combined with tensors of the CPU, as a GPU's do.
    metrics = agent_on(kind, "meta").losses(batch_on(kind, 0, "meta"))
    assert {value.device.type for value in metrics.values()} == {"meta"}
    with pytest.raises(RuntimeError, match="device"):
        agent_on(kind, "meta").losses(batch_on(kind, 0, "cpu"))


@needs_gpu
@pytest.mark.parametrize("kind", ALL)
def test_a_gpu_learns_what_the_cpu_learns(kind: str) -> None:
    agents = [agent_on(kind, device) for device in ("cpu", "cuda")]
    for seed in range(5):
        for agent in agents:
            agent.update(batch_on(kind, seed, agent.device))
    cpu, gpu = (flat(agent.state_dict()["networks"]) for agent in agents)
    assert cpu.keys() == gpu.keys()
    for name, values in cpu.items():
        np.testing.assert_allclose(gpu[name], values, rtol=1e-3, atol=1e-4, err_msg=name)


@needs_gpu
@pytest.mark.parametrize("kind", ALL)
def test_what_a_gpu_learnt_goes_on_and_acts_on_the_cpu(kind: str) -> None:
    gpu, cpu = agent_on(kind, "cuda"), agent_on(kind, "cpu")
    gpu.update(batch_on(kind, 0, "cuda"))
    cpu.load_state_dict(gpu.state_dict())
    batch = batch_on(kind, 1, "cpu")
    inputs, goals = batch.inputs.numpy(), batch.goals.numpy()
    np.testing.assert_allclose(cpu.act(inputs, goals), gpu.act(inputs, goals), rtol=1e-3, atol=1e-4)
    metrics = cpu.update(batch)
    np.testing.assert_allclose(metrics["finite"], gpu.update(batch_on(kind, 1, "cuda"))["finite"].cpu(), rtol=1e-3, atol=1e-4)
