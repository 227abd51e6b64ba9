"""DisCo's goals: a Gaussian over latents, which says what matters about a goal and how exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError, unknown
from representations.api import Floats

MOST_FULL = 64  # latent dimensions whose full precision (2080 numbers) a policy can be told


class GaussianGoals:
    """A goal is a mean (d) and a precision P (d × d), flattened: its upper triangle row by row, or its diagonal alone.

    P is told in units of min_std⁻²: the identity for a goal that is one latent, near zero along what does not matter. So its entries lie
    in [−1, 1] and networks take them as they are.
    covariance: "full", or "diagonal", which cannot say that two factors matter in relation to each other. min_std: latent units, below
    which a set of examples counts as agreeing. condition: largest ratio of the variances along two directions, so that what does not
    matter keeps a little weight and no direction in which few examples happen to agree is taken for all that matters.
    Source: DisCo RL (Nasiriany, Pong, Nair, Khazatsky, Berseth & Levine 2021, "DisCo RL: Distribution-conditioned reinforcement learning
    for general-purpose policies"), which conditions the policy on mean and covariance. Raises `UserError` for arguments out of range and
    for a full precision of more than 64 dimensions.
    """

    def __init__(self, latent_dim: int, covariance: str = "full", min_std: float = 0.1, condition: float = 1000.0) -> None:
        if covariance not in ("full", "diagonal"):
            raise unknown("goal_space.covariance", covariance, ("diagonal", "full"))
        if covariance == "full" and latent_dim > MOST_FULL:
            raise UserError(
                f"goal_space.covariance=full with {latent_dim} latent dimensions; expected at most {MOST_FULL}, "
                "or goal_space.covariance=diagonal"
            )
        if not 0 < min_std < float("inf"):
            raise UserError(f"goal_space.min_std={min_std!r}; expected a positive number of latent units")
        if not 1 <= condition < float("inf"):
            raise UserError(f"goal_space.condition={condition!r}; expected a ratio of at least 1")
        self.latent_dim, self.min_std, self.condition = latent_dim, min_std, condition
        self._full = covariance == "full"
        self._upper = np.triu_indices(latent_dim) if self._full else np.diag_indices(latent_dim)
        self.dim = latent_dim + len(self._upper[0])

    def points(self, latents: Floats) -> Floats:
        """Return (n, k) goals that ask for the latents (n, d), to within min_std in every direction."""
        exact = np.broadcast_to(np.eye(self.latent_dim, dtype=np.float32)[self._upper], (len(latents), len(self._upper[0])))
        return np.concatenate([latents, exact], axis=1).astype(np.float32)

    def of_set(self, latents: Floats) -> Floats:
        """Return (k,) the goal that the examples `latents` (m, d) share: their Gaussian of largest likelihood, kept within the bounds.

        Raises `UserError` for fewer than two examples, which say nothing about what may vary.
        """
        if len(latents) < 2:
            raise UserError(f"a set of {len(latents)} example says nothing about what may vary; expected at least 2, better 30")
        values = np.asarray(latents, np.float64)
        centred = values - values.mean(axis=0)
        goal: Floats = self.of_moments(values.mean(axis=0, keepdims=True), centred.T @ centred / len(values))[0]
        return goal

    def of_moments(self, means: NDArray[np.float64], covariance: NDArray[np.float64]) -> Floats:
        """Return (n, k) the goals of these means (n, d) and one covariance (d, d), in latent units, kept within the bounds."""
        variances, directions = np.diag(covariance), np.eye(self.latent_dim)
        if self._full:
            variances, directions = np.linalg.eigh(covariance)
        floor = max(self.min_std**2, float(variances.max()) / self.condition)
        weights = self.min_std**2 / np.maximum(variances, floor)
        precision = ((directions * weights) @ directions.T)[self._upper]
        return np.concatenate([means, np.repeat(precision[None], len(means), axis=0)], axis=1).astype(np.float32)

    def distance(self, latents: Floats, params: Floats) -> Floats:
        """Return (n,) how far latents (n, d) are from goals (n, k) in what matters about them: √(z − μ)ᵀ P (z − μ) · min_std.

        For a goal that is one latent, it is the distance to it.
        """
        means, precisions = self.mean_and_precision(params)
        return np.asarray(np.sqrt(squares(latents - means, precisions)) * np.float32(self.min_std), np.float32)

    def mean_and_precision(self, params: Floats) -> tuple[Floats, Floats]:
        """Return means (n, d) and symmetric precisions (n, d, d), in latent units, of goals (n, k)."""
        means, told = params[:, : self.latent_dim], params[:, self.latent_dim :]
        precisions = np.zeros((len(params), self.latent_dim, self.latent_dim), np.float32)
        precisions[:, self._upper[0], self._upper[1]] = told
        precisions[:, self._upper[1], self._upper[0]] = told
        return means, precisions / np.float32(self.min_std**2)


def squares(differences: Floats, precisions: Floats) -> Floats:
    """Return (n,) the squared lengths of differences (n, d) under precisions (n, d, d)."""
    lengths: Floats = np.maximum(np.einsum("ni,nij,nj->n", differences, precisions, differences), 0.0)
    return lengths
