"""Principal components of rows, however few or alike they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from representations.api import Floats


def random_basis(width: int, count: int, seed: int) -> Floats:
    """Return (count, width) orthonormal directions, the same for one seed: a projection before anything is fitted."""
    basis = np.random.default_rng(seed).standard_normal((width, count))
    return np.ascontiguousarray(np.linalg.qr(basis)[0].T, dtype=np.float32)


def principal(rows: Floats, count: int, generator: np.random.Generator) -> tuple[Floats, NDArray[np.float64]]:
    """Return the `count` leading principal components (count, w) of rows (n, w), by scikit-learn, and their variances (count,).

    Where there are fewer directions, down to none in identical rows, the rest are zeros.
    """
    components, variance = np.zeros((count, rows.shape[1]), np.float32), np.zeros(count)
    if np.ptp(rows, axis=0).any():
        found = min(count, *rows.shape)
        # exact and fast while rows are narrow: the covariance is (w, w)
        solver = "covariance_eigh" if rows.shape[1] <= 2048 and len(rows) > rows.shape[1] else "randomized"
        pca = PCA(found, svd_solver=solver, random_state=int(generator.integers(2**31))).fit(rows)
        components[:found], variance[:found] = pca.components_, pca.explained_variance_
    return components, variance
