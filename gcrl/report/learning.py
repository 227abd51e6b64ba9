"""Learning curves, per run or over seeds, and the share of time that each part took."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gcrl.report import figures as fig
from gcrl.report.markup import number, section, table
from gcrl.report.runs import RunRecord, unit_of

_BOOKKEEPING = {
    "epoch",
    "env_steps",
    "updates",
    "wall_s",
    "episodes",
    "seed",
    "eval/env_steps",
    "eval/updates",
    "eval/episodes",
    "eval/wall_s",
}


def numeric_keys(runs: Sequence[RunRecord]) -> list[str]:
    """Return the metric names that hold numbers in some run, in order of first appearance."""
    seen = dict.fromkeys(key for run in runs for row in run.metrics for key in row)
    return [key for key in seen if key not in _BOOKKEEPING and any(len(run.series(key)[0]) for run in runs)]


def curve(runs: Sequence[RunRecord], key: str, label: str = "") -> fig.Curve | None:
    """Return the mean curve of `key` over the runs (seeds) with its 95 % interval, against environment steps; None without data.

    What is measured on a dataset's held-out episodes is drawn against updates: no steps are made meanwhile.
    """
    found = [(run, *run.series(key)) for run in runs]
    found = [one for one in found if len(one[1])]
    if not found:
        return None
    epochs = np.unique(np.concatenate([e for _, e, _ in found]))
    values, steps = np.full((2, len(found), len(epochs)), np.nan)
    for row, (run, e, v) in enumerate(found):
        at = np.searchsorted(epochs, e)
        values[row, at], steps[row, at] = v, run.steps_at(e, "updates" if _held_out(key) else "env_steps")
    mean, low, high = fig.interval(values)
    if "rate" in key:
        low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
    line = fig.Curve(label, np.nanmean(steps, axis=0), mean, low, high)
    if key.startswith("eval/"):
        _add_final(line, runs, key.removeprefix("eval/"))
    return line


def _held_out(key: str) -> bool:
    return key.startswith("validation/")


def _add_final(line: fig.Curve, runs: Sequence[RunRecord], name: str) -> None:
    finals = [run.evaluation for run in runs if run.evaluation and isinstance(run.evaluation.get(name), (int, float))]
    if not finals:
        return
    values = np.array([[float(one[name])] for one in finals])
    mean, low, high = (float(part[0]) for part in fig.interval(values))
    bounds = finals[0].get(f"{name}_interval")
    if len(finals) == 1 and isinstance(bounds, list) and len(bounds) == 2:
        low, high = bounds
    line.final = (mean, low, high)
    untrained = [one["untrained"][name] for one in finals if isinstance(one.get("untrained"), dict) and name in one["untrained"]]
    if untrained:
        line.untrained = float(np.mean(untrained))


def learning_section(groups: dict[str, list[RunRecord]]) -> str:
    """Return the learning curves: what is evaluated large, everything else that was logged small."""
    runs = [run for group in groups.values() for run in group]
    keys = [key for key in numeric_keys(runs) if not key.startswith("time/")]
    against = "environment steps" if any("env_steps" in row for run in runs for row in run.metrics) else "epoch"
    evaluated, other, constant = [], [], []
    for key in sorted(keys, key=lambda key: (key != "eval/success_rate", key == "eval/distance")):
        values = np.concatenate([run.series(key)[1] for run in runs])
        if key == "eval/distance" and _repeats(runs, keys):
            continue
        if key.startswith("eval/"):
            evaluated.append(_panel(groups, key, against))
        elif np.ptp(values) == 0 and max(len(run.metrics) for run in runs) > 1:
            constant.append(f"{key} = {number(float(values[0]))}")
        else:
            other.append(_panel(groups, key, against, small=True))
    body = f'<div class="charts">{"".join(evaluated)}</div>' if evaluated else ""
    if other:
        opened = "" if evaluated else " open"
        body += f'<details{opened}><summary>All {len(other)} training curves</summary><div class="charts small">{"".join(other)}</div>'
        body += f'<p class="muted">Constant throughout: {", ".join(constant)}.</p></details>' if constant else "</details>"
    lede = "Evaluated on tuning goals under the deterministic policy."
    if any(run.evaluation for run in runs):
        lede += " Diamond: the final evaluation on test goals. Dashed: the untrained policy on the same goals."
    if any(len(group) > 1 for group in groups.values()):
        lede += " Line: mean over seeds; band: its 95 % interval."
    return section("Learning curves", lede, body)


def _repeats(runs: Sequence[RunRecord], keys: Sequence[str]) -> bool:
    """Whether the distance is one of the task's own figures under another name."""
    own = [key for key in keys if key.startswith("eval/") and key != "eval/distance"]
    return any(all(np.array_equal(run.series("eval/distance"), run.series(key)) for run in runs) for key in own)


def _panel(groups: dict[str, list[RunRecord]], key: str, against: str, small: bool = False) -> str:
    several = len(groups) > 1
    lines = [line for label, group in groups.items() if (line := curve(group, key, label if several else ""))]
    factors = next((run.factors for group in groups.values() for run in group if run.factors), [])
    name, unit = unit_of(key.removeprefix("eval/"), factors)
    size = (3.1, 1.9) if small else (3.9, 2.5)
    return fig.curves(lines, key if small else name, "updates" if _held_out(key) else against, unit=unit, rate="rate" in key, size=size)


def time_section(run: RunRecord) -> str:
    """Return how the wall time was spent: seconds per epoch and shares of the whole, by ``time/*``."""
    keys = [key for key in numeric_keys([run]) if key.startswith("time/")]
    epochs, wall = run.series("wall_s")
    if not keys or not len(epochs):
        return ""
    parts: dict[str, NDArray[np.float64]] = {}
    for key in keys:
        at, values = run.series(key)
        parts[key.removeprefix("time/").removesuffix("_s")] = _align(epochs, at, values)
    parts = dict(sorted(parts.items(), key=lambda part: -part[1].sum()))
    spent = np.diff(wall, prepend=0.0)
    other = np.maximum(spent - sum(parts.values()), 0.0)
    if other.sum() > 0.005 * max(spent.sum(), 1e-9):
        parts["other"] = other
    total = sum(float(values.sum()) for values in parts.values())
    rows = [[name, f"{values.sum():.1f} s", f"{100 * values.sum() / max(total, 1e-9):.0f} %"] for name, values in parts.items()]
    bars, shares = fig.stacked(epochs, parts, "seconds per epoch"), table(["part", "time", "share"], rows)
    body = f'<div class="charts wide">{bars}<div>{shares}</div></div>'
    return section("How the time was spent", "Wall-clock time of the learner, by part of the practice loop.", body)


def _align(epochs: NDArray[np.float64], at: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.zeros(len(epochs))
    out[np.searchsorted(epochs, at[np.isin(at, epochs)])] = values[np.isin(at, epochs)]
    return out
