"""The collector: a process that steps several simulators with a snapshot of the policy while the learner learns.

A collection is a function of its `Request` alone, so a request that was lost (a killed run, a dead process) can be sent
again and returns the same episodes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.errors import UserError
from gcrl.evaluation import TEST_SEED, Evaluation, evaluate
from gcrl.episodes import Episodes
from gcrl.policy import Policy
from gcrl.request import EvaluationOrder, Request
from gcrl.rollout import Act, RandomActions, rollout
from gcrl.settings import Settings


@dataclass
class Result:
    """Episodes of a request, evaluations by name, the simulators' states (reset-free) and seconds spent."""

    episodes: Episodes | None
    evaluations: dict[str, Evaluation]
    states: list[bytes] | None
    seconds: float


class World:
    """The simulators and the policy that act on a request."""

    def __init__(self, settings: Settings) -> None:
        from gcrl.parts import build_env, build_policy

        import torch

        torch.set_num_threads(1)
        self.settings = settings
        self.envs = [build_env(settings) for _ in range(settings.practice.simulators)]
        self.policy: Policy = build_policy(settings, self.envs[0])
        self.untrained = self.policy.snapshot()

    def serve(self, request: Request) -> Result:
        """Collect and evaluate what `request` asks for."""
        started = time.perf_counter()
        episodes, states = None, None
        self.policy.load_snapshot(request.snapshot)
        if request.goals is not None:
            if request.states is not None:
                for env, state in zip(self.envs, request.states, strict=True):
                    env.set_state(state)
            act = self.explorer(request.explore)
            episodes = rollout(self.envs, act, request.goals, request.seeds, keep=lambda episode: bool(request.keep[episode]))
            episodes.epoch, episodes.provenance = request.epoch, "practice" if request.explore == "policy" else "random"
            if self.settings.practice.reset_every != 1:
                states = [env.get_state() for env in self.envs]
        evaluations = {order.name: self.evaluate(order) for order in request.evaluations}
        return Result(episodes, evaluations, states, time.perf_counter() - started)

    def explorer(self, explore: str) -> Act:
        """Return how to act: toward the goals, at random, or toward where the episode starts."""
        if explore == "random":
            return RandomActions(self.envs[0].action_space, self.settings.practice.random_hold)
        if explore == "policy":
            return lambda observations, goals, generators, step: self.policy.act(observations, goals, generators)
        return lambda observations, goals, generators, step: self.policy.act(
            observations, self.policy.representation.encode(observations), generators
        )

    def evaluate(self, order: EvaluationOrder) -> Evaluation:
        """Run one evaluation; baselines need no pictures of what they did."""
        goal_set = self.envs[0].fixed_goals(order.split)
        chosen = np.linspace(0, len(goal_set) - 1, min(order.goals, len(goal_set))).astype(int)  # spread over the whole set
        kind = order.kind
        if kind == "untrained":
            self.policy.load_snapshot(self.untrained)
            kind = "policy"
        seed = TEST_SEED if order.split == "test" else 2 * TEST_SEED  # the same starts for every run: comparisons are paired
        return evaluate(self.envs, self.policy, goal_set.take(chosen), seed, kind=kind, film=order.film, pictures=order.split == "test")

    def close(self) -> None:
        """Close the simulators."""
        for env in self.envs:
            env.close()


def _serve(connection: Any, settings: Settings) -> None:
    """Body of the collector process: answer requests until the learner hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the learner's: it decides when collecting ends
    try:
        world = World(settings)
        while True:
            request = connection.recv()
            if request is None:
                break
            connection.send(world.serve(request))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the learner is gone
    except UserError as error:
        connection.send(error)
    except Exception as error:
        connection.send(RuntimeError(f"the collector failed: {error}\n{traceback.format_exc()}"))


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main script from a process being spawned, which would run it again: scripts need no ``__main__`` guard then."""
    main = sys.modules["__main__"]
    hidden = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


class Collector:
    """Sends requests to a collector process and receives results; a dead process is restarted and counted.

    At most one request is in flight. With ``practice.collector_process=false`` the same work happens in this process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.restarts = 0
        self.in_flight: Request | None = None
        self._inline: World | None = None
        self._process: Any = None
        self._connection: Any = None
        if settings.practice.collector_process:
            self._start()
        else:
            self._inline = World(settings)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.settings), daemon=True, name="gcrl-collector")
        with _without_main():
            self._process.start()
        theirs.close()

    def send(self, request: Request) -> None:
        """Hand over a request; returns at once when collecting in a process."""
        self.in_flight = request
        if self._connection is not None:
            try:
                self._connection.send(request)
            except (BrokenPipeError, ConnectionResetError):
                self._restart()

    def receive(self) -> Result:
        """Return the result of the request in flight.

        Raises:
            UserError: the environment or policy cannot be built in the collector.
            RuntimeError: collecting failed, or its process died three times over one request.
        """
        assert self.in_flight is not None, "nothing was requested"
        if self._inline is not None:
            result: Any = self._inline.serve(self.in_flight)
        else:
            for attempt in range(3):
                try:
                    result = self._connection.recv()
                    break
                except (EOFError, ConnectionResetError):
                    if attempt == 2:
                        raise RuntimeError("the collector process died three times over the same request") from None
                    self._restart()
        if isinstance(result, Exception):
            raise result
        self.in_flight = None
        answer: Result = result
        return answer

    def _restart(self) -> None:
        self.restarts += 1
        self._connection.close()
        self._process.join(timeout=5)
        self._start()
        self._connection.send(self.in_flight)

    def close(self) -> None:
        """Stop the process or close the simulators."""
        if self._inline is not None:
            self._inline.close()
        elif self._process is not None:
            try:
                if self.in_flight is None:
                    self._connection.send(None)
                    self._process.join(timeout=5)
            except (BrokenPipeError, OSError):
                pass
            if self._process.is_alive():
                self._process.terminate()
                self._process.join(timeout=5)
            self._connection.close()
