"""Means with 95 % intervals, over episodes or over seeds; and from how many rows figures of a latent space are estimated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # not scipy.stats, whose import every command would wait for

MOST_BYTES = 1 << 25  # of rows drawn at once to estimate means, spreads and scales


def affordable(n: int, width: int) -> int:
    """Return `n`, or as many rows of `width` float32 as fit in 32 MB (at least 2): a picture taken as a latent has thousands of entries."""
    return min(n, max(2, MOST_BYTES // (4 * width)))


def mean_interval(values: Sequence[float] | NDArray[Any], low: float = -np.inf, high: float = np.inf) -> tuple[float, float, float]:
    """Return (mean, lower, upper): the mean of `values` and its 95 % Student-t interval, clipped to [low, high].

    A single value has no interval: its bounds are NaN.
    """
    array = np.asarray(values, float)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, float("nan"), float("nan")
    half = float(stdtrit(len(array) - 1, 0.975) * array.std(ddof=1) / np.sqrt(len(array)))
    return mean, float(np.clip(mean - half, low, high)), float(np.clip(mean + half, low, high))


def interquartile_mean(values: Sequence[float] | NDArray[Any]) -> float:
    """Return the mean of what is left without the lowest and the highest quarter (rounded down) of `values`, robust against a stray seed.

    With fewer than four values it is the mean. Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice".
    """
    from scipy.stats import trim_mean

    return float(trim_mean(np.asarray(values, float), 0.25))


def bootstrap_interval(values: Sequence[float] | NDArray[Any], resamples: int = 2000) -> tuple[float, float, float]:
    """Return (interquartile mean, lower, upper): a 95 % percentile bootstrap over `values` (seeds), the same at every call.

    A single value has no interval: its bounds are NaN. With fewer than about ten values such an interval is narrower than it should be.
    """
    from scipy.stats import trim_mean

    array = np.asarray(values, float)
    if len(array) < 2:
        return interquartile_mean(array), float("nan"), float("nan")
    drawn = array[np.random.default_rng(0).integers(len(array), size=(resamples, len(array)))]
    low, high = np.quantile(trim_mean(drawn, 0.25, axis=1), [0.025, 0.975])
    return interquartile_mean(array), float(low), float(high)


def paired_difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float, str]:
    """Return (mean of a − b, lower, upper, verdict) over paired seeds; the verdict is ``>``, ``<`` or ``tie`` at 95 %."""
    if len(a) != len(b):
        raise ValueError(f"paired samples differ in number: {len(a)} and {len(b)}")
    mean, low, high = mean_interval(np.asarray(a, float) - np.asarray(b, float))
    verdict = ">" if low > 0 else "<" if high < 0 else "tie"
    return mean, low, high, verdict
