"""Our Adam takes torch's own steps, whatever has a gradient, and goes on from a saved state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gcrl.agents.state import adam_state, load_adam
from representations.adam import Adam


def loss_of(network: nn.Module, step: int, *, first_only: bool = False) -> Tensor:
    x = torch.randn((7, 3), generator=torch.Generator().manual_seed(step))
    out: Tensor = network[0](x) if first_only else network(x)  # type: ignore[index]
    return out.square().mean()


def pair() -> tuple[nn.Module, nn.Module]:
    networks = [nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    return networks[0], networks[1]


def test_steps_are_those_of_torch_bit_by_bit() -> None:
    ours, theirs = pair()
    adam, reference = Adam(0.01, ours), torch.optim.Adam(theirs.parameters(), lr=0.01, fused=True)
    for step, first_only in enumerate([True, False, False, True, False, False]):  # some parameters have no gradient at some steps
        adam.descend(loss_of(ours, step, first_only=first_only))
        reference.zero_grad(set_to_none=True)
        loss_of(theirs, step, first_only=first_only).backward()  # type: ignore[no-untyped-call]
        reference.step()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(one, other)


def test_parameters_without_gradients_stay_where_they_are() -> None:
    network, before = pair()
    adam = Adam(0.01, network)
    adam.step()
    assert all(torch.equal(one, two) for one, two in zip(network.parameters(), before.parameters(), strict=True))


def test_a_loaded_state_replaces_the_moments_in_use() -> None:
    through, other = pair()
    adam, later = Adam(0.01, through), Adam(0.01, other)
    for step in range(3):
        adam.descend(loss_of(through, step))
        later.descend(loss_of(other, 10 + step))
    other.load_state_dict(through.state_dict())
    load_adam(later, adam_state(adam), "test")
    for step in range(3, 6):
        adam.descend(loss_of(through, step))
        later.descend(loss_of(other, step))
    assert all(torch.equal(one, two) for one, two in zip(through.parameters(), other.parameters(), strict=True))
    assert float(adam_state(later)["0"]["step"]) == 6.0
