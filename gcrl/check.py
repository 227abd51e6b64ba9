"""``gcrl check NAME``: does an environment, representation, goal sampler or planner keep its contract? Runs the ``conformance`` modules."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from gymnasium import spaces

import envs
from envs.conformance import Check, run_checks
from envs.errors import UserError
from gcrl.build import build, import_class
from gcrl.config import load_settings
from gcrl.overrides import value_of
from gcrl.settings import Settings
from goal_samplers import conformance as of_samplers
from goal_samplers.api import GoalSampler
from goal_samplers.planners import conformance as of_planners
from goal_samplers.planners.api import SubgoalPlanner
from representations import conformance as of_representations
from representations.api import Representation

PARTS = ("representation", "goal_sampler", "planner")


def check(name: str, overrides: Sequence[str] = (), seed: int = 0) -> dict[str, Any]:
    """Return {kind: name, ok, checks: [{name, promise, state, problems}]}; state is ok, failed or not claimed.

    Args:
        name: of an environment, ``module:Class`` or an id of ours or of any Gymnasium goal environment; of a representation, a goal
            sampler or a planner, ``module:Class``, ``representation=CHOICE``, ``goal_sampler=CHOICE`` or ``planner=CHOICE``.
        overrides: its arguments, as ``KEY=VALUE``, with ``env.`` or the name of the part before them or without.

    Raises:
        UserError: there is no such class, it lacks methods of the contract, or it cannot be built.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # one's own modules are found from a shell; last, so that they hide nothing
    kind, choice = _kind(name)
    if kind != "env":
        given = [f"{kind}.{text.removeprefix(f'{kind}.')}" for text in overrides]
        return _report(kind, choice, _of_part(kind, load_settings([f"{kind}={choice}", *given]), seed))
    env = envs.make(name, **_arguments(overrides))
    try:
        return _report("env", name, run_checks(env, seed))
    finally:
        env.close()


def _kind(name: str) -> tuple[str, str]:
    """Return what `name` names (env or one of `PARTS`) and its choice: by its prefix, or by the methods of its class."""
    prefix, equals, choice = name.partition("=")
    if equals and prefix in PARTS:
        return prefix, choice
    if ":" in name:
        cls = import_class(name, "check")
        if hasattr(cls, "encode") and not hasattr(cls, "reset"):
            return "representation", name
        if hasattr(cls, "sample") and not hasattr(cls, "reset"):
            return "goal_sampler", name
        if hasattr(cls, "plan") and not hasattr(cls, "reset"):
            return "planner", name
    return "env", name


def _of_part(kind: str, settings: Settings, seed: int) -> Iterable[Check]:
    if kind == "goal_sampler":
        return of_samplers.run_checks(lambda: build(settings.goal_sampler, GoalSampler, kind, seed=seed, device="cpu"), seed)
    if kind == "planner":
        return of_planners.run_checks(lambda space: build(settings.planner, SubgoalPlanner, kind, goal_space=space, seed=seed), seed)

    def make(space: spaces.Dict) -> Any:
        return build(settings.representation, Representation, kind, observation_space=space, seed=seed, device="cpu")

    return of_representations.run_checks(make, seed)


def _report(kind: str, name: str, outcomes: Iterable[Check]) -> dict[str, Any]:
    rows = [
        {
            "name": outcome.name,
            "promise": outcome.promise,
            "state": "not claimed" if not outcome.claimed else "failed" if outcome.problems else "ok",
            "problems": [problem.removeprefix(f"{outcome.name}: ") for problem in outcome.problems],
        }
        for outcome in outcomes
    ]
    return {kind: name, "ok": not any(row["problems"] for row in rows), "checks": rows}


def as_text(report: dict[str, Any]) -> str:
    """Return the report as lines for people: every check with its state, below it what failed."""
    marks = {"ok": "ok", "failed": "FAILED", "not claimed": "-"}
    lines = []
    for row in report["checks"]:
        lines.append(f"{marks[row['state']]:7} {row['name']:13} {row['promise']}")
        lines += [f"        {' '.join(problem.split())}" for problem in row["problems"]]
    failed = sum(row["state"] == "failed" for row in report["checks"])
    passed = sum(row["state"] == "ok" for row in report["checks"])
    skipped = len(report["checks"]) - failed - passed
    unclaimed = f", {skipped} not claimed{' by its capabilities' if 'env' in report else ''} (-)" if skipped else ""
    name = next(report[kind] for kind in ("env", *PARTS) if kind in report)
    return "\n".join([*lines, f"{name}: {passed} ok, {failed} failed{unclaimed}"])


def _arguments(overrides: Sequence[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for text in overrides:
        key, equals, _ = text.removeprefix("env.").partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"cannot read '{text}'; expected KEY=VALUE, an argument of the environment such as image_size=48")
        arguments[key] = value_of(text.removeprefix("env."))
    return arguments
