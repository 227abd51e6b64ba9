"""A first look at a latent space before any policy: what it holds, and what its distances follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from envs.errors import UserError

RIDGE = 1e-3  # relative to unit-variance inputs
PAIRS = 5000


@dataclass(frozen=True)
class FactorProbe:
    """What a latent space knows of one state factor, measured on held-out rows; correlations and R² have no unit.

    r2: of a ridge regression from latents to the factor. pearson, spearman: correlation of pairwise latent distance with the absolute
    difference in the factor. neighbour_error: mean absolute difference to the training row that is nearest in latent space, in the
    factor's unit; chance_error: the same to a random training row. NaN for a factor that does not vary.
    """

    factor: str
    r2: float
    pearson: float
    spearman: float
    neighbour_error: float
    chance_error: float


def probe(
    latents: NDArray[Any],
    factors: NDArray[Any],
    names: Sequence[str],
    generator: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> list[FactorProbe]:
    """Return one row per factor, from latents (n, d) and state factors (n, f) with `names` (f,); a third of the rows is held out.

    groups: (n,) episode of each row; whole episodes are then held out, since a frame's neighbours in time are near copies of it.
    Raises `UserError` for fewer than 9 rows, fewer than 3 groups or shapes that do not match.
    """
    latents, factors = np.asarray(latents, np.float64), np.asarray(factors, np.float64)
    groups = np.arange(len(latents)) if groups is None else groups
    if len(latents) != len(factors) or len(groups) != len(latents) or factors.shape[1] != len(names):
        raise UserError(
            f"probe: {latents.shape} latents, {factors.shape} factors, {len(names)} names; expected equal rows and a name per factor"
        )
    kinds = np.unique(groups)
    if len(latents) < 9 or len(kinds) < 3:
        raise UserError(f"probe: {len(latents)} rows in {len(kinds)} groups; expected at least 9 rows in 3 groups")
    held = np.isin(groups, generator.permutation(kinds)[: max(len(kinds) // 3, 1)])
    seen_z, held_z, seen_f, held_f = latents[~held], latents[held], factors[~held], factors[held]

    predicted = _ridge(seen_z, seen_f, held_z)
    one, other = generator.integers(len(held_z), size=(2, PAIRS))
    distance = np.linalg.norm(held_z[one] - held_z[other], axis=1)
    nearest = np.array([np.argmin(np.square(seen_z - z).sum(axis=1)) for z in held_z[:1000]])
    random = generator.integers(len(seen_z), size=len(nearest))
    table = []
    for index, name in enumerate(names):
        truth, seen = held_f[:, index], seen_f[:, index]
        difference = np.abs(truth[one] - truth[other])
        varies = truth.std() > 0 and distance.std() > 0
        table.append(
            FactorProbe(
                factor=name,
                r2=float(1 - np.square(predicted[:, index] - truth).mean() / truth.var()) if truth.std() > 0 else float("nan"),
                pearson=float(pearsonr(distance, difference).statistic) if varies else float("nan"),
                spearman=float(spearmanr(distance, difference).statistic) if varies else float("nan"),
                neighbour_error=float(np.abs(seen[nearest] - truth[: len(nearest)]).mean()),
                chance_error=float(np.abs(seen[random] - truth[: len(nearest)]).mean()),
            )
        )
    return table


def _ridge(x: NDArray[np.float64], y: NDArray[np.float64], query: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (m, f) predictions at `query` (m, d) of a ridge regression with intercept from x (n, d) to y (n, f)."""
    center, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-12)
    x, query = (x - center) / spread, (query - center) / spread
    gram = x.T @ x / len(x) + RIDGE * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (y - y.mean(axis=0)) / len(x))
    return np.asarray(query @ weights + y.mean(axis=0), np.float64)
