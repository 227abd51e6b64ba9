"""The first screen: what came out, against an untrained policy, at what cost, and the command to run it again."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from gcrl.report.figures import interval
from gcrl.report.markup import duration, number, span, table
from gcrl.report.runs import RunRecord, unit_of


def headline(groups: dict[str, list[RunRecord]], film: str) -> str:
    """Return the page's head for runs grouped by label, the `film` (inline HTML or empty) beside it."""
    runs = [run for group in groups.values() for run in group]
    first = runs[0]
    task = first.config.get("env_id")
    names = dict.fromkeys(run.experiment for run in runs)
    title = f"<h1>{escape(' and '.join(names))}</h1>"
    title += f'<p class="muted">{escape(str(task))} · {escape(_parts(first))}</p>' if task else ""
    tiles = _tiles(next(iter(groups.values()))) if len(groups) == 1 else ""
    waiting = (
        ""
        if any(run.evaluation for run in runs)
        else '<p class="note">No final evaluation yet: the run is going on, or was interrupted.</p>'
    )
    if any((run.evaluation or {}).get("finished") is False for run in runs):
        waiting = '<p class="note">Stopped before the last epoch that its settings ask for.</p>'
    command = f'<p class="muted">Run it again:</p><pre class="command">{escape(first.command)}</pre>' if first.command else ""
    by_task = tasks_table(next(iter(groups.values()))) if len(groups) == 1 else ""
    body = f"{title}{tiles}{by_task}{waiting}{_facts(runs)}{runs_table(groups, short=True) if len(runs) > 1 else ''}{command}"
    return f"<header{'' if film else ' class=' + chr(34) + 'alone' + chr(34)}><div>{body}</div>{film}</header>"


def _parts(run: RunRecord) -> str:
    """Name the run's main choices: representation, goal sampler, agent."""
    found = []
    for key in ("representation", "goal_sampler", "agent"):
        choice = run.config.get(key)
        target = choice.get("target") if isinstance(choice, dict) else choice
        if target:
            found.append(str(target).rsplit(":", 1)[-1])
    return ", ".join(found)


def _facts(runs: list[RunRecord]) -> str:
    first, seeds = runs[0], ", ".join(str(run.seed) for run in runs)
    steps = [run.last("env_steps") for run in runs]
    updates = [run.last("updates") for run in runs]
    walls = [run.last("wall_s") for run in runs]
    costs = [
        (number(_mean(steps)), "environment steps"),
        (number(_mean(updates)), "updates"),
        (duration(_mean(walls)), "wall time" + (" a run" if len(runs) > 1 else "")),
    ]
    items = [f"<li>{escape(value)} <span>{escape(name)}</span></li>" for value, name in costs if value != "–"]
    origin = [("seeds" if len(runs) > 1 else "seed", seeds), ("on", first.date)]
    items += [f"<li><span>{name}</span> {escape(value)}</li>" for name, value in origin]
    return f'<ul class="facts">{"".join(items)}</ul>'


def _mean(values: list[Any]) -> float | None:
    known = [float(value) for value in values if isinstance(value, (int, float))]
    return round(sum(known) / len(known), 1) if known else None


def _tiles(runs: list[RunRecord]) -> str:
    """Return success and the task's figures with their 95 % interval and the untrained policy's, over seeds if several."""
    evaluated = [run for run in runs if run.evaluation]
    if not evaluated:
        return ""
    tiles: list[str] = []
    for name in ["success_rate", *evaluated[0].figures()]:
        value, bounds, untrained, untrained_bounds = _figure(evaluated, name)
        if value is None:
            continue
        label, unit = unit_of(name, evaluated[0].factors)
        label = "success" if name == "success_rate" else label
        shown = f"{number(value, name)} {unit}".strip()
        lines = [f'<b>{escape(shown)}</b><span class="name">{escape(label)}</span>']
        if span(bounds, name):
            lines.append(f'<span class="muted">95 % interval {escape(span(bounds, name))}</span>')
        if untrained is not None:
            extra = f" ({span(untrained_bounds, name)})" if span(untrained_bounds, name) else ""
            lines.append(f'<span class="muted">untrained {escape(number(untrained, name) + extra)}</span>')
        before = [run.evaluation["offline"][name] for run in evaluated if run.evaluation and name in run.evaluation.get("offline", {})]
        if before:
            lines.append(f'<span class="muted">from the dataset alone {escape(number(sum(before) / len(before), name))}</span>')
        tiles.append(f"<div{' class=first' if not tiles else ''}>{''.join(lines)}</div>")
    evaluation = evaluated[0].evaluation or {}
    over = f"{number(evaluation['episodes'])} {evaluation.get('goals', 'test')} goals" if "episodes" in evaluation else "test goals"
    seeds = f", {len(evaluated)} seeds" if len(evaluated) > 1 else ""
    kind = (evaluation.get("untrained") or {}).get("policy")
    best = f" (of untrained, random and zero actions the best: {kind})" if kind else ""
    measured = f'<p class="muted">Measured on {escape(over + seeds)}, the untrained policy{escape(best)} on the same.</p>'
    return f'<div class="figures">{"".join(tiles[:4])}</div>{measured}'


def _figure(runs: list[RunRecord], name: str) -> tuple[float | None, list[float] | None, float | None, list[float] | None]:
    """Return value, its interval, the untrained policy's value and interval: over goals for one run, over seeds for several."""
    found = [run.evaluation for run in runs if run.evaluation and isinstance(run.evaluation.get(name), (int, float))]
    if not found:
        return None, None, None, None
    base = [
        one["untrained"] for one in found if isinstance(one.get("untrained"), dict) and isinstance(one["untrained"].get(name), (int, float))
    ]
    untrained = float(np.mean([one[name] for one in base])) if base else None
    if len(found) == 1:
        bounds = base[0].get(f"{name}_interval") if base else None
        return float(found[0][name]), found[0].get(f"{name}_interval"), untrained, bounds
    mean, low, high = (float(part[0]) for part in interval(np.array([[float(one[name])] for one in found])))
    bounds = [max(0.0, low), min(1.0, high)] if name == "success_rate" else [low, high]
    return mean, bounds, untrained, None


def runs_table(groups: dict[str, list[RunRecord]], short: bool = False) -> str:
    """Return a table with a row per run, or per group (`short`) with mean and 95 % interval over its seeds."""
    runs = [run for group in groups.values() for run in group]
    figures = list(dict.fromkeys(name for run in runs for name in ["success_rate", *run.figures()] if run.evaluation))
    if short and len(groups) == 1:
        return ""
    header = ["" if short else "run", "seeds" if short else "seed", *(column_name(name, runs) for name in figures)]
    rows = []
    for label, group in groups.items():
        if short:
            cells = [_interval_cell(group, name) for name in figures]
            rows.append([label, str(len(group)), *cells])
            continue
        for run in group:
            cells = [number((run.evaluation or {}).get(name), name) for name in figures]
            cells += [number(run.last("env_steps")), duration(run.last("wall_s"))]
            rows.append([f"{label} · {run.path.name}" if len(groups) > 1 else run.path.name, str(run.seed), *cells])
    if not short:
        header += ["environment steps", "wall time"]
    return table(header, rows)


def tasks_table(runs: list[RunRecord]) -> str:
    """Return a table of success on each task that the test goals ask for, over seeds if several; "" where they ask for one alone."""
    found = [run.evaluation["by_task"] for run in runs if run.evaluation and isinstance(run.evaluation.get("by_task"), dict)]
    if not found:
        return ""
    rows = [
        [name, number(float(np.mean([one[name]["success_rate"] for one in found])), "success_rate"), number(found[0][name]["episodes"])]
        for name in found[0]
    ]
    return table(["task", "success", "goals"], rows)


def column_name(name: str, runs: list[RunRecord]) -> str:
    """Return a figure's name as a column's head, with its unit."""
    label, unit = unit_of(name, next((run.factors for run in runs if run.factors), []))
    return f"{label} / {unit}" if unit else label


def _interval_cell(group: list[RunRecord], name: str) -> str:
    value, bounds, _, _ = _figure(group, name)
    return "–" if value is None else f"{number(value, name)} ({span(bounds, name)})" if span(bounds, name) else number(value, name)
