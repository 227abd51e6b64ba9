"""What a goal file looks like: a contact sheet of its pictures, and how its goals cover the goal space, as figures and as a plot."""

from __future__ import annotations

import math
import os
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import Floats, TaskEnv
from envs.coverage import grid_coverage
from gcrl.goals.file import SPLITS, GoalFile
from gcrl.report.film import enlarge

BINS = 20
MOST, COLUMNS, SIDE, GAP, BAR = 64, 8, 96, 4, 26  # goals on a sheet, in a row; pixels
COLOURS = {"train": "#3b7dd8", "valid": "#e08a2c", "test": "#2f9e6e"}


def coverage(env: TaskEnv, achieved: Floats) -> dict[str, float]:
    """Return how the goals (n, g) cover the goal space: the task's own figures; where it has none, a share for each factor.

    The share of a factor is that of 20 cells hit, between the least and the greatest of the environment's committed goals.
    """
    if hasattr(env, "coverage"):
        return {name: float(value) for name, value in env.coverage(achieved).items()}
    reference = np.concatenate([env.fixed_goals(split).achieved for split in ("test", "tune")])
    low, high = reference.min(axis=0), reference.max(axis=0)
    return {
        name: grid_coverage(achieved[:, index], [low[index]], [high[index]], [BINS])["coverage"]
        for index, name in enumerate(env.factors)
        if high[index] > low[index]
    }


def goals_per_skill(file: GoalFile) -> dict[str, NDArray[np.int64]]:
    """Return how many goals of each split (3,) need each skill or task; one that needs two counts for both.

    Skills of the task that no goal needs are there with zeros.
    """
    if "goals/task" not in file.file:
        return {}
    tasks = [str(task).split("+") for task in file.read("task", file.rows())]
    masks = np.array([file.file["mask"][name][()] if name in file.file["mask"] else np.zeros(len(file), bool) for name in SPLITS])
    names = dict.fromkeys([*file.header.skills, *sorted({name for task in tasks for name in task})])
    needed = {name: np.array([name in task for task in tasks], bool) for name in names}
    return {name: (masks & rows).sum(axis=1) for name, rows in needed.items()}


def contact_sheet(path: Path, file: GoalFile) -> None:
    """Write a PNG of up to 64 goals spread evenly over `file`, every camera's picture of a goal side by side."""
    from PIL import Image, ImageDraw, ImageFont

    cameras = file.header.cameras
    columns = max(1, COLUMNS // len(cameras))
    rows = np.unique(np.linspace(0, len(file) - 1, min(MOST, len(file), columns * COLUMNS)).astype(int))
    views = [enlarge(file.read(f"images/{camera}", rows), SIDE) for camera in cameras]
    tiles: NDArray[np.uint8] = np.concatenate(views, axis=2)
    height, width = tiles.shape[1:3]
    across, down = min(columns, len(rows)), math.ceil(len(rows) / columns)
    caption = f"{file.header.env_id}  {len(rows)} of {len(file)} goals  {', '.join(cameras)}"
    font = ImageFont.load_default(size=14)
    page_width = max(across * (width + GAP) + GAP, math.ceil(font.getlength(caption)) + 2 * GAP)
    page = Image.new("RGB", (page_width, BAR + down * (height + GAP)), (24, 26, 30))
    ImageDraw.Draw(page).text((GAP, 4), caption, fill=(214, 218, 224), font=font)
    for index, tile in enumerate(tiles):
        page.paste(Image.fromarray(tile), (GAP + index % columns * (width + GAP), BAR + index // columns * (height + GAP)))
    partial = path.with_name(path.name + ".tmp")
    page.save(partial, format="PNG")
    os.replace(partial, path)


def coverage_plot(path: Path, file: GoalFile) -> None:
    """Write a PNG with a histogram of each factor by split, two factors against each other, and how many goals need each skill.

    The two are those that vary most of those that are measured, not numbers of things ("object_kind").
    """
    from matplotlib.figure import Figure

    achieved, factors = file.read("achieved", file.rows()), file.header.factors
    shown = min(len(factors), 15)
    measured = np.flatnonzero((achieved != np.round(achieved)).any(axis=0))
    skills = goals_per_skill(file)
    panels = shown + (len(measured) > 1) + (len(skills) > 1)
    across = min(4, panels)
    figure = Figure(figsize=(3.2 * across, 2.6 * math.ceil(panels / across) + 0.4), layout="constrained")
    axes: list[Any] = np.ravel(figure.subplots(math.ceil(panels / across), across, squeeze=False)).tolist()
    splits = {name: np.flatnonzero(file.file["mask"][name][()]) for name in SPLITS if name in file.file["mask"]}
    values = [achieved[rows] for rows in splits.values()]
    colours = [COLOURS[name] for name in splits]
    for index in range(shown):
        low, high = float(achieved[:, index].min()), float(achieved[:, index].max())
        spread = (low, high) if high - low > 1e-6 else (low - 0.5, high + 0.5)  # the same in all goals, but for rounding
        axes[index].hist([part[:, index] for part in values], bins=BINS, range=spread, stacked=True, color=colours, label=list(splits))
        axes[index].set_xlabel(factors[index])
    axes[0].set_ylabel("goals")
    axes[0].legend(fontsize=7, frameon=False)
    if len(measured) > 1:
        first, second = np.sort(measured[np.argsort(achieved[:, measured].std(axis=0))[-2:]])
        for part, colour in zip(values, colours):
            axes[shown].scatter(part[:, first], part[:, second], s=4, color=colour)
        axes[shown].set_xlabel(factors[first])
        axes[shown].set_ylabel(factors[second])
    if len(skills) > 1:
        _bars(axes[panels - 1], skills)
    for unused in axes[panels:]:
        unused.set_axis_off()
    told = ", ".join(f"{name} {value:.3g}" for name, value in file.header.coverage.items())
    lines = textwrap.wrap(f"{file.header.env_id}: {len(file)} goals" + (f"; {told}" if told else ""), 45 * across)
    figure.suptitle("\n".join(lines[:3]), fontsize=9)
    partial = path.with_name(path.name + ".tmp")
    figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})
    os.replace(partial, path)


def _bars(axes: Any, skills: dict[str, NDArray[np.int64]]) -> None:
    """Draw a bar per skill, a part of it for each split, and the number beside it."""
    names, before = list(skills)[::-1], np.zeros(len(skills))
    counts = np.array([skills[name] for name in names])
    for part, split in zip(counts.T, SPLITS):
        axes.barh(range(len(names)), part, left=before, color=COLOURS[split])
        before = before + part
    axes.set_yticks(range(len(names)), [f"{name}  {int(total)}" for name, total in zip(names, before)], fontsize=7)
    axes.set_xlabel("goals that need it")
