"""What was practised: goals proposed over time, attempts, and how achieved goals spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcrl.report import figures as fig
from gcrl.report.markup import picture, section, strip
from gcrl.report.practised import Practised, spread
from gcrl.report.runs import RunRecord, unit_of

MAX_FACTORS = 6


def factor_names(run: RunRecord, practised: Practised, count: int) -> list[str]:
    """Return `count` factor names with units: the evaluation's, else the dataset's, else numbers."""
    for names in (run.factors, practised.factors):
        if len(names) == count:
            return names
    return [f"goal_{index}" for index in range(count)]


def proposals_section(run: RunRecord, practised: Practised) -> str:
    """Return the goals proposed over time, as pictures, or as points where the task has no pictures."""
    if practised.attempts:
        return _pictures(practised)
    return _planes(run, practised)


def _pictures(practised: Practised) -> str:
    rows, columns = [], max(len(attempt.finals) for attempt in practised.attempts)
    for attempt in practised.attempts:
        shown = {"goal": attempt.goals, "where it ended": attempt.finals}
        parts = {name: part for name, part in shown.items() if part is not None}
        sheet = picture(strip(list(parts.values()), columns=columns), f"epoch {attempt.epoch}: {', '.join(parts)}")
        names = [f"<span>{name}</span>" for name in parts]
        how = "<br> <span>at random</span>" if attempt.provenance == "random" else ""
        names[0] = f"<div>epoch {attempt.epoch}{how}<br> {names[0]}</div>"
        rows.append(f'<div class="row"><div class="epoch">{"".join(names)}</div><div>{sheet}</div></div>')
    if all(attempt.goals is None for attempt in practised.attempts):
        return section(
            "What was practised", "Where attempts ended, evenly spread over each epoch; the goals have no pictures.", "".join(rows)
        )
    lede = "What the robot asked of itself. Of each epoch some goals, evenly spread over its episodes; below each, where the attempt ended."
    return section("Goals proposed over time", lede, "".join(rows))


def _planes(run: RunRecord, practised: Practised) -> str:
    """Draw proposed over achieved goals in the plane of the two factors that vary most, for five epochs."""
    charts = planes(practised, factor_names(run, practised, practised.frames.shape[1]), 5, plane_of([practised]))
    lede = "Goals that the robot asked of itself (orange) over what it achieved (blue), in the plane of the two factors that vary most."
    return section("Goals proposed over time", lede, f'<div class="charts five">{"".join(charts)}</div>' if charts else "")


@dataclass
class Plane:
    """Two factors, by their indices in a goal (2,), and the range of each: ((low, high), (low, high))."""

    pair: NDArray[np.int64]
    limits: tuple[NDArray[np.float64], NDArray[np.float64]]


def plane_of(several: Sequence[Practised]) -> Plane | None:
    """Return the two factors that vary most in what these runs achieved, and the range of all of it; None with fewer than two."""
    frames = np.concatenate([one.frames for one in several])
    if frames.shape[1] < 2 or not len(frames):
        return None
    pair = np.sort(np.argsort(-np.nanstd(frames, axis=0), kind="stable")[:2])
    goals = [one.goals[np.isfinite(one.goals).all(axis=1)] for one in several if one.goals is not None and one.has_goals]
    pooled = np.concatenate([frames, *goals])[:, pair]
    low, high = np.nanmin(pooled, axis=0), np.nanmax(pooled, axis=0)
    pad = 0.05 * np.maximum(high - low, 1e-6)
    first, second = (np.array([low[i] - pad[i], high[i] + pad[i]]) for i in range(2))
    return Plane(pair, (first, second))


def planes(practised: Practised, names: Sequence[str], count: int, plane: Plane | None) -> list[str]:
    """Return up to `count` charts, early to late, of goals proposed over goals achieved in a plane; [] where no goal is known."""
    if not practised.has_goals or plane is None:
        return []
    assert practised.goals is not None
    labels = [" / ".join(filter(None, unit_of(names[index]))) for index in plane.pair]
    charts = []
    known = np.isfinite(practised.goals).all(axis=1)
    for epoch in spread(practised.episode_epochs[known], count):
        goals = practised.goals[known & (practised.episode_epochs == epoch)][:, plane.pair]
        frames = practised.frames[practised.frame_epochs == epoch][:, plane.pair]
        charts.append(fig.plane(goals, frames, f"epoch {epoch}", labels, plane.limits))
    return charts


def coverage_section(run: RunRecord, practised: Practised) -> str:
    """Return how achieved goals spread over time: one map of factor against epoch for each factor."""
    if not len(practised.frames):
        return ""
    count = practised.frames.shape[1]
    names = factor_names(run, practised, count)
    desired = run.arrays.get("desired")
    commanded = desired if desired is not None and desired.ndim == 2 and desired.shape[1] == count else None
    goals = practised.goals if practised.has_goals else None
    charts = [_coverage(practised, index, names[index], goals, commanded) for index in range(min(count, MAX_FACTORS))]
    lede = "Blue: the share of an epoch's frames in which the factor had this value (square-root scale)."
    if goals is not None:
        lede += " Orange: goals proposed, where their value is known."
    if commanded is not None:
        lede += " Green ticks at the right edge: the commanded test goals, which practice has not seen."
    if count > MAX_FACTORS:
        lede += f" The first {MAX_FACTORS} of {count} factors."
    return section("What was achieved over time", lede, f'<div class="charts">{"".join(charts)}</div>')


def _coverage(practised: Practised, index: int, name: str, goals: NDArray[np.float64] | None, commanded: NDArray[np.float64] | None) -> str:
    label, unit = unit_of(name)
    return fig.coverage(
        practised.frames[:, index],
        practised.frame_epochs,
        None if goals is None else goals[:, index],
        practised.episode_epochs,
        label,
        unit,
        None if commanded is None else np.asarray(commanded[:, index], dtype=np.float64),
    )
