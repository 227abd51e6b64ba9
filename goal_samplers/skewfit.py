"""Skew-Fit: goals from the data skewed toward where it is thin, which converges to uniform over what can be reached."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError, did_you_mean
from goal_samplers.api import Density, DrawRows, Experience, GoalContext, Goals, Representation, Rows
from goal_samplers.candidates import require_density
from goal_samplers.experience import require_frames
from goal_samplers.imagined import latent_goals, state_goals
from goal_samplers.resample import clip_largest, effective_sample_size, resample

COLLAPSE = 0.01  # share of candidates below which a handful of frames makes up most goals


class SkewFit:
    """p_skewed(s) ∝ p_emp(s) · p_φ(s)^α over stored frames (Skew-Fit 2019, equations 3 and 4, algorithm 1).

    density: p_φ. alpha: from −1 (toward uniform) to 0 (the data as it is). candidates: frames drawn uniformly, which stand for p_emp and
    are weighted by p_φ^α; never a pass over the buffer.
    goals: ``rows``: stored frames drawn by p_skewed: each was reached, and no generative model is needed. ``density``: the paper's
    algorithm: samples of a second model of the same kind, fitted to the skewed data. The paper has one model for both, since its data are
    what that model proposed last; a replay also holds all that is older, for which such weights swing from epoch to epoch and the goals
    collapse. So here p_φ is always fitted to the replay as it is. The skewed weights also drive the fitting of the representation, through
    ``log_weights``; with `RepresentationDensity` p_φ is the representation, which is fitted on skewed draws as in the paper.
    clip: this share of the candidates, the rarest, weigh no more than the next rarest. 0 is the paper's formula, in which the rarest frames
    drive exploration; with a density of pictures, where a few outliers would be all goals, 0.01 keeps 1 % of the candidates in play.
    Raises `UserError` for an α outside [−1, 0] or parts that do not fit.
    """

    def __init__(self, density: Density, alpha: float = -1.0, candidates: int = 4096, goals: str = "rows", clip: float = 0.0) -> None:
        if not -1.0 <= alpha <= 0.0:
            raise UserError(f"SkewFit: alpha = {alpha}; expected from -1 (toward uniform) to 0 (no skew)")
        if candidates < 1:
            raise UserError(f"SkewFit: candidates = {candidates}; expected at least 1")
        if goals not in ("rows", "density"):
            raise UserError(f"SkewFit: goals = '{goals}'{did_you_mean(goals, ('rows', 'density'))}; expected one of: rows, density")
        require_density(density, "SkewFit")
        if goals == "density" and not hasattr(density, "sample"):
            raise UserError(
                f"SkewFit: goals = 'density' samples goals from {type(density).__name__}, which has no sample; expected goals=rows"
            )
        self._density = density
        if not 0.0 <= clip < 1.0:
            raise UserError(f"SkewFit: clip = {clip}; expected a share from 0 (none) to below 1")
        self._alpha = alpha
        self._clip = clip
        self.candidates = candidates
        # two models of one kind: p_φ, and in "density" the one that imagines goals
        self._imagined: Density | None = copy.deepcopy(density) if goals == "density" else None
        self._fitted = False

    @property
    def imagines(self) -> bool:
        """Whether goals may have an unknown achieved goal, which rewards on states cannot do with."""
        return self._imagined is not None and self._density.key != "achieved_goal"

    def check(self, representation: Representation) -> None:
        """Raise `UserError` where the density cannot read, or its samples cannot become goals of, `representation`."""
        if hasattr(self._density, "check"):
            self._density.check(representation)
        key = self._density.key
        if self._imagined is not None and key != "latent" and tuple(representation.keys) != (key,):
            raise UserError(
                f"SkewFit imagines goals in '{key}', but {type(representation).__name__} encodes {', '.join(representation.keys)}; "
                f"expected a density with key=latent, or goals=rows"
            )

    def fit(self, context: GoalContext, draw: DrawRows) -> dict[str, float]:
        """Fit p_φ; `draw` is not used, since the weights are this sampler's own.

        Metrics: the density's, and of the weights over the candidates ``effective_samples``, ``effective_share`` and
        ``weights_collapsed`` (1 where the share is below 0.01: then try an α nearer 0 or a smoother density).
        """
        require_frames(context.experience, "SkewFit")
        metrics = dict(self._density.fit(context, lambda n: context.experience.sample_rows(n, context.generator)))
        self._fitted = True
        rows, log_weights = self._weigh(context.experience, context.generator)
        if self._imagined is not None:
            fitted = self._imagined.fit(context, lambda n: resample(rows, log_weights, n, context.generator))
            metrics |= {f"goal_{name}": value for name, value in fitted.items()}
        effective = effective_sample_size(log_weights)
        share = effective / len(log_weights)
        return metrics | {"effective_samples": effective, "effective_share": share, "weights_collapsed": float(share < COLLAPSE)}

    def log_weights(self, experience: Experience, rows: Rows, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return (n,) unnormalised log weights α · log p_φ of `rows`; zeros before the first fit."""
        if self._alpha == 0.0 or not self._fitted:
            return np.zeros(len(rows), np.float32)
        log_weights = np.float32(self._alpha) * self._density.log_prob(experience, rows, generator)
        return np.asarray(clip_largest(log_weights, self._clip), np.float32)

    def sample(self, context: GoalContext, n: int) -> Goals | Rows:
        """Return `n` goals: rows drawn by p_skewed, or samples of p_φ; uniform rows before the first fit."""
        require_frames(context.experience, "SkewFit")
        if self._imagined is None or not self._fitted:
            return resample(*self._weigh(context.experience, context.generator), n, context.generator)
        points: NDArray[np.float32] = self._imagined.sample(n, context.generator)  # type: ignore[attr-defined]
        if self._density.key == "latent":
            return latent_goals(context, points)
        return state_goals(context, self._density.key, points)

    def _weigh(self, experience: Experience, generator: np.random.Generator) -> tuple[Rows, NDArray[np.float32]]:
        """Return candidate rows (m,) and their log weights (m,)."""
        rows = experience.sample_rows(self.candidates, generator)
        return rows, self.log_weights(experience, rows, generator)

    def _parts(self) -> tuple[tuple[str, Any], ...]:
        return ("density", self._density), ("imagined", self._imagined)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"fitted": int(self._fitted)}
        for name, part in self._parts():
            state[name] = part.state_dict() if hasattr(part, "state_dict") else {}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if missing := {"fitted", "density", "imagined"} - set(state):
            raise UserError(f"the saved state of SkewFit has no '{min(missing)}'; expected fitted, density, imagined")
        self._fitted = bool(state["fitted"])
        for name, part in self._parts():
            if hasattr(part, "load_state_dict"):
                part.load_state_dict(state[name])
