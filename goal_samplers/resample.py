"""Importance resampling in log space: sharp weights underflow as soon as they are exponentiated raw."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from representations.api import Experience, Rows


def normalise(log_weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return (n,) probabilities ∝ exp(log_weights), by subtracting the largest first; −inf is probability 0.

    Raises `FloatingPointError` for NaN or +inf, or where every weight is −inf: a density has diverged.
    """
    logs = np.asarray(log_weights, np.float64)
    if np.isnan(logs).any() or np.isposinf(logs).any() or not (logs > -np.inf).any():
        raise FloatingPointError(
            f"goal sampler: {int((~np.isfinite(logs)).sum())} of {logs.size} log weights are not finite; the density has diverged"
        )
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum(), np.float64)


def clip_largest(log_weights: NDArray[Any], share: float) -> NDArray[Any]:
    """Return (n,) log weights with the largest `share` of them (rounded down) cut to the next largest: truncated importance sampling.

    At `share` 0.01 at least 1 % of n equal weights are on top, hence the effective sample size is at least 0.01·n.
    """
    cut = int(len(log_weights) * share)
    if cut == 0:
        return log_weights
    clipped: NDArray[Any] = np.minimum(log_weights, np.partition(log_weights, -cut - 1)[-cut - 1])
    return clipped


def effective_sample_size(log_weights: NDArray[Any]) -> float:
    """Return 1 / Σ p² of the normalised weights: n where they are equal, 1 where one row has everything (Kish 1965)."""
    return float(1.0 / np.square(normalise(log_weights)).sum())


def resample(rows: Rows, log_weights: NDArray[Any], n: int, generator: np.random.Generator) -> Rows:
    """Return (n,) of the candidate `rows` (m,), each about n·p times and never off by one or more, in random order.

    Systematic resampling: one random offset and a comb over the cumulative weights, which has less variance than n independent draws.
    """
    cumulative = np.cumsum(normalise(log_weights))
    comb = (np.arange(n) + generator.random()) / n * cumulative[-1]
    chosen = np.minimum(np.searchsorted(cumulative, comb, side="right"), len(rows) - 1)
    return np.asarray(rows)[generator.permutation(chosen)]


class RowPool:
    """Training rows on demand, weighted by a sampler's ``log_weights`` where it has them: what `fit` methods are given as ``draw``.

    The candidates are drawn and weighted once, at the first call, since weights may cost milliseconds a frame; the number is the sampler's
    ``candidates`` or 4096. Without weights every call draws uniformly over the experience.
    """

    def __init__(self, experience: Experience, sampler: object | None, generator: np.random.Generator) -> None:
        self._experience, self._generator = experience, generator
        self._sampler = sampler if hasattr(sampler, "log_weights") else None
        self._weighted: tuple[Rows, NDArray[Any]] | None = None

    def __call__(self, n: int) -> Rows:
        """Return (n,) training rows, with replacement."""
        if self._sampler is None:
            return self._experience.sample_rows(n, self._generator)
        if self._weighted is None:
            rows = self._experience.sample_rows(getattr(self._sampler, "candidates", 4096), self._generator)
            self._weighted = rows, self._sampler.log_weights(self._experience, rows, self._generator)
        return resample(*self._weighted, n, self._generator)
