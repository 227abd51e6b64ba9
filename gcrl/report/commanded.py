"""What the policy did for the goals it was commanded: pictures, paths, figures, and the film."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.report import figures as fig
from gcrl.report.film import film
from gcrl.report.markup import data_uri, number, picture, png, section, strip, table
from gcrl.report.runs import RunRecord, unit_of

SHOWN = 10
REACHED = 0.5  # share of an episode's last five steps that must fulfil the goal for a green mark


def goal_figures(run: RunRecord) -> tuple[str, str, NDArray[np.float64]] | None:
    """Return (name, unit, value per goal (n,)) of the task's first figure; None where the evaluation recorded none per goal."""
    for name in run.figures():
        values = run.arrays.get(f"figure/{name}")
        if values is not None:
            return *unit_of(name, run.factors), np.asarray(values, dtype=np.float64)
    return None


def _texts(run: RunRecord) -> list[str]:
    """Return the figure of every goal with its unit: ``0.052 rad``."""
    found = goal_figures(run)
    return [] if found is None else [f"{number(value, digits=2)} {found[1]}".strip() for value in found[2]]


def commanded_section(run: RunRecord) -> str:
    """Return the first ten commanded goals: start, goal and what the policy reached, or their paths without pictures."""
    arrays = run.arrays
    if "success" not in arrays:
        return ""
    success, texts = arrays["success"] >= REACHED, _texts(run)
    count = min(SHOWN, len(success))
    figure = goal_figures(run)
    of = f"The first {count} of {len(success)} test goals, not selected" + (f"; the number is the {figure[0]}." if figure else ".")
    if {"start_images", "goal_images", "final_images"} <= arrays.keys():
        cards = [_card(run, index, bool(success[index]), texts[index] if texts else "") for index in range(count)]
        return section(
            "Commanded goals",
            f"{of} Start, commanded picture, and what the policy reached; ticked where most of the last five steps fulfil the goal.",
            f'<div class="cards">{"".join(cards)}</div>',
        )
    if "achieved" not in arrays or "desired" not in arrays:
        return ""
    achieved, desired = arrays["achieved"].astype(np.float64), arrays["desired"].astype(np.float64)
    rows = [[str(i + 1), texts[i] if texts else "", "reached" if success[i] else "missed"] for i in range(count)]
    body, lede = table(["goal", figure[0] if figure else "", ""], rows), of
    if desired.shape[1] <= 3:
        factors = run.factors if len(run.factors) == desired.shape[1] else [f"goal_{i}" for i in range(desired.shape[1])]
        labels = [" / ".join(filter(None, unit_of(factor))) for factor in factors]
        chart = fig.paths(achieved[:count], desired[:count], success[:count], labels, "paths (lines) to the goals (crosses)")
        body, lede = f'<div class="charts wide">{chart}{body}</div>', f"{of} Green reached, red missed."
    return section("Commanded goals", lede, body)


def _card(run: RunRecord, index: int, reached: bool, text: str) -> str:
    parts = [run.arrays[key][index] for key in ("start_images", "goal_images", "final_images")]
    verdict = '<span class="good">✓ reached</span>' if reached else '<span class="bad">✗ missed</span>'
    names = "<span>start</span><span>goal</span><span>at the end</span>"
    shown = picture(strip([np.stack(parts)]), f"goal {index + 1}: start, goal, end")
    return (
        f'<div class="card">{shown}<div class="names">{names}</div>'
        f'<div class="verdict"><span>{index + 1}. {escape(text)}</span>{verdict}</div></div>'
    )


def film_figure(run: RunRecord) -> str:
    """Write the film into the run's ``videos/`` and return it inline with a caption; empty when nothing was filmed."""
    frames, goals = run.arrays.get("frames"), run.arrays.get("film_goal_images")
    if frames is None or goals is None or not len(frames):
        return ""
    success, texts, count = run.arrays.get("success"), _texts(run), len(frames)
    try:
        marks = None if success is None or len(success) < count else [bool(mark >= REACHED) for mark in success[:count]]
        target = run.path / "videos" / "commanded_goals.mp4"
        views, aims = run.arrays.get("views"), run.arrays.get("aims")
        path = film(frames, goals, target, success=marks, figures=texts[:count] or None, views=views, aims=aims)
    except UserError as error:
        run.notes.append(str(error))
        return ""
    figure = goal_figures(run)
    named = f" The number at the end is the {escape(figure[0])}." if figure else ""
    subgoal = ", the subgoal that is aimed at (decoded)" if "aims" in run.arrays else ""
    whole = ", right the whole robot, which it does not see" if "views" in run.arrays else ""
    caption = (
        f"<figcaption>Commanded goals 1 to {count}: left the goal picture{subgoal}, then what the policy sees{whole}.{named}</figcaption>"
    )
    return f"<figure>{_moving(path, frames, goals)}{caption}</figure>"


def _moving(path: Path, frames: NDArray[np.uint8], goals: NDArray[np.uint8]) -> str:
    alt = "film of the commanded goals"
    if path.suffix == ".gif":
        return f'<img class="film" alt="{alt}" src="{data_uri(path, "image/gif")}">'
    # a player that cannot decode the film shows its poster: the first goal and how the attempt ended
    poster = data_uri(png(strip([np.stack([goals[0], frames[0][-1]])])), "image/png")
    source = data_uri(path, "video/mp4")
    return f'<video autoplay loop muted playsinline controls aria-label="{alt}" poster="{poster}" src="{source}"></video>'
