"""Goals by analogy: an example of what to do, shown in another scene, carried over to the scene at hand by latent arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import GoalSet, TaskEnv
from envs.errors import UserError
from gcrl.policy import Policy
from gcrl.rollout import Begin
from goal_samplers.api import Goals
from representations.api import Floats


def example_shifts(env: TaskEnv, policy: Policy, goals: GoalSet, seeds: NDArray[np.int64], seed: int) -> Floats:
    """Return (n, d) the latent difference, goal minus start, of an example for each of `goals`, in a scene that looks otherwise.

    The example begins where the episode does that a reset with `seeds` (n,) begins, and ends in the goal; how else its scene looks is what
    the environment's ``analogous`` makes of it, and a reset of its own. So what latents lose on the way is all that keeps a policy from
    being told its very goal. Raises `UserError` where the environment knows no analogies, or its episodes all look alike.
    """
    analogous, state_of = getattr(env, "analogous", None), getattr(env, "goal_state", None)
    if analogous is None or state_of is None:
        raise UserError(
            f"{type(env).__name__} knows no analogies, scenes that look otherwise; expected env=multi_push, or a task of the arm with "
            "env.randomise=[colours,light]"
        )
    starts = []
    for index, one in enumerate(seeds):
        env.reset(seed=int(one), options=goals.options(index))
        starts.append(state_of())
    examples: GoalSet = analogous(replace(goals, starts=np.array(starts), images=None), np.random.default_rng([seed, 31]))
    looks = np.random.SeedSequence([seed, 32]).generate_state(len(examples)) >> 1
    latents = []
    for begins in (examples.starts, examples.states):
        shown = replace(examples, starts=begins)
        seen = [env.reset(seed=int(look), options=shown.options(index))[0] for index, look in enumerate(looks)]
        latents.append(policy.encode({key: np.stack([observation[key] for observation in seen]) for key in policy.representation.keys}))
    shifts: Floats = latents[1] - latents[0]
    return shifts


def in_own_scenes(policy: Policy, goals: Goals, shifts: Floats) -> Begin:
    """Return what tells episodes, as they begin, to end where their own start and the shift (n, d) of their example lead.

    With ψ the representation, s the start, and (s′, g′) the example: ψ(s) + ψ(g′) − ψ(s′) (Hansen-Estruch et al. 2022, "Bisimulation makes
    analogies in goal-conditioned reinforcement learning", GCB). `goals` are changed in place.
    """

    def begin(episodes: NDArray[np.int64], observations: Mapping[str, NDArray[Any]]) -> None:
        here = policy.encode(observations)[: len(episodes)]
        goals.params[episodes] = policy.goal_space.points(here + shifts[episodes])

    return begin
