"""``gcrl check NAME``: does an environment or a goal sampler keep its contract? The command line of the two ``conformance`` modules."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import envs
from envs.conformance import Check, run_checks
from envs.errors import UserError
from gcrl.build import build, import_class
from gcrl.config import load_settings
from gcrl.overrides import value_of
from goal_samplers import conformance as of_samplers
from goal_samplers.api import GoalSampler

SAMPLER = "goal_sampler"


def check(name: str, overrides: Sequence[str] = (), seed: int = 0) -> dict[str, Any]:
    """Return {env or goal_sampler: name, ok, checks: [{name, promise, state, problems}]}; state is ok, failed or not claimed.

    Args:
        name: of an environment, ``module:Class`` or an id of ours or of any Gymnasium goal environment; of a goal sampler,
            ``module:Class`` or ``goal_sampler=CHOICE``.
        overrides: its arguments, as ``KEY=VALUE``, ``env.KEY=VALUE`` or ``goal_sampler.KEY=VALUE``.

    Raises:
        UserError: there is no such class, it lacks methods of the contract, or it cannot be built.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # one's own modules are found from a shell; last, so that they hide nothing
    if name.startswith(f"{SAMPLER}=") or (":" in name and _samples(import_class(name, "check"))):
        choice = name.removeprefix(f"{SAMPLER}=")
        given = [f"{SAMPLER}.{text.removeprefix(f'{SAMPLER}.')}" for text in overrides]
        settings = load_settings([f"{SAMPLER}={choice}", *given])
        make = lambda: build(settings.goal_sampler, GoalSampler, SAMPLER, seed=seed, device="cpu")  # noqa: E731
        return _report(SAMPLER, choice, of_samplers.run_checks(make, seed))
    env = envs.make(name, **_arguments(overrides))
    try:
        return _report("env", name, run_checks(env, seed))
    finally:
        env.close()


def _samples(cls: type[Any]) -> bool:
    return hasattr(cls, "sample") and not hasattr(cls, "reset")


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
    name = report.get("env", report.get(SAMPLER))
    return "\n".join([*lines, f"{name}: {passed} ok, {failed} failed{unclaimed}"])


def _arguments(overrides: Sequence[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for text in overrides:
        key, equals, _ = text.removeprefix("env.").partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"cannot read '{text}'; expected KEY=VALUE, an argument of the environment such as image_size=48")
        arguments[key] = value_of(text.removeprefix("env."))
    return arguments
