"""How evenly a set of states covers a range: entropy and share of the cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.api import Floats


def grid_coverage(values: Floats, low: Sequence[float], high: Sequence[float], cells: Sequence[int]) -> dict[str, float]:
    """Return ``entropy`` (nats, at most the log of the number of cells) and ``coverage`` (share of the cells seen) of (n, k) values.

    Values outside [low, high] count in the nearest cell. The entropy is the plug-in estimate and cannot exceed ln n: compare equal n.
    """
    values = np.asarray(values, np.float64).reshape(-1, len(cells))
    low_array, shape = np.asarray(low, np.float64), np.asarray(cells)
    index = np.floor((values - low_array) / (np.asarray(high) - low_array) * shape).astype(np.int64)
    flat = np.ravel_multi_index(tuple(np.clip(index, 0, shape - 1).T), tuple(int(size) for size in cells))
    counts = np.bincount(flat, minlength=int(np.prod(shape)))
    shares = counts[counts > 0] / max(int(counts.sum()), 1)
    return {"entropy": float(-np.sum(shares * np.log(shares))) + 0.0, "coverage": float(np.mean(counts > 0))}
