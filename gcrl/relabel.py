"""Hindsight: which goal a stored transition is learnt for."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.goal_records import GoalBatch
from gcrl.replay import Replay
from goal_samplers.imagined import imagined
from representations.api import Floats, Rows

__all__ = ["GoalBatch", "Relabel", "later"]

SUM_TOLERANCE = 1e-6


class Relabel:
    """Mixes goals by fractions that sum to 1 (HER, Andrychowicz et al. 2017, section 4.5; RIG, Nair et al. 2018, section 4.4).

    rollout: the goal that the episode was after; where it had none (random warm-up), a stored frame drawn uniformly. future: an
    achieved goal of the same episode, uniform over rows t+1 to T. final: the episode's last achieved goal (row T). next: row t+1.
    sampler: a goal from the pool. geometric: a frame of the same episode, row t+k with k drawn geometrically with mean 1/(1-discount),
    at most T (OGBench, Park et al. 2024, app. C). Imagined goals of the sampler are put into the scene of the transition where the
    representation can (CC-RIG, Nair et al. 2019). random: a stored frame drawn uniformly. Where goals are more than a latent, a stored
    frame gives the latent alone (`_kept`).
    Stratified: of n rows, a share f takes n·f, rounded up or down at random so that the expectation is exact.
    name: the configuration group, for errors. Raises `UserError` naming a fraction that is negative or a sum that is not 1.
    """

    def __init__(
        self,
        rollout: float = 0.2,
        future: float = 0.5,
        final: float = 0.0,
        next: float = 0.0,
        sampler: float = 0.3,
        geometric: float = 0.0,
        random: float = 0.0,
        discount: float = 0.99,
        name: str = "relabel",
    ) -> None:
        if not isinstance(discount, int | float) or not 0 <= discount < 1:
            raise UserError(f"{name}.discount={discount!r}; expected at least 0 and less than 1")
        self.discount, self.name = discount, name
        self.fractions = {"rollout": rollout, "future": future, "final": final, "next": next, "geometric": geometric, "random": random}
        self.fractions |= {"sampler": sampler}
        for part, fraction in self.fractions.items():
            if not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
                raise UserError(f"{name}.{part}={fraction!r}; expected a fraction between 0 and 1")
        total = sum(self.fractions.values())
        if abs(total - 1) > SUM_TOLERANCE:
            listed = ", ".join(f"{part}={fraction:g}" for part, fraction in self.fractions.items())
            raise UserError(f"{name} fractions sum to {total:g} ({listed}); expected a sum of 1")
        self._bounds = [min(1.0, bound / total + 1e-12) for bound in itertools.accumulate(self.fractions.values())]

    def __call__(self, replay: Replay, rows: Rows, generator: np.random.Generator) -> GoalBatch:
        """Return goals for the transitions at `rows` (n,), which must come in random order (as from `sample_transitions`).

        The order matters since each share is a block of `rows`.
        """
        n, last, records = len(rows), replay.ring.last, replay.goal_records
        # One shared uniform offset makes every block's expected size n times its fraction, whatever the rounding.
        offset = generator.random()
        cuts = [0, *(min(n, int(bound * n + offset)) for bound in self._bounds)]
        rollout, future, final, following, geometric, random, sampler = itertools.starmap(slice, itertools.pairwise(cuts))
        params, achieved = np.empty((n, replay.goal_dim), np.float32), np.empty((n, replay.achieved_dim), np.float32)
        sources = np.empty(n, np.int64)

        owners = replay.ring.number.take(rows[rollout])
        params[rollout], sources[rollout], achieved[rollout] = records.at(owners)
        sources[future] = later(rows[future], last, generator)
        if final.stop > final.start:
            sources[final] = last.take(rows[final])
        if following.stop > following.start:
            sources[following] = rows[following] + 1
        if geometric.stop > geometric.start:
            ahead = generator.geometric(1.0 - self.discount, geometric.stop - geometric.start)
            sources[geometric] = np.minimum(rows[geometric] + ahead, last.take(rows[geometric]))
        if random.stop > random.start:
            sources[random] = replay.sample_rows(random.stop - random.start, generator)
        seen: slice | Rows = slice(future.start, random.stop)  # whose goal is a stored frame
        goalless = np.flatnonzero(~records.known.take(owners - records.base)) if records.goalless else owners[:0]
        if len(goalless):
            # Not hindsight: that would teach a mix which has no share of it.
            sources[goalless] = replay.sample_rows(len(goalless), generator)
            seen = np.concatenate([goalless, np.arange(future.start, random.stop)])
        both = replay.gather(sources[seen], ("latent", "achieved_goal"))
        latent = slice(replay.goal_space.latent_dim)
        params[seen, latent], achieved[seen] = both[:, latent], both[:, latent.stop :]
        if latent.stop < replay.goal_dim:
            params[seen, latent.stop :] = _kept(replay, rows[seen], generator)[:, latent.stop :]
        chosen = owners[:0]
        if sampler.stop > sampler.start:
            pool = replay.pool
            if pool is None or pool.achieved is None:
                raise UserError(f"{self.name}.sampler={self.fractions['sampler']:g} needs sampler goals, but replay's pool was not set yet")
            chosen = generator.integers(0, len(pool), size=sampler.stop - sampler.start)
            params[sampler], sources[sampler] = pool.params.take(chosen, axis=0), pool.rows.take(chosen)
            achieved[sampler] = pool.achieved.take(chosen, axis=0)
            if replay.in_scene is not None:
                moved = sampler.start + np.flatnonzero(imagined(sources[sampler], achieved[sampler]))
                params[moved, latent] = replay.in_scene(params[moved, latent], replay.read("latent", rows[moved]))

        def draw() -> NDArray[np.uint8]:
            images = replay.read("image", np.maximum(sources, 0))
            images[rollout] = records.images_of(owners)
            if len(goalless):
                images[goalless] = replay.read("image", sources[goalless])
            if replay.pool is not None and replay.pool.images is not None:
                images[sampler] = replay.pool.images.take(chosen, axis=0)
            return images

        return GoalBatch(params, sources, achieved, None if records.images is None else draw)


def _kept(replay: Replay, rows: Rows, generator: np.random.Generator) -> Floats:
    """Return (n, k) the goals that the episodes of `rows` (n,) were after; where one had none, a goal of the pool.

    A hindsight goal takes its place from what was reached, and from these how exactly it is to be met (DisCo RL, Nasiriany et al. 2021).
    """
    own, pool = replay.goal_records.at(replay.ring.number.take(rows))[0], replay.pool
    without = np.flatnonzero(np.isnan(own).any(axis=1))
    if len(without) and pool is not None and len(pool):
        own[without] = pool.params[generator.integers(len(pool), size=len(without))]
    elif len(without):
        own[without] = replay.goal_space.points(np.zeros((len(without), replay.goal_space.latent_dim), np.float32))
    return own


def later(rows: Rows, last: Rows, generator: np.random.Generator) -> Rows:
    """Return (n,) rows of the same episodes, uniform from row + 1 to the last row, which `last` holds for every row of replay."""
    left = last.take(rows) - rows
    later_rows: Rows = rows + 1 + (generator.random(len(rows)) * left).astype(np.int64)
    return later_rows
