"""Roll a batched policy out in several simulators in lockstep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.api import TaskEnv
from envs.errors import UserError
from gcrl.episodes import Episodes
from gcrl.faults import fault
from goal_samplers.api import Goals

# observations {key: (K, ...)}, goals (K, k), one generator per row, step in the episode -> (K, a)
Act = Callable[[Mapping[str, NDArray[Any]], NDArray[np.float32], Sequence[np.random.Generator], int], NDArray[Any]]
# episodes that begin (m,), first observations {key: (K, ...)}
Begin = Callable[[NDArray[np.int64], Mapping[str, NDArray[Any]]], None]


class RandomActions:
    """Uniform random actions, each held for `hold` steps. Every row draws from its own generator."""

    def __init__(self, space: spaces.Space[Any], hold: int = 1) -> None:
        bounded = isinstance(space, spaces.Box) and space.is_bounded()
        if not bounded and not isinstance(space, spaces.Discrete):
            raise UserError(f"random actions of the action space {space}; expected a bounded Box, or Discrete")
        self.space, self.hold = space, max(1, hold)
        self.held: NDArray[Any] | None = None

    def __call__(
        self, observations: Mapping[str, NDArray[Any]], goals: NDArray[np.float32], generators: Sequence[np.random.Generator], step: int
    ) -> NDArray[Any]:
        if step % self.hold == 0 or self.held is None:
            if isinstance(self.space, spaces.Discrete):
                self.held = np.array([generator.integers(self.space.n) for generator in generators]) + self.space.start
            else:
                assert isinstance(self.space, spaces.Box)
                low, high = self.space.low, self.space.high
                self.held = np.stack([generator.uniform(low, high).astype(np.float32) for generator in generators])
        return self.held


class ZeroActions:
    """The action that does nothing (zeros; the first action where actions are discrete)."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.space = space

    def __call__(
        self, observations: Mapping[str, NDArray[Any]], goals: NDArray[np.float32], generators: Sequence[np.random.Generator], step: int
    ) -> NDArray[Any]:
        if isinstance(self.space, spaces.Discrete):
            return np.full(len(goals), self.space.start, np.int64)
        return np.zeros((len(goals), *(self.space.shape or ())), np.float32)


def reset_options(goals: Goals, index: int, keep_state: bool) -> dict[str, Any]:
    """Return the reset options for goal `index`: the desired goal where it is known, where it begins, and whether the scene stays."""
    options: dict[str, Any] = {"keep_state": True} if keep_state else {}
    if goals.achieved is not None and np.isfinite(goals.achieved[index]).all():
        options["goal"] = np.asarray(goals.achieved[index])
    if goals.starts is not None and not keep_state and np.isfinite(goals.starts[index]).all():
        options["start"] = goals.starts[index]
    return options


def rollout(
    envs: Sequence[TaskEnv],
    act: Act,
    goals: Goals,
    seeds: NDArray[np.int64],
    keep: Callable[[int], bool] = lambda episode: False,
    keys: Sequence[str] | None = None,
    watch: Callable[[int, int, TaskEnv], None] = lambda episode, step, env: None,
    limits: NDArray[np.int64] | None = None,
    stop_on_abort: bool = False,
    begin: Begin = lambda wave, observations: None,
) -> Episodes:
    """Run one episode per goal, `len(envs)` at a time, and return them as padded arrays.

    Episode e runs in simulator ``e % len(envs)``. Its seed drives both the reset and its exploration, so episodes do not
    depend on each other. The policy always sees a full batch: rows without an episode repeat the last one, because the
    bits of a row depend on the shape of its batch.

    Args:
        goals: n goals; known achieved goals become the environment's desired goal.
        seeds: (n,) one per episode.
        keep: whether episode e goes on from where its simulator stands (reset-free).
        keys: observation keys to record; all but ``desired_goal`` by default.
        watch: called with (episode, step, env) after every reset (step 0) and step, for films.
        limits: (n,) steps after which each episode is broken off, at most the horizon; the horizon by default.
        stop_on_abort: nothing moves any more once a robot has aborted an episode (``info["aborted"]`` of its step): what was going on
            ends there, and only the episodes that were begun are returned. Otherwise the next episode's reset goes on.
        begin: called with the episodes that begin (m,) and the first observations of all simulators {key: (K, ...)}; it may still change
            the parameters and pictures of these episodes' goals, in place.

    Raises:
        UserError: `act` returned actions of the wrong shape.
    """
    n, width, horizon = len(goals), len(envs), envs[0].horizon
    space = envs[0].observation_space
    keys = [key for key in space.spaces if key != "desired_goal"] if keys is None else list(keys)
    recorded = {key: np.zeros((n, horizon + 1, *(space[key].shape or ())), space[key].dtype) for key in keys}
    discrete = isinstance(envs[0].action_space, spaces.Discrete)
    actions = np.zeros((n, horizon), np.int64) if discrete else np.zeros((n, horizon, *(envs[0].action_space.shape or ())), np.float32)
    terminated = np.zeros((n, horizon), bool)
    lengths = np.full(n, horizon, np.int64) if limits is None else np.minimum(limits, horizon)
    aborted: list[str] = []
    for first in range(0, n, width):
        wave = np.arange(first, min(first + width, n))
        rows = np.concatenate([wave, np.full(width - len(wave), wave[-1])])
        generators = [np.random.default_rng([int(seeds[row]), 7]) for row in rows]
        current = []
        for slot, episode in enumerate(wave.tolist()):
            observation, _ = envs[slot].reset(seed=int(seeds[episode]), options=reset_options(goals, episode, keep(episode)))
            current.append(observation)
            for key in keys:
                recorded[key][episode, 0] = observation[key]
            watch(episode, 0, envs[slot])
        alive = np.ones(len(wave), bool)
        begin(wave, _stacked(current, width))
        for step in range(horizon):
            chosen = np.asarray(act(_stacked(current, width), goals.params[rows], generators, step))
            if chosen.shape != (width, *actions.shape[2:]):
                raise UserError(f"actions of shape {chosen.shape} for {width} simulators; expected {(width, *actions.shape[2:])}")
            for slot, episode in enumerate(wave.tolist()):
                if not alive[slot]:
                    for key in keys:
                        recorded[key][episode, step + 1] = recorded[key][episode, step]
                    continue
                action = int(chosen[slot]) if discrete else chosen[slot]
                actions[episode, step] = action
                observation, _, done, truncated, info = envs[slot].step(action)
                current[slot] = observation
                for key in keys:
                    recorded[key][episode, step + 1] = observation[key]
                watch(episode, step + 1, envs[slot])
                if "aborted" in info:
                    aborted.append(str(info["aborted"]))
                if done or truncated or step + 1 == lengths[episode]:
                    terminated[episode, step], lengths[episode], alive[slot] = done, step + 1, False
            if aborted and stop_on_abort:
                lengths[wave[alive]], alive[:] = step + 1, False
            fault("rollout:step")
            if not alive.any():
                for key in keys:
                    recorded[key][wave, step + 2 :] = recorded[key][wave, step + 1][:, None]
                break
        if aborted and stop_on_abort:
            n = int(wave[-1]) + 1
            break
    params, sources, images, achieved = goals.params, goals.rows, goals.images, goals.achieved
    episodes = Episodes(
        recorded, actions, terminated, lengths, np.asarray(seeds), params, sources, images, achieved, aborted=tuple(aborted)
    )
    return episodes.first(n)


def _stacked(observations: Sequence[Mapping[str, Any]], width: int) -> dict[str, NDArray[Any]]:
    """Return observations as one batch {key: (width, ...)}, the last one repeated as often as there are too few."""
    padded = [*observations, *[observations[-1]] * (width - len(observations))]
    return {key: np.stack([observation[key] for observation in padded]) for key in padded[0]}
