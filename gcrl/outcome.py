"""What a run came to: evaluations along the way, the final one on the test goals, its films and its report."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.api import TaskEnv
from gcrl.checkpoint import write_atomically
from gcrl.evaluation import Evaluation
from gcrl.metrics_log import read_metrics
from gcrl.request import EvaluationOrder, Request
from gcrl.schedule import BASELINES, OFFLINE, total_epochs
from gcrl.settings import Settings
from gcrl.world import Result

if TYPE_CHECKING:
    from gcrl.practice import Practice

BASELINES_FILE, OFFLINE_FILE = "baselines.json", "after_offline.json"


def named(group: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return `metrics` with `group/` before each name."""
    return {f"{group}/{name}": value for name, value in metrics.items()}


def log_collection(folder: Path, env: TaskEnv, result: Result, request: Request) -> dict[str, Any]:
    """Return what an epoch's metrics say of a result: what its episodes cover, and the evaluations that came with it."""
    metrics: dict[str, Any] = {"collector/seconds": result.seconds, "collector/aborts": len(result.aborted)}
    if result.episodes is not None and hasattr(env, "coverage"):
        achieved = result.episodes.observations["achieved_goal"]
        rows = np.concatenate([achieved[index, : length + 1] for index, length in enumerate(result.episodes.lengths)])
        metrics |= named("achieved", env.coverage(rows))
    metrics |= named("plans", result.plans)
    for name, evaluation in result.evaluations.items():
        metrics |= log_evaluation(folder, name, evaluation, request)
    return metrics


def log_evaluation(folder: Path, name: str, evaluation: Evaluation, request: Request) -> dict[str, Any]:
    """Return an evaluation as metrics of the epoch; what the final one is compared with is kept in a file of its own, whole."""
    summary = evaluation.summary()
    if name in BASELINES:
        write_atomically(folder / BASELINES_FILE, json.dumps(baselines(folder) | {name: summary}, indent=1))
        return {f"{name}/success_rate": summary["success_rate"]}
    steps = 0 if name == OFFLINE else request.env_steps  # what was collected by then has not been learnt from
    if name == OFFLINE:
        write_atomically(folder / OFFLINE_FILE, json.dumps(summary | {"env_steps": 0, "updates": request.updates}, indent=1))
    scalars = {f"{name}/{key}": value for key, value in summary.items() if isinstance(value, float)}
    return scalars | {f"{name}/env_steps": steps, f"{name}/updates": request.updates}


def baselines(folder: Path) -> dict[str, Any]:
    """Return the evaluations of the policies that learnt nothing, as far as they were measured."""
    return _read(folder / BASELINES_FILE)


def untrained(folder: Path) -> dict[str, Any] | None:
    """Return the best of the untrained, random and zero-action policies (by success, then by distance), or None if not measured."""
    known = baselines(folder)
    if not known:
        return None
    best = max(known, key=lambda kind: (known[kind]["success_rate"], -known[kind]["distance"]))
    return {"policy": best, **known[best]}


def after_offline(folder: Path) -> dict[str, Any]:
    """Return the figures on the test goals of the policy that the dataset alone made; {} where none was measured."""
    return _read(folder / OFFLINE_FILE)


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write_evaluation(folder: Path, evaluation: Evaluation, details: dict[str, Any]) -> dict[str, Any]:
    """Write ``evaluation.json`` and ``evaluation.npz`` into the run folder and return the former's object."""
    summary = {**evaluation.summary(), **details, "untrained": untrained(folder)}
    if before_practice := after_offline(folder):
        summary[OFFLINE] = before_practice
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **evaluation.pictures())
    partial = folder / "evaluation.npz.tmp"
    partial.write_bytes(buffer.getvalue())
    os.replace(partial, folder / "evaluation.npz")
    write_atomically(folder / "evaluation.json", json.dumps(summary, indent=1) + "\n")
    return summary


def finish(run: Practice) -> None:
    """Evaluate the practised policy on the test goals, write evaluation, films and report, and say where they are."""
    practice, learner = run.practice, run.learner
    if run.collector.in_flight is not None:
        run.stopped = run.collector.receive().stopped  # an interrupted run's next epoch: resuming collects it again
    if not run.stopped and learner.fitted and practice.final_goals:
        run.progress.phase("evaluation on the test goals")
        order = EvaluationOrder(
            "final", "policy", "test", practice.final_goals, practice.film_goals if learner.env.capabilities.images else 0
        )
        nothing = np.zeros(0, np.int64)
        missing = [EvaluationOrder(kind, kind, "test", practice.final_goals) for kind in BASELINES if kind not in baselines(run.folder)]
        request = Request(run.epoch, learner.policy.snapshot(), None, nothing, "policy", nothing.astype(bool), None, [order, *missing])
        run.collector.send(request)
        with run.watch("final evaluation"):
            result = run.collector.receive()
        run.warn_of_plans(result)
        run.stopped, evaluation = result.stopped, result.evaluations.pop("final", None)
        for name, measured in result.evaluations.items():
            log_evaluation(run.folder, name, measured, request)
        details = {
            "goals": "test",
            "factors": list(learner.env.factors),
            "experiment": run.settings.experiment,
            "seed": run.settings.seed,
            "env_steps": run.env_steps,
            "updates": learner.updates,
            "wall_s": round(run.wall, 1),
            "finished": run.epoch == run.epochs,
        }
        if evaluation is not None:
            summary = write_evaluation(run.folder, evaluation, details)
            run.progress.close()
            run.progress.say(in_words(summary))
    if run.stopped:
        run.progress.say(f"the robot stopped ({run.stopped}) and stays still; `gcrl resume {run.folder}` goes on once it may move")
    from gcrl.report import write_report

    with run.watch("report"):
        page = write_report([run.folder])
    if run.settings.profile:
        run.progress.say(f"where the time went (learner process, {run.wall:.0f} s):\n{run.watch.table()}")
    run.progress.say(f"report: {page}")


def has_finished(folder: Path, settings: Settings) -> bool:
    """Return whether the run in `folder` made all its epochs, was evaluated as its `settings` ask, and has its report."""
    rows = read_metrics(folder)
    if not rows or rows[-1]["epoch"] + 1 < total_epochs(settings) or not (folder / "report.html").exists():
        return False
    if not settings.practice.final_goals:
        return True
    try:
        return bool(json.loads((folder / "evaluation.json").read_text())["finished"])
    except (OSError, ValueError, KeyError):
        return False


def in_words(summary: dict[str, Any]) -> str:
    """Return an evaluation as one line."""
    low, high = summary["success_rate_interval"]
    line = f"success {summary['success_rate']:.2f} [{low:.2f}, {high:.2f}] on {summary['episodes']} {summary['goals']} goals"
    skip = ("success_rate", "episodes", "goals", "env_steps", "updates", "wall_s", "seed")
    for key, value in summary.items():
        if isinstance(value, float) and key not in skip:
            line += f", {key.replace('_', ' ')} {value:.3f}"
    if by_task := summary.get("by_task"):
        line += " (" + ", ".join(f"{name} {found['success_rate']:.2f} of {found['episodes']}" for name, found in by_task.items()) + ")"
    if summary["updates"] and not summary["env_steps"]:
        line += " (from the dataset alone)"
    elif OFFLINE in summary:
        line += f" (from the dataset alone: success {summary[OFFLINE]['success_rate']:.2f})"
    if summary.get("untrained"):
        line += f" (untrained: success {summary['untrained']['success_rate']:.2f})"
    return line
