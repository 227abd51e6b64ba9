"""Rewards: how close the next state is to the goal, by latents, by pictures, or by the environment's own measure.

Every reward is constructed as ``Class(env=TaskEnv, representation=Representation, **arguments)`` and owns the rule for termination.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from envs.api import TaskEnv
from envs.errors import UserError, unknown
from gcrl.relabel import GoalBatch
from gcrl.statistics import affordable
from representations.api import Experience, Floats, Representation

Bools = NDArray[np.bool_]
Next = Mapping[str, NDArray[Any]]
REFIT_ROWS = 4096  # rows from which scales and covariances are estimated
PICTURES = 512  # pairs of frames from which a scale is estimated


@runtime_checkable
class Reward(Protocol):
    """What a reward offers.

    needs: replay keys it reads at the next row.
    ``refit`` follows every change of the latent space; ``check`` raises `UserError` where a goal sampler cannot serve this reward.
    """

    needs: tuple[str, ...]

    def __call__(self, next: Next, goals: GoalBatch) -> tuple[Floats, Bools]:
        """Return (reward (n,) float32, terminated (n,)) for the next states {key: (n, ...)} and n goals."""
        ...

    def refit(self, experience: Experience, generator: np.random.Generator) -> None: ...

    def check(self, sampler: Any) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Plain:
    """The parts of `Reward` that a reward without fitted numbers has no use for."""

    def refit(self, experience: Experience, generator: np.random.Generator) -> None:
        """Do nothing: this reward has nothing to estimate."""

    def check(self, sampler: Any) -> None:
        """Accept every sampler."""

    def state_dict(self) -> dict[str, Any]:
        """Return {}: this reward has no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Do nothing: this reward has no state."""


class _Scaled(Plain):
    """A reward that is divided by a positive `scale`; by one that `refit` estimates anew where it is given as "auto" (1 before the first).

    Raises `UserError` for a scale that is neither.
    """

    def __init__(self, scale: float | str) -> None:
        self.auto = scale == "auto"
        if not self.auto and not _positive(scale):
            raise UserError(f"reward.scale={scale!r}; expected a positive number or 'auto'")
        self.scale = 1.0 if self.auto else float(scale)

    def estimate(self, values: Floats) -> None:
        """Take the median of `values` (n,) as the scale."""
        self.scale = float(np.median(values)) or 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return the scale where it is estimated."""
        return {"scale": self.scale} if self.auto else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the scale where it is estimated."""
        if self.auto:
            self.scale = float(state["scale"])


class LatentDistance(_Scaled):
    """Reward -||z' - z_g|| / scale (RIG, Nair et al. 2018, section 4.2); never terminates.

    norm: "l2" or "l1". scale: a number in latent units, or "auto": the median distance between stored latents, estimated anew at every
    `refit` (1 before the first), so that rewards keep their size whatever the latent space.
    """

    needs = ("latent",)

    def __init__(self, *, env: TaskEnv, representation: Representation, norm: str = "l2", scale: float | str = "auto") -> None:
        if norm not in ("l2", "l1"):
            raise unknown("norm", norm, ("l1", "l2"))
        super().__init__(scale)
        self.norm, self.latent_dim = norm, representation.latent_dim

    def __call__(self, next: Next, goals: GoalBatch) -> tuple[Floats, Bools]:
        """Return (reward (n,), all False)."""
        return -self.distance(next["latent"] - goals.params) / np.float32(self.scale), never(goals)

    def distance(self, difference: Floats) -> Floats:
        """Return the norm (n,) of differences (n, d)."""
        if self.norm == "l1":
            return np.asarray(np.abs(difference).sum(axis=1))
        return _lengths(difference)

    def refit(self, experience: Experience, generator: np.random.Generator) -> None:
        """Estimate the scale, if it is "auto", from random pairs of stored rows."""
        if self.auto:
            n = affordable(REFIT_ROWS, self.latent_dim)
            pairs = experience.read("latent", experience.sample_rows(2 * n, generator)).reshape(2, n, -1)
            self.estimate(self.distance(pairs[0] - pairs[1]))


class Mahalanobis(Plain):
    """Reward -sqrt((z' - z_g)' S^-1 (z' - z_g)) (RIG, Nair et al. 2018, section 4.2); never terminates.

    variances: (d,) the diagonal of S, or "empirical": S is the covariance of stored latents, estimated at every `refit` (the identity
    before the first) with `ridge` times its mean variance added to the diagonal.
    """

    needs = ("latent",)

    def __init__(
        self, *, env: TaskEnv, representation: Representation, variances: Sequence[float] | str = "empirical", ridge: float = 1e-3
    ) -> None:
        d = representation.latent_dim
        self.empirical, self.ridge = variances == "empirical", ridge
        given = np.ones(d) if isinstance(variances, str) else np.asarray(variances, dtype=np.float64)
        if (isinstance(variances, str) and not self.empirical) or given.shape != (d,) or not (given > 0).all():
            raise UserError(f"reward.variances={variances!r}; expected 'empirical' or {d} positive numbers, one per latent dimension")
        self.whitening = np.diag(given**-0.5).astype(np.float32)

    def __call__(self, next: Next, goals: GoalBatch) -> tuple[Floats, Bools]:
        """Return (reward (n,), all False)."""
        return -_lengths((next["latent"] - goals.params) @ self.whitening), never(goals)

    def refit(self, experience: Experience, generator: np.random.Generator) -> None:
        """Estimate the covariance, if it is "empirical", from random stored rows."""
        if self.empirical:
            latents = experience.read("latent", experience.sample_rows(REFIT_ROWS, generator)).astype(np.float64)
            covariance = np.atleast_2d(np.cov(latents, rowvar=False))
            floor = self.ridge * max(float(np.trace(covariance)) / len(covariance), 1e-12)
            self.whitening = np.linalg.cholesky(np.linalg.inv(covariance + floor * np.eye(len(covariance)))).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """Return the whitening matrix (d, d)."""
        return {"whitening": self.whitening}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the whitening matrix."""
        self.whitening = np.asarray(state["whitening"], dtype=np.float32)


class LogDensity(Plain):
    """Reward log N(z'; z_g, diag(std^2)) in nats (RIG, Nair et al. 2018, section 4.2: the log-probability variant); never terminates.

    std: a number or (d,) numbers in latent units, or "auto": the latents' own standard deviation at every `refit` (1 before the first).
    """

    needs = ("latent",)

    def __init__(self, *, env: TaskEnv, representation: Representation, std: float | Sequence[float] | str = "auto") -> None:
        d = representation.latent_dim
        self.auto, self.latent_dim = isinstance(std, str) and std == "auto", d
        values = np.ones(d) if self.auto else np.atleast_1d(np.asarray(std, dtype=np.float64)) if not isinstance(std, str) else np.zeros(1)
        if values.shape not in ((1,), (d,)) or not (values > 0).all():
            raise UserError(f"reward.std={std!r}; expected 'auto', a positive number or {d} of them, one per latent dimension")
        self.std = np.broadcast_to(values, (d,)).astype(np.float32)

    def __call__(self, next: Next, goals: GoalBatch) -> tuple[Floats, Bools]:
        """Return (reward (n,), all False)."""
        normed = (next["latent"] - goals.params) / self.std
        constant = np.float32(np.log(self.std).sum() + 0.5 * len(self.std) * np.log(2 * np.pi))
        return -0.5 * np.einsum("nd,nd->n", normed, normed) - constant, never(goals)

    def refit(self, experience: Experience, generator: np.random.Generator) -> None:
        """Estimate the standard deviations, if "auto", from random stored rows."""
        if self.auto:
            latents = experience.read("latent", experience.sample_rows(affordable(REFIT_ROWS, self.latent_dim), generator))
            self.std = np.maximum(latents.std(axis=0), 1e-6).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """Return the standard deviations (d,)."""
        return {"std": self.std}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the standard deviations."""
        self.std = np.asarray(state["std"], dtype=np.float32)


class SparseThreshold(Plain):
    """Reward 0 within `epsilon` of the goal, -1 elsewhere (HER, Andrychowicz et al. 2017, section 4.2).

    on: "latent" (epsilon in latent units) or "achieved" (epsilon in the unit of ``achieved_goal``). terminate: end the episode there.
    """

    def __init__(
        self, *, env: TaskEnv, representation: Representation, epsilon: float, on: str = "achieved", terminate: bool = False
    ) -> None:
        if on not in ("latent", "achieved"):
            raise unknown("reward.on", on, ("latent", "achieved"))
        if not _positive(epsilon):
            raise UserError(f"reward.epsilon={epsilon!r}; expected a positive number")
        self.epsilon, self.on, self.terminate = float(epsilon), on, terminate
        self.needs = ("latent",) if on == "latent" else ("achieved_goal",)

    def __call__(self, next: Next, goals: GoalBatch) -> tuple[Floats, Bools]:
        """Return (reward (n,) in {-1, 0}, terminated (n,))."""
        difference = next["latent"] - goals.params if self.on == "latent" else next["achieved_goal"] - _known(goals, self)
        near = _lengths(difference) <= self.epsilon
        return near.astype(np.float32) - 1, near if self.terminate else never(goals)

    def check(self, sampler: Any) -> None:
        """Refuse samplers of imagined goals where the distance is between achieved goals."""
        if self.on == "achieved":
            _refuse_imagined(sampler, self)


class PixelError(_Scaled):
    """Reward minus the pixel difference between frame and goal picture, brightness in [0, 1], over scale: the control; never terminates.

    form: "rms", the root mean square; or "mse", the mean square (RIG, Nair et al. 2018, figure on reward types), which unlike its root
    grows no steeper as two pictures come to match. scale: a number, or "auto": the median between stored frames, estimated anew at every
    `refit` (1 before the first). Raises `UserError` where the environment has no pictures, for another form or scale.
    """

    needs = ("image",)

    def __init__(self, *, env: TaskEnv, representation: Representation, form: str = "rms", scale: float | str = 1.0) -> None:
        if not env.capabilities.images:
            raise UserError("reward PixelError compares pictures, but this environment observes none; expected e.g. env.image_size=48")
        if form not in ("rms", "mse"):
            raise unknown("reward.form", form, ("rms", "mse"))
        super().__init__(scale)
        self.form = form

    def __call__(self, next: Next, goals: GoalBatch) -> tuple[Floats, Bools]:
        """Return (reward (n,), all False)."""
        return -self.difference(next["image"], goals.images) / np.float32(self.scale), never(goals)

    def difference(self, frames: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> Floats:
        """Return the unscaled differences (n,) of pictures (n, H, W, C)."""
        difference = frames.astype(np.float32) - wanted
        squares = np.einsum("ni,ni->n", *[difference.reshape(len(difference), -1)] * 2) / difference[0].size
        return np.asarray(np.sqrt(squares) / np.float32(255) if self.form == "rms" else squares / np.float32(255**2))

    def refit(self, experience: Experience, generator: np.random.Generator) -> None:
        """Estimate the scale, if it is "auto", from random pairs of stored frames."""
        if self.auto:
            frames = experience.read("image", experience.sample_rows(2 * PICTURES, generator))
            self.estimate(self.difference(frames[:PICTURES], frames[PICTURES:]))


class Environment(Plain):
    """The environment's own reward and termination, from achieved goals."""

    needs = ("achieved_goal",)

    def __init__(self, *, env: TaskEnv, representation: Representation) -> None:
        self.env = env

    def __call__(self, next: Next, goals: GoalBatch) -> tuple[Floats, Bools]:
        """Return (reward (n,), terminated (n,)) as ``compute_reward`` and ``compute_terminated`` have them."""
        achieved, desired = next["achieved_goal"], _known(goals, self)
        reward = np.asarray(self.env.compute_reward(achieved, desired, {}), dtype=np.float32)
        terminated = np.asarray(self.env.compute_terminated(achieved, desired, {}), dtype=np.bool_)
        return reward, terminated if terminated.shape == reward.shape else np.broadcast_to(terminated, reward.shape)

    def check(self, sampler: Any) -> None:
        """Refuse samplers of imagined goals, whose state nobody knows."""
        _refuse_imagined(sampler, self)


class StateDistance(Plain):
    """Reward minus the weighted Euclidean distance between achieved goals: the oracle; never terminates.

    weights: a factor per entry of ``achieved_goal``, by the environment's factor names (others count 0) or in order; None: all 1.
    Raises `UserError` for unknown factors or a wrong number of weights.
    """

    needs = ("achieved_goal",)

    def __init__(
        self, *, env: TaskEnv, representation: Representation, weights: Mapping[str, float] | Sequence[float] | None = None
    ) -> None:
        if isinstance(weights, Mapping):
            for name in weights:
                if name not in env.factors:
                    raise unknown("factor in reward.weights", name, env.factors)
            weights = [float(weights.get(name, 0.0)) for name in env.factors]
        self.weights = np.ones(len(env.factors), np.float32) if weights is None else np.asarray(weights, dtype=np.float32)
        if self.weights.shape != (len(env.factors),) or not (self.weights >= 0).all() or not self.weights.any():
            raise UserError(f"reward.weights={weights}; expected {len(env.factors)} weights of at least 0: {', '.join(env.factors)}")

    def __call__(self, next: Next, goals: GoalBatch) -> tuple[Floats, Bools]:
        """Return (reward (n,), all False)."""
        return -_lengths((next["achieved_goal"] - _known(goals, self)) * self.weights), never(goals)

    def check(self, sampler: Any) -> None:
        """Refuse samplers of imagined goals, whose state nobody knows."""
        _refuse_imagined(sampler, self)


def never(goals: GoalBatch) -> Bools:
    return np.zeros(len(goals), dtype=np.bool_)


def _lengths(difference: Floats) -> Floats:
    lengths: Floats = np.sqrt(np.einsum("nd,nd->n", difference, difference))
    return lengths


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _known(goals: GoalBatch, reward: object) -> Floats:
    if goals.achieved is None or np.isnan(goals.achieved).any():
        raise UserError(_imagined_message("the goals", reward))
    return goals.achieved


def _refuse_imagined(sampler: Any, reward: object) -> None:
    if getattr(sampler, "imagines", False):
        raise UserError(_imagined_message(f"goal sampler {type(sampler).__name__}", reward))


def _imagined_message(who: str, reward: object) -> str:
    return (
        f"reward {type(reward).__name__} needs goals with a known achieved goal, but {who} may be imagined; "
        "expected a reward on latents (LatentDistance), or a sampler of seen or commanded goals"
    )
