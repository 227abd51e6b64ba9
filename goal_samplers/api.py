"""What a goal is, what a sampler sees, and the protocols of samplers and densities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from goal_samplers.goal_space import GoalSpace
from representations.api import DrawRows, Experience, Floats, Representation, Rows


@dataclass
class Goals:
    """Goals that remember where they came from, so that after a refit they are re-encoded like everything else.

    params: (n, k) float32, what the policy is conditioned on: latents, or what the run's `GoalSpace` makes of goals.
    rows: (n,) int64 source rows in replay; -1 where the goal was imagined or commanded.
    images: (n, H, W, 3) uint8: the source frame, the decoded picture of an imagined goal, or None without pictures.
    achieved: (n, g) the goal in the environment's goal space; NaN where unknown (imagined); None if never known.
    starts: (n, m) goal states in which the episodes of commanded goals begin; None, or NaN in a row: where any reset leads.
    """

    params: Floats
    rows: Rows
    images: NDArray[np.uint8] | None = None
    achieved: Floats | None = None
    starts: Floats | None = None

    def __len__(self) -> int:
        return len(self.params)


@dataclass
class GoalContext:
    """What a sampler may look at when it proposes goals.

    experience: the replay. representation: what turns observations into latents.
    generator: the only source of randomness.
    commanded: `n, generator -> Goals` from the task's own goal distribution; None where practice must not see it.
    value: `rows (n,) of experience, goals (n, k) -> (n,)`, the return that the agent expects from a stored frame toward a goal, in reward
    units; None where the agent has no values. epoch: 0-based.
    value_spread: the same of the standard deviation over the agent's critics, None where it has no two of them.
    reached: share of the goals practised last whose episode ended at them, by the environment's test; NaN where that is not known.
    examples: `file, split -> Goals`, the goals of a file of ``gcrl goals``, whose params are latents; None where none can be read.
    goal_space: what goals are; None stands for latents. Latents (n, d) serve as goals in any: they become its `points`.
    aims: `rows (n,) of experience -> (n, k)`, the goals that the episodes of these rows were after; None before anything was practised.
    """

    experience: Experience
    representation: Representation
    generator: np.random.Generator
    commanded: Callable[[int, np.random.Generator], Goals] | None = None
    value: Callable[[Rows, Floats], Floats] | None = None
    epoch: int = 0
    value_spread: Callable[[Rows, Floats], Floats] | None = None
    reached: float = float("nan")
    examples: Callable[[str, str], Goals] | None = None
    goal_space: GoalSpace | None = None
    aims: Callable[[Rows], Floats] | None = None


@runtime_checkable
class GoalSampler(Protocol):
    """Proposes goals: `sample(context, n)` returns (n,) replay rows (the simple case) or `Goals`.

    Optional, found by ``hasattr``: ``fit(context, draw) -> metrics`` (once an epoch, before sampling);
    ``log_weights(experience, rows, generator) -> (n,)`` unnormalised log training weights of candidate rows;
    ``state_dict``/``load_state_dict``; ``needs_commanded = True``; ``needs_value = True`` and ``needs_value_spread = True`` where the agent
    must have such; ``imagines = True`` where goals may have an unknown achieved goal;
    ``check(representation)`` raises `UserError` where the two do not fit; ``example_files``, the (file, split) that it will ask
    ``context.examples`` for, which are read as a run starts and must still be the same when it is resumed; ``paired_files``, groups
    of them whose i-th examples must be frames of one episode each, in stages from early to late.
    """

    def sample(self, context: GoalContext, n: int) -> Goals | Rows: ...


@runtime_checkable
class Density(Protocol):
    """A density over stored rows. ``key`` names what of a row it looks at ("latent", "achieved_goal", "image").

    Optional: ``sample(n, generator) -> (n, d)`` points in the space of ``key``; ``state_dict``/``load_state_dict``.
    """

    key: str

    def fit(self, context: GoalContext, draw: DrawRows) -> dict[str, float]:
        """Fit on the rows that `draw(n)` yields. Return metrics."""
        ...

    def log_prob(self, experience: Experience, rows: Rows, generator: np.random.Generator) -> Floats:
        """Return (n,) log densities (nats) at `rows`; the constant may be unknown."""
        ...


__all__ = ["Any", "Density", "DrawRows", "Experience", "Floats", "GoalContext", "GoalSampler", "Goals", "Mapping", "Representation", "Rows"]
