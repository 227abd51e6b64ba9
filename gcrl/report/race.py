"""The page of a race: which arm did better, by how much and how surely, and what each proposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from gcrl.config import read_settings
from gcrl.parts import build_env
from gcrl.report import figures as fig
from gcrl.report.headline import column_name
from gcrl.report.markup import duration, number, picture, section, span, strip, table
from gcrl.report.page import several_runs, write_page
from gcrl.report.practice_sections import Plane, factor_names, plane_of, planes
from gcrl.report.practised import Practised, read_practised
from gcrl.report.runs import RunRecord, load_run
from gcrl.statistics import bootstrap_interval, interquartile_mean, paired_difference
from gcrl.visited import NAMES, coverage_so_far, measure_of, read_visits

LESS_IS_BETTER = ("_error", "distance", "_m", "_rad")  # how a figure of the task ends that should be small
SEEDS_ASKED = 5
BUDGET = ("environment steps", "updates")
STAGES = ("early", "midway", "late")


@dataclass
class Arm:
    """One arm: its runs by seed; visited: per run the steps (m,) and the coverage so far (m dicts); figures: {name: {seed: value}}."""

    label: str
    runs: list[RunRecord]
    visited: list[tuple[Any, list[dict[str, float]]]]
    figures: dict[str, dict[int, float]]


def write_race(arms: Mapping[str, Sequence[Path]], out: Path, command: str = "") -> dict[str, Any]:
    """Write the page of a race as one HTML file and return its figures.

    Args:
        arms: the run folders of each arm, one per seed; those that have not ended are read as far as they came.
        command: what a person types to go on with the race.

    Returns:
        ``arms``: {label: {figure: {"iqm", "interval", "seeds"}}}; ``differences``: of every figure, each arm against the best one;
        ``page``: where it is.
    """
    visits = {folder: read_visits(folder / "practice.h5") for folders in arms.values() for folder in folders}
    env = build_env(read_settings(next(iter(visits)) / "config.yaml"))
    env.close()
    measure, grid = measure_of(env, list(visits.values()))
    racing = []
    for label, folders in arms.items():
        runs = [load_run(folder) for folder in folders]
        along = [coverage_so_far(visits[folder], measure) for folder in folders]
        racing.append(Arm(label, runs, along, _figures(runs, along)))
    names = list(dict.fromkeys(name for arm in racing for name in arm.figures))
    differences = [found for name in names for found in _differences(racing, name)]
    runs = [run for arm in racing for run in arm.runs]
    body = [
        section("Who is ahead, and how surely", _doubt(racing), _verdicts(differences, runs)),
        _curves(racing, grid),
        _proposals(racing),
        several_runs({arm.label: arm.runs for arm in racing}),
    ]
    summaries = {arm.label: _summary(arm) for arm in racing}
    head = _head(racing, summaries, names, command)
    write_page(out, f"{runs[0].experiment} · gcrl compare", head, "\n".join(body), [run.path for run in runs])
    return {"arms": summaries, "differences": differences, "page": str(out)}


def _figures(runs: Sequence[RunRecord], along: Sequence[tuple[Any, list[dict[str, float]]]]) -> dict[str, dict[int, float]]:
    """Return {figure: {seed: value}}: success and the task's figures on test goals, and coverage and entropy of all that was visited."""
    found: dict[str, dict[int, float]] = {}
    for run, (_, covered) in zip(runs, along, strict=True):
        figures = {name: (run.evaluation or {})[name] for name in ["success_rate", *run.figures()] if run.evaluation}
        figures |= {name: covered[-1][name] for name in NAMES if covered}
        for name, value in figures.items():
            found.setdefault(name, {})[int(run.seed)] = float(value)
    return found


def _summary(arm: Arm) -> dict[str, Any]:
    out = {}
    for name, values in arm.figures.items():
        iqm, low, high = bootstrap_interval(list(values.values()))
        out[name] = {"iqm": iqm, "interval": [low, high], "seeds": values}
    return out


def _better(name: str) -> int:
    return -1 if name.endswith(LESS_IS_BETTER) else 1


def _differences(racing: Sequence[Arm], name: str) -> list[dict[str, Any]]:
    """Return how each arm stands against the one that is best in a figure, over the seeds that both have."""
    holders = [arm for arm in racing if arm.figures.get(name)]
    if len(holders) < 2:
        return []
    sign = _better(name)
    shared = set.intersection(*(set(arm.figures[name]) for arm in holders))
    best = max(holders, key=lambda arm: sign * interquartile_mean([arm.figures[name][s] for s in shared or arm.figures[name]]))
    found = []
    for arm in holders:
        seeds = sorted(set(arm.figures[name]) & set(best.figures[name]))
        if arm is best or not seeds:
            continue
        mean, low, high, verdict = paired_difference([best.figures[name][s] for s in seeds], [arm.figures[name][s] for s in seeds])
        sure = {">": "better" if sign > 0 else "worse", "<": "worse" if sign > 0 else "better"}.get(verdict, "tie")
        found.append(
            {
                "figure": name,
                "best": best.label,
                "against": arm.label,
                "seeds": seeds,
                "difference": mean,
                "interval": [low, high],
                "verdict": "one seed" if len(seeds) < 2 else sure,
            }
        )
    return found


def _head(racing: Sequence[Arm], summaries: Mapping[str, dict[str, Any]], names: Sequence[str], command: str) -> str:
    runs = [run for arm in racing for run in arm.runs]
    rows = []
    for arm in racing:
        cells = [_cell(summaries[arm.label].get(name), name) for name in names]
        walls = [run.last("wall_s") for run in arm.runs if run.last("wall_s")]
        budget = [] if _equal(racing) else _budget(arm)
        rows.append([arm.label, str(len(arm.runs)), *cells, *budget, duration(sum(walls) / len(walls) if walls else None)])
    header = ["", "seeds", *(column_name(name, runs) for name in names), *([] if _equal(racing) else BUDGET), "time a run"]
    body = f"<h1>{escape(' · '.join(arm.label for arm in racing))}</h1>"
    body += f'<p class="muted">A race on {escape(runs[0].experiment)}, {escape(str(runs[0].config.get("env_id", "")))}</p>'
    body += table(header, rows)
    body += '<p class="muted">Interquartile means over seeds (95 % bootstrap interval). Success and distances on test goals, '
    body += "coverage and entropy (nats) of all that was visited."
    if _equal(racing):
        body += " Every run had " + " and ".join(f"{amount} {name}" for amount, name in zip(_budget(racing[0]), BUDGET)) + "."
    body += "</p>"
    if command:
        body += f'<p class="muted">Run it again, or go on with it:</p><pre class="command">{escape(command)}</pre>'
    return f'<header class="alone"><div>{body}</div></header>'


def _cell(found: dict[str, Any] | None, name: str) -> str:
    if found is None:
        return "–"
    bounds = span(found["interval"], name)
    return number(found["iqm"], name) + (f" ({bounds})" if bounds else "")


def _budget(arm: Arm) -> list[str]:
    """Return environment steps and updates, a range where the runs of an arm differ (one was stopped, or goes on)."""
    cells = []
    for key in ("env_steps", "updates"):
        values = [run.last(key) or 0 for run in arm.runs]
        cells.append(number(max(values)) if min(values) == max(values) else f"{number(min(values))}–{number(max(values))}")
    return cells


def _equal(racing: Sequence[Arm]) -> bool:
    return len({(run.last("env_steps"), run.last("updates")) for arm in racing for run in arm.runs}) == 1


def _doubt(racing: Sequence[Arm]) -> str:
    """Say how far the verdicts carry: seeds, and whether all have had their budget."""
    fewest = min(len(arm.runs) for arm in racing)
    text = "Mean difference over paired seeds with its 95 % interval (Student's t); an interval that holds 0 is a tie."
    if fewest < SEEDS_ASKED:
        text += f" With {fewest} seed{'s' if fewest > 1 else ''} this is exploratory: {SEEDS_ASKED} are what a claim takes."
    if not _equal(racing):
        text += " <b>Not every run has had the same environment steps and updates</b> (yet): the figures are not comparable."
    return text


def _verdicts(differences: Sequence[dict[str, Any]], runs: list[RunRecord]) -> str:
    rows = []
    for one in differences:
        low, high = one["interval"]
        bounds = f"[{low:+.3g}, {high:+.3g}]" if np.isfinite(low) else "–"
        name = column_name(one["figure"], runs)
        rows.append(
            [
                name,
                f"{one['best']} against {one['against']}",
                f"{one['difference'] + 0.0:.3g}",
                bounds,
                str(len(one["seeds"])),
                one["verdict"],
            ]
        )
    return table(["figure", "the best against", "difference", "95 % interval", "seeds", "verdict"], rows) if rows else ""


def _curves(racing: Sequence[Arm], grid: str) -> str:
    charts = []
    for name in NAMES:
        lines = []
        for arm in racing:
            rows = [(steps, [one[name] for one in covered]) for steps, covered in arm.visited if covered]
            if rows:
                x = max((steps for steps, _ in rows), key=lambda steps: steps[-1])
                values = np.array([np.interp(x, steps, value, right=np.nan) for steps, value in rows])
                mean, low, high = fig.interval(values)
                lines.append(fig.Curve(arm.label, np.asarray(x, float), mean, np.maximum(low, 0), high))
        charts.append(fig.curves(lines, f"{name} of all visited so far", "environment steps"))
    lede = f"Measured on {escape(grid)}. Line: mean over seeds; band: its 95 % interval."
    return section("What was visited", lede, f'<div class="charts">{"".join(charts)}</div>')


def _proposals(racing: Sequence[Arm]) -> str:
    """Return a grid, a row per arm: what it proposed early, midway and late, with its first seed."""
    practised = {arm.label: read_practised(run.path / "practice.h5", 3, 9, policy_only=True) for arm in racing for run in arm.runs[:1]}
    plane = plane_of(list(practised.values())) if all(len(one.frames) for one in practised.values()) else None
    rows = []
    for arm in racing:
        cells = _shown(arm.runs[0], practised[arm.label], plane)
        if cells:
            rows.append(
                f'<h3>{escape(arm.label)}</h3><div class="charts five">{"".join(f"<figure>{cell}</figure>" for cell in cells)}</div>'
            )
    lede = "Of each arm's first seed, early, midway and late. Pictures: goals proposed. Points: proposed (orange) over achieved (blue)."
    return section("What each proposed", lede, "".join(rows))


def _shown(run: RunRecord, practised: Practised, plane: Plane | None) -> list[str]:
    with_goals = [attempt for attempt in practised.attempts if attempt.goals is not None]
    if not with_goals:
        return planes(practised, factor_names(run, practised, practised.frames.shape[1]), len(STAGES), plane)
    cells = []
    for attempt in with_goals:
        assert attempt.goals is not None
        grid = [attempt.goals[at : at + 3] for at in range(0, len(attempt.goals), 3)]
        cells.append(picture(strip(grid), f"epoch {attempt.epoch}") + f"<figcaption>epoch {attempt.epoch}</figcaption>")
    return cells
