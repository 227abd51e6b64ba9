"""The shape of a latent space after a fit: where its codes lie, and how much each dimension changes what is decoded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

STEP = 0.05  # in the posterior's own units, where latents spread over about one


def picture_effect(decode: Callable[[torch.Tensor], torch.Tensor], latents: torch.Tensor) -> NDArray[np.float32]:
    """Return (d,) the root-mean-square change of the decoded picture per unit of each latent, by central differences at `latents` (n, d).

    A picture's change is the root of its summed squared pixel differences, pixels in [0, 1]: latents multiplied by these factors have
    Euclidean distances that approximate distances between pictures. A dimension that changes nothing keeps a thousandth of the largest
    factor, so that it can be divided by.
    """
    effect = np.empty(latents.shape[1], dtype=np.float64)
    with torch.inference_mode():
        for dim in range(latents.shape[1]):
            shift = torch.zeros_like(latents)
            shift[:, dim] = STEP
            change = (decode(latents + shift) - decode(latents - shift)).flatten(1) / (2 * STEP)
            effect[dim] = float(change.square().sum(dim=1).mean().sqrt())
    largest = max(float(effect.max()), 1e-6)
    return np.maximum(effect, 1e-3 * largest).astype(np.float32)


def gaussian_of(codes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean (d,) and factor L (d, d), covariance L Lᵀ, of the Gaussian with the moments of `codes` (n, d), any n ≥ 1."""
    mean = codes.mean(axis=0, dtype=np.float64)
    centred = codes - mean
    # a square root that exists for singular covariances too, where Cholesky's does not
    values, vectors = np.linalg.eigh(centred.T @ centred / len(codes))
    return mean.astype(np.float32), (vectors * np.sqrt(np.maximum(values, 0.0))).astype(np.float32)
