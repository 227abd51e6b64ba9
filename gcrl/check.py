"""``gcrl check MODULE:CLASS``: does an environment keep the contract? The command line of `envs.conformance`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import envs
from envs.conformance import run_checks
from envs.errors import UserError
from gcrl.overrides import value_of


def check(name: str, overrides: Sequence[str] = (), seed: int = 0) -> dict[str, Any]:
    """Return {env, ok, checks: [{name, promise, state, problems}]} of the environment `name`; state is ok, failed or not claimed.

    Args:
        name: ``module:Class``, an id of ours or of any Gymnasium goal environment.
        overrides: its arguments, as ``KEY=VALUE`` or ``env.KEY=VALUE``.

    Raises:
        UserError: there is no such class, it lacks methods of the contract, or it cannot be built.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # one's own modules are found from a shell; last, so that they hide nothing
    env = envs.make(name, **_arguments(overrides))
    try:
        outcomes = list(run_checks(env, seed))
    finally:
        env.close()
    rows = [
        {
            "name": outcome.name,
            "promise": outcome.promise,
            "state": "not claimed" if not outcome.claimed else "failed" if outcome.problems else "ok",
            "problems": [problem.removeprefix(f"{outcome.name}: ") for problem in outcome.problems],
        }
        for outcome in outcomes
    ]
    return {"env": name, "ok": not any(row["problems"] for row in rows), "checks": rows}


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
    unclaimed = f", {skipped} not claimed by its capabilities (-)" if skipped else ""
    return "\n".join([*lines, f"{report['env']}: {passed} ok, {failed} failed{unclaimed}"])


def _arguments(overrides: Sequence[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for text in overrides:
        key, equals, _ = text.removeprefix("env.").partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"cannot read '{text}'; expected KEY=VALUE, an argument of the environment such as image_size=48")
        arguments[key] = value_of(text.removeprefix("env."))
    return arguments
