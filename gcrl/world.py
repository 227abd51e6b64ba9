"""The simulators and the policy that answer the learner's requests, in whichever process they live."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcrl.aims import Aims, decoder
from gcrl.behaviours import GoExplore
from gcrl.episodes import Episodes
from gcrl.evaluation import TEST_SEED, Aborted, Evaluation, evaluate
from gcrl.parts import build_env, build_goal_sampler, build_policy
from gcrl.pieces import by_subgoal
from gcrl.policy import Policy
from gcrl.request import EvaluationOrder, Request
from gcrl.rollout import Act, Begin, RandomActions, rollout
from gcrl.settings import Settings
from gcrl.subgoals import Subgoals, toward_goals
from goal_samplers.api import Goals
from goal_samplers.imagined import imagined


@dataclass
class Result:
    """Episodes of a request, evaluations by name, the simulators' states (reset-free) and seconds spent.

    aborted: why a robot ended an episode early, once for each. stopped: the reason after which it was to stay still, so that what
    is missing was not done. plans: figures of `gcrl.plan_quality` of what was practised, where a planner had a say.
    """

    episodes: Episodes | None
    evaluations: dict[str, Evaluation]
    states: list[bytes] | None
    seconds: float
    aborted: tuple[str, ...] = ()
    stopped: str = ""
    plans: dict[str, float] = dataclasses.field(default_factory=dict)


class World:
    """The simulators and the policy that act on a request."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.envs = [build_env(settings) for _ in range(settings.practice.simulators)]
        self.policy: Policy = build_policy(settings, self.envs[0])
        self.untrained = self.policy.snapshot()
        self.imagines = bool(getattr(build_goal_sampler(settings, self.policy.representation), "imagines", False))

    def serve(self, request: Request) -> Result:
        """Collect and evaluate what `request` asks for."""
        started = time.perf_counter()
        episodes, states = None, None
        aborted: tuple[str, ...] = ()
        plans: dict[str, float] = {}
        stop = self.settings.practice.on_abort == "stop"
        self.policy.load_snapshot(request.snapshot)
        if request.goals is not None:
            if request.states is not None:
                for env, state in zip(self.envs, request.states, strict=True):
                    env.set_state(state)
            explorer = self.explorer(request.explore)
            act: Act = explorer
            if request.explore == "policy" and self.settings.practice.go_explore:
                act = self.go_explore(act, request.goals)
            elif isinstance(explorer, Subgoals) and self.settings.practice.by_subgoal:
                act = Aims(explorer, len(request.goals), self.envs[0].horizon)
            keep = lambda episode: bool(request.keep[episode])  # noqa: E731
            goals, begin = self.into_scenes(request.goals, request.seeds)
            episodes = rollout(self.envs, act, goals, request.seeds, keep, stop_on_abort=stop, begin=begin)
            aborted = episodes.aborted
            plans = explorer.quality.figures() if isinstance(explorer, Subgoals) else {}
            if isinstance(act, Aims):
                episodes = by_subgoal(episodes, act.goals[: len(episodes)], decoder(self.policy))
            episodes.epoch, episodes.provenance = request.epoch, "practice" if request.explore == "policy" else "random"
            if self.settings.practice.reset_every != 1 and self.envs[0].capabilities.state:
                states = [env.get_state() for env in self.envs]  # before evaluations, which move everything
        evaluations: dict[str, Evaluation] = {}
        try:
            for order in [] if aborted and stop else request.evaluations:
                evaluations[order.name] = self.evaluate(order, request.snapshot)
        except Aborted as reason:
            aborted += (str(reason),)
        stopped = aborted[0] if aborted and stop else ""
        return Result(episodes, evaluations, states, time.perf_counter() - started, aborted, stopped, plans)

    def explorer(self, explore: str) -> Act:
        """Return how to act: toward the goals, at random, or toward where the episode starts."""
        if explore == "random":
            return RandomActions(self.envs[0].action_space, self.settings.practice.random_hold)
        if explore == "policy":
            return toward_goals(self.policy, explore=True, planned=self.settings.practice.planned)
        policy = self.policy
        return lambda observations, goals, generators, step: policy.act(
            observations, policy.goal_space.points(policy.encode(observations)), generators
        )

    def into_scenes(self, goals: Goals, seeds: NDArray[np.int64]) -> tuple[Goals, Begin]:
        """Return the goals, and what fits those that the sampler imagined to the scenes in which their episodes begin.

        They are put into the scene (CC-RIG), or imagined once more for it, each from the seed of its episode (VAL).
        """
        representation, space = self.policy.representation, self.policy.goal_space
        in_scene, outcomes, decode = (getattr(representation, name, None) for name in ("in_scene", "outcomes", "decode"))
        if not self.imagines or (in_scene is None and outcomes is None):
            return goals, lambda wave, observations: None
        images = None if goals.images is None else goals.images.copy()
        goals = dataclasses.replace(goals, params=goals.params.copy(), images=images)

        def begin(wave: NDArray[np.int64], observations: Mapping[str, NDArray[Any]]) -> None:
            moved = imagined(goals.rows[wave], None if goals.achieved is None else goals.achieved[wave])
            moved &= np.isfinite(goals.params[wave]).all(axis=1)  # an episode at random has no goal
            if not moved.any():
                return
            latents = self.policy.encode(observations)[: len(wave)][moved]
            if in_scene is not None:
                fitting = in_scene(goals.params[wave[moved]][:, : space.latent_dim], latents)
            else:
                assert outcomes is not None
                draws = [np.random.default_rng([int(seed), 9]) for seed in seeds[wave[moved]]]
                fitting = np.concatenate([outcomes(latent[None], generator) for latent, generator in zip(latents, draws)])
            goals.params[wave[moved]] = space.points(fitting)
            if goals.images is not None and decode is not None:
                goals.images[wave[moved]] = decode(fitting)

        return goals, begin

    def go_explore(self, act: Act, goals: Goals) -> Act:
        """Return how to act toward the `goals`, and at random from there on."""
        practice, env = self.settings.practice, self.envs[0]
        random = RandomActions(env.action_space, practice.random_hold)
        return GoExplore(act, random, goals, env.success, share=practice.go_explore, width=len(self.envs), horizon=env.horizon)

    def evaluate(self, order: EvaluationOrder, snapshot: Mapping[str, Any]) -> Evaluation:
        """Run one evaluation of the policy with the weights of `snapshot`, or of a baseline."""
        goal_set = self.envs[0].fixed_goals(order.split)
        chosen = np.linspace(0, len(goal_set) - 1, min(order.goals, len(goal_set))).astype(int)  # spread over the whole set
        self.policy.load_snapshot(self.untrained if order.kind == "untrained" else snapshot)
        kind = "policy" if order.kind == "untrained" else order.kind
        seed = TEST_SEED if order.split == "test" else 2 * TEST_SEED  # the same starts for every run: comparisons are paired
        return evaluate(
            self.envs,
            self.policy,
            goal_set.take(chosen),
            seed,
            kind=kind,
            film=order.film,
            pictures=order.split == "test",
            stop_on_abort=self.settings.practice.on_abort == "stop",
        )

    def close(self) -> None:
        """Close the simulators."""
        for env in self.envs:
            env.close()
