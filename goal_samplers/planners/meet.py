"""Plans that meet: what can come of a start and what can have led to a goal, joined where the two are nearest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from goal_samplers.planners.affordance import Affordances

DEPTH = 2  # pieces from either end
KEPT = 1024  # ends of either side that are compared with each other
PROPOSED = 16  # plans of each way to share the pieces out
TRIED = 16  # changes to each plan in an iteration
WIDE, NARROW = 0.5, 0.05  # deviations of the first changes to codes and of the last ones
CHANGED = 0.6  # share of a plan's pieces that a change concerns

Judge = Callable[[Tensor, Tensor], Tensor]  # paths (n, m + 1, d), codes (n, m, c) -> (n,) what their pieces cost


def meeting(
    forward: Affordances,
    backward: Affordances,
    level: int,
    start: Tensor,
    goal: Tensor,
    steps: int,
    judge: Judge,
    *,
    candidates: int,
    seed: int,
) -> Tensor:
    """Return (p, m, c) codes of plans of at most `steps` = m pieces from `start` (d,) to near `goal` (d,), standardised as `forward` does.

    `candidates` sequences are drawn from either end; the `KEPT` of them whose pieces cost least by `judge` may meet. Plans that take fewer
    pieces go on with codes of 0.
    """
    generator, depth = torch.Generator().manual_seed(seed), min(DEPTH, steps)
    ends = []
    for models, root, turn in ((forward, start, False), (backward, _between(forward, backward, goal), True)):
        codes = torch.randn(candidates, depth, models.codes, generator=generator)
        grown = models.unrolled(level, root.expand(candidates, -1), codes)
        paths = torch.cat([root.expand(candidates, 1, -1), grown], 1)
        ends.append(_kept(_between(backward, forward, paths) if turn else paths, codes, judge, turn))
    plans = []
    for ahead, (paths, cost) in enumerate(ends[0]):
        for behind, (rest, further) in enumerate(ends[1]):
            if not 1 <= ahead + behind <= steps:
                continue
            total = torch.cdist(paths[:, -1], rest[:, 0]) + cost[:, None] + further
            best = total.flatten().topk(min(PROPOSED, total.numel()), largest=False).indices
            way = torch.cat([paths[best // total.shape[1]], rest[best % total.shape[1], 1:]], 1)
            plans.append(_codes(forward, level, way, steps))
    return torch.cat(plans)


def _kept(paths: Tensor, codes: Tensor, judge: Judge, turn: bool) -> list[tuple[Tensor, Tensor]]:
    """Return for each depth from 0 the cheapest paths (k, depth + 1, d) and their costs (k,); forward in time, where they `turn` too."""
    found = [(paths[:1, :1], torch.zeros(1))]
    for depth in range(1, codes.shape[1] + 1):
        some, own = paths[:, : depth + 1], codes[:, :depth]
        if turn:
            some, own = some.flip(1), own.flip(1)
        cost = judge(some, own)
        cheapest = cost.topk(min(KEPT, len(cost)), largest=False).indices
        found.append((some[cheapest], cost[cheapest]))
    return found


def _between(given: Affordances, wanted: Affordances, z: Tensor) -> Tensor:
    """Return z (..., d), standardised as `given` does, as `wanted` does."""
    return wanted.standardised(given.latents(z.reshape(-1, z.shape[-1]))).reshape(z.shape)


@torch.no_grad()
def _codes(models: Affordances, level: int, paths: Tensor, steps: int) -> Tensor:
    """Return (n, steps, c) the codes by which the model would go along `paths` (n, m + 1, d), from where it comes out itself."""
    z, codes = paths[:, 0], torch.zeros(len(paths), steps, models.codes)
    for step in range(1, paths.shape[1]):
        codes[:, step - 1] = models.code(level, z, paths[:, step])
        z = models.unrolled(level, z, codes[:, step - 1 : step])[:, 0]
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
