"""Searching sequences of codes: by weighted averages (MPPI) or by elites (CEM), many problems at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

METHODS = ("cem", "mppi")
SMALLEST_STD = 0.2  # CEM's, so that a search does not end in its first guess


def search(
    cost: Callable[[Tensor], Tensor],
    problems: int,
    steps: int,
    codes: int,
    *,
    method: str,
    candidates: int,
    iterations: int,
    temperature: float,
    seed: int,
) -> Tensor:
    """Return (n, m, c) the best codes seen for each of n `problems` of m `steps`.

    cost: (n, p, m, c) -> (n, p). The search begins with N(0, I), the codes' own prior, and draws `candidates` in each iteration. All
    problems are given the same noise, which follows from `seed`, so none depends on the others.
    method: "mppi" moves the mean to the average weighted by exp(−cost / `temperature`), costs in units of their deviation (Williams et al.
    2017, "Information theoretic MPC"); "cem" moves mean and deviation to those of the best eighth (Rubinstein 1999).
    """
    generator = torch.Generator().manual_seed(seed)
    mean, std = torch.zeros(problems, 1, steps, codes), torch.ones(problems, 1, steps, codes)
    best, least = torch.zeros(problems, steps, codes), torch.full((problems,), float("inf"))
    every = torch.arange(problems)
    for _ in range(iterations):
        drawn = mean + std * torch.randn(candidates, steps, codes, generator=generator)
        costs = cost(drawn)
        found, index = costs.min(1)
        better = found < least
        best[better], least[better] = drawn[every, index][better], found[better]
        if method == "mppi":
            spread = costs.std(1, correction=0, keepdim=True).clamp(min=1e-6)
            weights = torch.softmax(-(costs - found[:, None]) / (temperature * spread), 1)
            mean = (weights[..., None, None] * drawn).sum(1, keepdim=True)
        else:
            elites = drawn[every[:, None], costs.topk(max(1, candidates // 8), largest=False).indices]
            mean, std = elites.mean(1, keepdim=True), elites.std(1, correction=0, keepdim=True).clamp(min=SMALLEST_STD)
    return best
