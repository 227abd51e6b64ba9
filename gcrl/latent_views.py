"""Ways to look at a latent space: what its entries draw, what lies between frames, what is near, what falls on the way to a goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

Decode = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
STEPS = 7  # pictures of a traversal or an interpolation
REACH = 2.0  # standard deviations to either side of the mean


@dataclass
class Route:
    """An episode toward a goal: latent (T+1,) and true (T+1,) distances that are left at every frame, each as a share of the first."""

    latent: NDArray[np.float64]
    true: NDArray[np.float64]


def traversals(decode: Decode, latents: NDArray[np.float32], most: int = 12) -> tuple[list[int], list[NDArray[np.uint8]]]:
    """Return the entries of latents (n, d) that vary most, and for each `STEPS` pictures: the mean, that entry moved `REACH` deviations."""
    mean, spread = latents.mean(axis=0), latents.std(axis=0)
    chosen = np.argsort(-spread, kind="stable")[:most]
    rows = []
    for index in chosen:
        moved = np.repeat(mean[None], STEPS, axis=0)
        moved[:, index] += np.linspace(-REACH, REACH, STEPS) * spread[index]
        rows.append(decode(moved.astype(np.float32)))
    return chosen.tolist(), rows


def interpolations(decode: Decode, latents: NDArray[np.float32], pairs: Sequence[tuple[int, int]]) -> list[NDArray[np.uint8]]:
    """Return for each pair of rows `STEPS` pictures on the straight line between their latents, both ends included."""
    along = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]
    return [decode((1 - along) * latents[one] + along * latents[other]) for one, other in pairs]


def far_pairs(factors: NDArray[np.float64], count: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Return `count` pairs of rows whose factors (n, f) differ much: of 50 random pairs each time the one that differs most."""
    scaled = factors / np.maximum(factors.std(axis=0), 1e-12)
    pairs = []
    for _ in range(count):
        one, other = generator.integers(len(factors), size=(2, 50))
        best = int(np.argmax(np.linalg.norm(scaled[one] - scaled[other], axis=1)))
        pairs.append((int(one[best]), int(other[best])))
    return pairs


def neighbours(latents: NDArray[np.float32], episodes: NDArray[np.int64], shown: Sequence[int], count: int = 3) -> NDArray[np.int64]:
    """Return (count, m) rows nearest in latent space to the rows `shown` (m,), one per other episode."""
    out = []
    for row in shown:
        order = np.argsort(np.square(latents - latents[row]).sum(axis=1), kind="stable")
        order = order[episodes[order] != episodes[row]]
        _, first = np.unique(episodes[order], return_index=True)
        best = order[np.sort(first)][:count]
        out.append(np.resize(best if len(best) else [row], count))
    return np.array(out, dtype=np.int64).T


def plane_map(latents: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return the two leading principal components (n, 2) of latents (n, d), and the share of their variance that these show."""
    centred = latents.astype(np.float64) - latents.mean(axis=0)
    width = min(2, centred.shape[1])
    _, singular, axes = np.linalg.svd(centred[:2000], full_matrices=False)
    shown = float(np.square(singular[:2]).sum() / max(np.square(singular).sum(), 1e-12))
    return np.pad(centred @ axes[:width].T, [(0, 0), (0, 2 - width)]), shown


def route(latents: NDArray[np.float32], goal: NDArray[np.float32], factors: NDArray[np.float64], wanted: NDArray[np.float64]) -> Route:
    """Return how far an episode's latents (T+1, d) are from a goal (d,), and its scaled factors (T+1, f) from those `wanted` (f,)."""
    latent, true = np.linalg.norm(latents - goal, axis=1), np.linalg.norm(factors - wanted, axis=1)
    return Route(latent / max(float(latent[0]), 1e-12), true / max(float(true[0]), 1e-12))


def follows(routes: Sequence[Route]) -> float:
    """Return the mean rank correlation along `routes` of the latent distance with the true one; NaN where neither varies anywhere."""
    varying = [one for one in routes if np.ptp(one.latent) > 0 and np.ptp(one.true) > 0]
    return float(np.mean([spearmanr(one.latent, one.true).statistic for one in varying])) if varying else float("nan")
