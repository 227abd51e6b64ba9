"""Tasks of several stages, each stage a goal distribution that follows from where all is to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from goal_samplers.api import GoalContext, Goals
from goal_samplers.goal_space import GoalSpace, LatentGoals
from representations.api import Floats, Rows

RIDGE = 1e-3  # of the finals' largest variance: how exactly they are taken where few examples tell them apart


@dataclass(frozen=True)
class Stage:
    """The Gaussian of a stage's latents given the final one: mean + (final − final_mean) · slope, and its covariance; in float64."""

    mean: NDArray[np.float64]  # (d,)
    final_mean: NDArray[np.float64]  # (d,)
    slope: NDArray[np.float64]  # (d, d)
    covariance: NDArray[np.float64]  # (d, d)
    unexplained: float  # share of the stage's variance that the final does not tell, 0 to 1

    @classmethod
    def of_pairs(cls, latents: Floats, finals: Floats) -> Stage:
        """Return the conditional of the joint Gaussian of pairs (m, d), (m, d): the latents in this stage, and those at the end."""
        pairs = np.concatenate([latents, finals], axis=1).astype(np.float64)
        d, centred = latents.shape[1], pairs - pairs.mean(axis=0)
        joint = centred.T @ centred / len(pairs)
        own, across, of_finals = joint[:d, :d], joint[d:, :d], joint[d:, d:]
        ridge = max(RIDGE * float(np.diag(of_finals).max(initial=0.0)), 1e-12)
        slope = np.linalg.solve(of_finals + ridge * np.eye(d), across)
        covariance = own - across.T @ slope
        unexplained = float(np.trace(covariance) / np.trace(own)) if np.trace(own) > 0 else 0.0
        return cls(pairs[:, :d].mean(axis=0), pairs[:, d:].mean(axis=0), slope, covariance, unexplained)

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Stage:
        """Return the stage whose fields `state` holds as arrays."""
        mean, final_mean, slope, covariance = (np.array(state[name], np.float64) for name in ("mean", "final_mean", "slope", "covariance"))
        return cls(mean, final_mean, slope, covariance, float(state["unexplained"]))

    def goals(self, space: GoalSpace, finals: Floats) -> Floats:
        """Return (n, k) the goals of this stage toward finals (n, d): distributions where `space` has such, else their means."""
        means = self.mean + (finals - self.final_mean) @ self.slope
        if hasattr(space, "of_moments"):
            distributions: Floats = space.of_moments(means, self.covariance)
            return distributions
        return space.points(means.astype(np.float32))


def stages_of(context: GoalContext, files: Sequence[str], split: str) -> tuple[list[Stage], list[Goals]]:
    """Return the stages before the last one, learnt from the examples in `files`, and the examples, m for each file; the last are the ends.

    Raises `UserError` where the context offers no files, or they hold different numbers of examples.
    """
    if context.examples is None:
        raise UserError("stages are read from files of goals, which are not offered here; expected another sampler or planner")
    examples = [context.examples(file, split) for file in files]
    counts = [len(part) for part in examples]
    if len(set(counts)) > 1:
        found = ", ".join(f"{file} {count}" for file, count in zip(files, counts))
        raise UserError(
            f"examples of stages: {found}; expected as many in each, frames of the same episodes: `gcrl goals dataset=... stage=SHARE`"
        )
    if counts[0] < 2:
        raise UserError(f"{files[0]} has {counts[0]} example in its split '{split}'; expected at least 2, better 30")
    return [Stage.of_pairs(part.params, examples[-1].params) for part in examples[:-1]], examples


def require_stages(owner: str, files: Sequence[str]) -> tuple[str, ...]:
    """Return `files`; raise `UserError` naming `owner` where they are no two."""
    if len(files) < 2:
        raise UserError(f"{owner}: files = {list(files)}; expected one for each stage, the last one of the end: [half.h5,end.h5]")
    return tuple(files)


class StageGoals:
    """Practises the stages of a task, each equally often, toward ends that the examples show.

    files: of ``gcrl goals dataset=... stage=SHARE``, one for each stage and the last one of the end; the examples are their split `split`.
    A goal is what the frames of a stage share given where the episode is to end (goal_space=gaussian), or one of the frames where goals are
    latents, as for `ExampleSets`; the last stage is the end itself. To go through them in one episode is what ``planner=stages`` does.
    Source: DisCo RL (Nasiriany et al. 2021), conditional distributions of sub-tasks. Raises `UserError` for fewer than two files.
    """

    def __init__(self, files: Sequence[str], split: str = "train") -> None:
        self._files, self._split = require_stages("StageGoals", files), split
        self.example_files = tuple((file, split) for file in self._files)
        self.paired_files = (self.example_files,)

    def sample(self, context: GoalContext, n: int) -> Goals:
        """Return `n` goals without source rows; pictures are those of examples. Raises `UserError` as `stages_of` does."""
        stages, examples = stages_of(context, self._files, self._split)
        ends = examples[-1].params
        space = context.goal_space or LatentGoals(ends.shape[1])
        chosen, which = (context.generator.integers(count, size=n) for count in (len(ends), len(examples)))
        params, images, achieved = (
            _drawn([getattr(one, name) for one in examples], which, chosen) for name in ("params", "images", "achieved")
        )
        params = space.points(params)
        if hasattr(space, "of_moments"):
            for index, stage in enumerate(stages):
                params[which == index] = stage.goals(space, ends[chosen[which == index]])
            if achieved is not None:
                achieved[which < len(stages)] = np.nan
        return Goals(params, np.full(n, -1), images, achieved)


def _drawn(columns: Sequence[Any], which: Rows, chosen: Rows) -> Any:
    """Return (n, ...) entry `chosen` (n,) of column `which` (n,) of those of all stages (m, ...); None where there are none."""
    return None if columns[0] is None else np.stack(columns)[which, chosen]
