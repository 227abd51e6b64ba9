"""The collector: the same episodes wherever and whenever a request is served, and a process that may die."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from run_cases import BITFLIP, DOOR, differences, flat, settings

from envs.errors import UserError
from gcrl import checkpoint
from gcrl.collector import Collector
from gcrl.learner import Learner
from gcrl.request import EvaluationOrder, Request, episode_seeds, kept_scenes
from gcrl.settings import Settings
from gcrl.world import Result

PROCESS = "practice.collector_process=true"


def request(given: Settings, explore: str = "policy", epoch: int = 1, states: list[bytes] | None = None) -> Request:
    """Return a request that a run of these settings could have made, with an evaluation of the policy and of each baseline."""
    learner = Learner(given)
    n = given.practice.episodes_per_epoch
    goals = learner.warmup_goals(n, epoch) if explore == "random" else learner.propose(n, epoch)
    orders = [EvaluationOrder(kind, kind, goals=3) for kind in ("policy", "untrained", "random", "zero")]
    seeds, keep = episode_seeds(given.seed, epoch, n), kept_scenes(given.practice, epoch)
    made = Request(epoch, learner.policy.snapshot(), goals, seeds, explore, keep, states, orders)
    learner.close()
    return made


def leaves(result: Result) -> dict[str, Any]:
    """Return a result's contents by name, without its time."""
    evaluations = {name: vars(evaluation) for name, evaluation in result.evaluations.items()}
    return flat({"episodes": vars(result.episodes), "evaluations": evaluations, "states": result.states})


def serve(given: Settings, *requests: Request) -> list[dict[str, Any]]:
    """Return what a new collector makes of `requests`."""
    collector = Collector(given)
    results = []
    for one in requests:
        collector.send(one)
        results.append(leaves(collector.receive()))
    collector.close()
    return results


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Request, Request]:
    """Return reset-free door settings and the requests of two epochs, the second from where the first ended."""
    given = settings([*DOOR, "practice.reset_every=0"], tmp_path_factory.mktemp("door") / "run")
    first = request(given, "random", 0)
    collector = Collector(given)
    collector.send(first)
    states = collector.receive().states
    collector.close()
    return given, first, request(given, "random", 1, states)


def test_a_request_is_all_that_episodes_depend_on(door: tuple[Settings, Request, Request]) -> None:
    given, first, second = door
    both = serve(given, first, second)
    assert differences(both[1], serve(given, second)[0]) == []  # by a collector that never saw the first
    assert differences(both[1], both[0]) != []
    given.practice.collector_process = True
    elsewhere = serve(given, second, first)  # in another process, in another order
    given.practice.collector_process = False
    assert differences(both[1], elsewhere[0]) == []
    assert differences(both[0], elsewhere[1]) == []


def test_a_request_survives_a_checkpoint_exactly(door: tuple[Settings, Request, Request], tmp_path: Path) -> None:
    given, _, second = door
    checkpoint.save(tmp_path, {"request": second.to_tree()})
    restored = Request.from_tree(checkpoint.load(tmp_path)["request"])
    assert differences(flat(second.to_tree()), flat(restored.to_tree())) == []
    assert differences(serve(given, second)[0], serve(given, restored)[0]) == []
    evaluation_only = Request(0, {}, None, np.zeros(0, np.int64), "policy", np.zeros(0, bool))
    checkpoint.save(tmp_path, evaluation_only.to_tree())
    assert Request.from_tree(checkpoint.load(tmp_path)).goals is None


def test_reset_free_episodes_begin_where_the_last_ones_ended(door: tuple[Settings, Request, Request]) -> None:
    given, first, second = door
    before, after = (results["/episodes/observations/observation"] for results in serve(given, first, second))
    simulators = given.practice.simulators
    ends = np.concatenate([before[simulators:], after[:simulators]])[:, -1]
    begins = np.concatenate([after[:simulators], after[simulators:]])[:, 0]
    assert np.array_equal(ends, begins)


def test_a_baseline_is_never_evaluated_with_the_weights_of_the_policy_nor_the_reverse(tmp_path: Path) -> None:
    given = settings(BITFLIP, tmp_path / "run")
    made = request(given)
    untrained = serve(given, made)[0]
    assert differences(_part(untrained, "policy"), _part(untrained, "untrained")) == []  # before any update they are the same
    for name, weights in made.snapshot["actor"].items():
        if weights.dtype.kind == "f" and weights.ndim == 2:
            made.snapshot["actor"][name] = -weights
    for orders in (made.evaluations, made.evaluations[::-1]):
        made.evaluations = orders
        trained = serve(given, made)[0]
        assert differences(_part(untrained, "untrained"), _part(trained, "untrained")) == []
        assert differences(_part(untrained, "policy"), _part(trained, "policy")) != []


def test_a_dead_process_is_asked_again_and_one_that_always_dies_is_given_up(
    door: tuple[Settings, Request, Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, _, made = door
    answer = serve(given, made)[0]
    monkeypatch.setattr(given.practice, "collector_process", True)
    collector = Collector(given, restarts=5)
    collector.send(made)
    assert collector._connection.poll(60)  # more than a pipe holds: it now dies in the middle of its answer
    kill(collector)
    assert differences(answer, leaves(collector.receive())) == []
    assert collector.restarts == 6
    kill(collector)  # between two requests
    collector.send(made)
    assert differences(answer, leaves(collector.receive())) == []
    assert collector.restarts == 7
    collector.send(made)
    monkeypatch.setattr("gcrl.collector.ATTEMPTS", 2)
    monkeypatch.setenv("GCRL_FAULT", "rollout:step:1")  # every process from now on dies at its first step
    kill(collector)
    with pytest.raises(UserError, match="the collector process died 2 times over the same request"):
        collector.receive()
    pid = collector.pid
    collector.close()
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_what_goes_wrong_in_the_process_is_said_here(tmp_path: Path) -> None:
    given = settings(BITFLIP, tmp_path / "run", PROCESS)
    made = request(given)
    made.evaluations = [EvaluationOrder("eval", split="tests")]
    collector = Collector(given)
    collector.send(made)
    with pytest.raises(UserError, match=r"unknown split 'tests' .did you mean 'test'"):
        collector.receive()
    collector.close()


def kill(collector: Collector) -> None:
    assert collector.pid is not None
    os.kill(collector.pid, signal.SIGKILL)


def _part(results: dict[str, Any], name: str) -> dict[str, Any]:
    prefix = f"/evaluations/{name}/"
    return {key.removeprefix(prefix): value for key, value in results.items() if key.startswith(prefix)}
