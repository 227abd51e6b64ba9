"""Plans that meet: what can come of a start and what can have led to a goal, joined where the two are nearest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from goal_samplers.planners.affordance import Affordances
from goal_samplers.planners.ways import Ways
from representations.api import Floats

KEPT = 1024  # ends of either side that are compared with each other
PROPOSED = 16  # plans of each way to share the pieces out
TRIED = 16  # changes to each plan in an iteration
WIDE, NARROW = 0.5, 0.05  # deviations of the first changes to codes and of the last ones
CHANGED = 0.6  # share of a plan's pieces that a change concerns


def met(
    ways: Ways, backward: Affordances, start: Floats, goal: Floats, steps: int, *, candidates: int, iterations: int, seed: int
) -> Tensor:
    """Return (m, c) codes of the best plan of at most `steps` = m pieces from `start` (d,) to `goal` (d,): `meeting`, then `refined`."""
    plans = meeting(ways, backward, start, goal, steps, candidates=candidates, seed=seed)
    return refined(lambda codes: ways.least(start[None], goal[None], codes), plans, iterations=iterations, seed=seed)


def meeting(ways: Ways, backward: Affordances, start: Floats, goal: Floats, steps: int, *, candidates: int, seed: int) -> Tensor:
    """Return (p, m, c) codes of plans of at most `steps` = m pieces from `start` (d,) to near `goal` (d,).

    From either end `candidates` sequences of codes are drawn, for half of the pieces each; the `KEPT` of them whose pieces cost least may
    meet. Plans that take fewer pieces go on with codes of 0.
    """
    generator, depth = torch.Generator().manual_seed(seed), (steps + 1) // 2
    ahead, behind = (torch.randn(candidates, depth, ways.models.codes, generator=generator) for _ in range(2))
    came = Ways(backward, ways.level, ways.cost).paths(goal[None], behind)
    begun, ended = _kept(ways, ways.paths(start[None], ahead), ahead), _kept(ways, came, behind, turn=True)
    plans = []
    for first, (paths, cost) in enumerate(begun):
        for rest, (others, further) in enumerate(ended):
            if not 1 <= first + rest <= steps:
                continue
            total = torch.cdist(torch.from_numpy(paths[:, -1]), torch.from_numpy(others[:, 0])) + cost[:, None] + further
            best = total.flatten().topk(min(PROPOSED, total.numel()), largest=False).indices.numpy()
            way = np.concatenate([paths[best // total.shape[1]], others[best % total.shape[1], 1:]], axis=1)
            plans.append(_codes(ways, way, steps))
    return torch.cat(plans)


def _kept(ways: Ways, paths: Floats, codes: Tensor, turn: bool = False) -> list[tuple[Floats, Tensor]]:
    """Return for each number of pieces from 0 the cheapest paths (k, pieces + 1, d) and their costs (k,); those that `turn` lead backward,
    and are returned as they would be gone."""
    found = [(paths[:1, :1], torch.zeros(1))]
    for pieces in range(1, codes.shape[1] + 1):
        some, own = paths[:, : pieces + 1], codes[:, :pieces]
        if turn:
            some, own = np.ascontiguousarray(some[:, ::-1]), own.flip(1)
        cost = torch.from_numpy(ways.costs(some, some[:, -1], own)[:, -1])  # toward where it ends itself: its pieces alone
        cheapest = cost.topk(min(KEPT, len(cost)), largest=False).indices
        found.append((some[cheapest.numpy()], cost[cheapest]))
    return found


def _codes(ways: Ways, paths: Floats, steps: int) -> Tensor:
    """Return (n, steps, c) the codes by which the model would go along `paths` (n, m + 1, d), from where it comes out itself."""
    models, (n, points, width) = ways.models, paths.shape
    wanted = models.standardised(paths.reshape(-1, width)).view(n, points, width)
    z, codes = wanted[:, 0], torch.zeros(n, steps, models.codes)
    for step in range(1, points):
        codes[:, step - 1] = models.code(ways.level, z, wanted[:, step])
        z = models.unrolled(ways.level, z, codes[:, step - 1 : step])[:, 0]
    return codes


def refined(cost: Callable[[Tensor], Tensor], plans: Tensor, *, iterations: int, seed: int) -> Tensor:
    """Return (m, c) the best codes found by changing each of the `plans` (p, m, c) at random where that costs less, ever more finely.

    cost: (n, m, c) -> (n,).
    """
    generator = torch.Generator().manual_seed(seed)
    (kept, steps, codes), costs = plans.shape, cost(plans)
    every = torch.arange(kept)
    for iteration in range(iterations):
        width = WIDE * (NARROW / WIDE) ** (iteration / max(1, iterations - 1))
        changed = (torch.rand(kept, TRIED, steps, 1, generator=generator) < CHANGED).float()
        tried = plans[:, None] + width * changed * torch.randn(kept, TRIED, steps, codes, generator=generator)
        found, index = cost(tried.flatten(0, 1)).view(kept, TRIED).min(1)
        better = found < costs
        plans = torch.where(better[:, None, None], tried[every, index], plans)
        costs = torch.where(better, found, costs)
    return plans[costs.argmin()]
