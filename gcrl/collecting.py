"""What ``gcrl collect`` makes, piece by piece: every piece is a function of the settings and its number alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from envs.api import GoalSet, TaskEnv
from envs.errors import NoGoal, UserError, unknown
from gcrl.behaviours import NoisyExpert, ScriptedExpert
from gcrl.data import Header
from gcrl.episodes import Episodes
from gcrl.policy import Policy, as_goals
from gcrl.rollout import Act, RandomActions, rollout
from gcrl.subgoals import toward_goals
from gcrl.system import git_revision
from goal_samplers.api import Goals

POLICIES = ("random", "scripted", "noisy-scripted", "play", "noisy-play")
PLAY = ("play", "noisy-play")


@dataclass(frozen=True)
class Collection:
    """What to collect; the episodes depend on nothing else.

    policy: one of `POLICIES` or a run folder. noise, random_share: of the noisy ones, see `NoisyExpert`. random_hold: steps that a random
    action is held. play_goals: goals that play pursues from one reset to the next. simulators: stepped in lockstep by each worker.
    explore: whether a practised policy explores. states: whether the environment's goal state is recorded at every row.
    """

    env_id: str
    env_arguments: dict[str, Any]
    policy: str = "scripted"
    seed: int = 0
    simulators: int = 8
    noise: float = 0.3
    random_share: float = 0.1
    random_hold: int = 1
    play_goals: int = 10
    explore: bool = False
    states: bool = False
    run: str = field(default="", compare=False)  # the folder of a practised policy

    @property
    def piece(self) -> int:
        """Number of episodes that are made and written together: a wave of simulators, or one sequence of play."""
        return self.play_goals if self.policy in PLAY else self.simulators


class EpisodeMaker:
    """Makes the pieces of a collection of `total` episodes: ``maker(index) -> Episodes``. Raises `UserError` for what does not fit."""

    def __init__(self, what: Collection, total: int) -> None:
        self.what, self.total = what, total
        self.envs: list[TaskEnv] = []
        try:
            for _ in range(1 if what.policy in PLAY else what.simulators):
                self.envs.append(envs.make(what.env_id, **what.env_arguments))
            self.env = self.envs[0]
            if what.states and not (self.env.capabilities.goal_states and hasattr(self.env, "goal_state")):
                raise UserError(f"states=true records goal states, which {what.env_id} does not have; expected states=false")
            self.draws_goals = self.env.capabilities.images and self.env.capabilities.render_state
            self.trained: Policy | None = self._practised() if what.run else None
            self.act = self._act()
        except BaseException:
            self.close()
            raise

    def __call__(self, index: int) -> Episodes:
        """Return episodes ``index * piece`` onward, as many as a piece has (fewer at the end)."""
        first = index * self.what.piece
        numbers = range(first, min(first + self.what.piece, self.total))
        if self.what.policy in PLAY and hasattr(self.env, "next_goal"):  # each goal depends on where the last episode ended
            episodes = Episodes.join([self._roll(range(number, number + 1), first) for number in numbers])
        else:
            episodes = self._roll(numbers, first)
        episodes.epoch = index
        episodes.provenance = self.provenance
        return episodes

    def _roll(self, numbers: range, first: int) -> Episodes:
        """Return the episodes `numbers` with their rewards; play goes on from where the simulator stands in all but `first`, unless nothing
        can be pursued from there: noise may have left things where no goal is free of penetration."""
        play = self.what.policy in PLAY
        following = play and numbers.start > first
        try:
            goal_set, goals = self._goals(numbers, following)
        except NoGoal:
            if not following:
                raise
            first = numbers.start
            goal_set, goals = self._goals(numbers)
        seeds = np.array([np.random.SeedSequence([self.what.seed, 4, number]).generate_state(1)[0] >> 1 for number in numbers], np.int64)
        limits = self._limits(numbers) if play else None
        states: list[list[Any]] = [[] for _ in numbers]

        def watch(episode: int, step: int, env: Any) -> None:
            if self.what.states:
                states[episode].append(env.goal_state())

        keep = lambda episode: play and numbers[episode] > first  # noqa: E731
        episodes = rollout(self.envs, self.act, goals, seeds, keep=keep, watch=watch, limits=limits)
        if self.what.states:
            rows = episodes.actions.shape[1] + 1
            episodes.states = np.array([seen + [seen[-1]] * (rows - len(seen)) for seen in states])
        reached = episodes.observations["achieved_goal"][:, 1:]
        wanted = np.broadcast_to(goal_set.achieved[:, None], reached.shape).copy()
        episodes.rewards = np.asarray(self.env.compute_reward(reached, wanted, {}), np.float32)
        return episodes

    @property
    def provenance(self) -> str:
        """Where the episodes come from, in the words of the dataset format."""
        return "random" if self.what.policy == "random" else "practice" if self.trained is not None else "scripted"

    def header(self, what: Collection) -> Header:
        """Return what the dataset of `what` says about itself; this maker may have fewer simulators."""
        env: Any = self.env
        goal_dim = self._goals(range(1))[1].params.shape[1]
        elsewhere = ("env_id", "env_arguments", "states", "run")  # states: in the header, which files from before they existed lack
        config = {name: getattr(what, name) for name in what.__dataclass_fields__ if name not in elsewhere}
        return Header(
            what.env_id,
            what.env_arguments,
            self.env.observation_space,
            self.env.action_space,
            goal_dim=goal_dim,
            image_goal=self.draws_goals,
            factors=list(self.env.factors),
            config={"collect": config},
            git_revision=git_revision() or "",
            sampler="the task's own goals",
            provenance=self.provenance,
            state_dim=len(env.goal_state()) if what.states else 0,
        )

    def close(self) -> None:
        """Close the simulators."""
        for env in self.envs:
            env.close()

    def _goals(self, numbers: range, following: bool = False) -> tuple[GoalSet, Goals]:
        """Return a goal per episode, each from its own generator, as the task states it and as the policy takes it.

        following: whether they are to be pursued from where the simulator stands, for tasks in which that matters.
        """
        generators = [np.random.default_rng([self.what.seed, 5, number]) for number in numbers]
        env: Any = self.env
        goal_set = GoalSet.join([env.next_goal(env.goal_state(), one) if following else env.sample_goals(1, one) for one in generators])
        if self.draws_goals:
            goal_set.images = np.stack([self.env.render_state(state) for state in goal_set.states])
        if self.trained is not None:
            return goal_set, self.trained.told(as_goals(self.env, self.trained.representation, goal_set))
        params = np.asarray(goal_set.achieved, np.float32)
        return goal_set, Goals(params, np.full(len(params), -1, np.int64), goal_set.images, goal_set.achieved, goal_set.starts)

    def _limits(self, numbers: range) -> NDArray[np.int64]:
        """Return after how many steps play turns to its next goal: from a quarter of the horizon to all of it."""
        horizon = self.env.horizon
        draws = [np.random.default_rng([self.what.seed, 6, number]).integers(max(1, horizon // 4), horizon + 1) for number in numbers]
        return np.array(draws, np.int64)

    def _act(self) -> Act:
        if self.what.policy == "random":
            return RandomActions(self.env.action_space, self.what.random_hold)
        if self.what.policy in ("noisy-scripted", "noisy-play"):
            return NoisyExpert(self.envs, self.what.noise, self.what.random_share)
        if self.trained is None:
            return ScriptedExpert(self.envs)
        return toward_goals(self.trained, self.what.explore)

    def _practised(self) -> Policy:
        from gcrl.run import load

        run = load(self.what.run)
        require_fitting(run, self.what.env_id, self.env, self.what.run)
        return run.policy  # type: ignore[no-any-return, unused-ignore]


def require_fitting(run: Any, env_id: str, env: TaskEnv, name: str) -> None:
    """Raise `UserError` where the policy of `run` cannot act in `env`: another environment, another size of what it observes."""
    if run.settings.env_id != env_id:
        raise UserError(f"policy={name} was practised in {run.settings.env_id}; expected env={env_id}, or that environment")
    theirs = run.environment()
    try:
        mine, its = env.observation_space.spaces, theirs.observation_space.spaces
        for key in its:
            if key not in mine or mine[key].shape != its[key].shape:
                found = f"shape {mine[key].shape}" if key in mine else "none"
                raise UserError(f"policy={name} observes '{key}' of shape {its[key].shape}; this environment has {found}")
    finally:
        theirs.close()


def choose_policy(policy: str) -> str:
    """Return the run folder that `policy` names, "" for one of `POLICIES`; raises `UserError` for neither."""
    if policy in POLICIES:
        return ""
    if (Path(policy) / "config.yaml").is_file():
        return policy
    if "/" in policy or Path(policy).exists():
        raise UserError(f"policy={policy} is not a run folder (no config.yaml); expected one, or one of: {', '.join(POLICIES)}")
    raise unknown("policy", policy, [*POLICIES, "the folder of a run"])
