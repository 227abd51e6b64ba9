"""The report's charts: learning curves, coverage, proposed goals, paths, and the time spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcrl.report.chart import BAD, COLOURS, GOOD, GREY, chart
from gcrl.statistics import mean_interval

Floats = NDArray[np.float64]


@dataclass
class Curve:
    """A line: x (n,), mean (n,), and its 95 % interval low, high (n,) where several seeds were averaged."""

    label: str
    x: Floats
    mean: Floats
    low: Floats | None = None
    high: Floats | None = None
    final: tuple[float, float, float] | None = None  # the final evaluation: figure, low, high
    untrained: float | None = None


def interval(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean, low and high (n,) of values (seeds, n), the 95 % interval across seeds; NaN marks a seed without a value."""
    columns = [column[np.isfinite(column)] for column in values.T]
    nothing = (np.nan,) * 3
    mean, low, high = np.array([mean_interval(column) if len(column) else nothing for column in columns]).reshape(-1, 3).T
    return mean, low, high


def curves(
    lines: Sequence[Curve], title: str, xlabel: str, *, unit: str = "", rate: bool = False, size: tuple[float, float] = (3.9, 2.4)
) -> str:
    """Draw learning curves with their intervals; a dashed line is the untrained policy, a diamond the final evaluation."""

    def draw(axes: Any) -> None:
        from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

        for index, line in enumerate(lines):
            colour = COLOURS[index % len(COLOURS)]
            axes.plot(line.x, line.mean, color=colour, lw=1.6, marker="o", ms=3 if len(line.x) < 60 else 0, label=line.label or None)
            if line.low is not None and line.high is not None and np.isfinite(line.high).any():
                axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, lw=0)
            if line.untrained is not None:
                axes.axhline(line.untrained, color=colour, ls=(0, (4, 3)), lw=1, alpha=0.8)
            if line.final is not None and len(line.x):
                value, low, high = line.final
                at = line.x[-1] + 0.03 * (line.x[-1] - line.x[0])  # beside the last evaluation, not on it
                bars = [[max(0.0, value - low)], [max(0.0, high - value)]] if np.isfinite([low, high]).all() else None
                axes.errorbar([at], [value], bars, fmt="D", ms=5, color=colour, capsize=3, lw=1.2)
        if rate:
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if len({x for line in lines for x in line.x}) > 1:
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        elif lines:
            axes.set_xticks(lines[0].x[:1])
        axes.set_xlabel(xlabel)
        axes.set_ylabel(unit)
        if any(line.label for line in lines):
            axes.legend()

    return chart(draw, size, title)


def coverage(
    frames: Floats,
    frame_epochs: NDArray[np.int64],
    goals: Floats | None,
    goal_epochs: NDArray[np.int64],
    title: str,
    unit: str,
    commanded: Floats | None,
) -> str:
    """Draw one achieved factor against epoch: shade is the share of its frames, dots are proposed goals, ticks commanded ones."""

    def draw(axes: Any) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        values = [frames[np.isfinite(frames)]] + [v[np.isfinite(v)] for v in (goals, commanded) if v is not None]
        pooled = np.concatenate(values)
        low, high = np.quantile(pooled, [0.001, 0.999]) if len(pooled) else (0.0, 1.0)
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        pad = 0.03 * (high - low)
        low, high = low - pad, high + pad
        first, last = int(frame_epochs.min()), int(frame_epochs.max())
        columns = min(last - first + 1, 80)
        counts, _, _ = np.histogram2d(frames, frame_epochs, bins=[32, columns], range=[[low, high], [first - 0.5, last + 0.5]])
        share = counts / np.maximum(counts.sum(axis=0), 1)
        # one blue, transparent where nothing was: the map stands on any page colour
        colours = LinearSegmentedColormap.from_list("reach", [(0.23, 0.49, 0.85, 0.0), (0.23, 0.49, 0.85, 1.0)])
        axes.imshow(
            np.sqrt(share),
            aspect="auto",
            origin="lower",
            cmap=colours,
            extent=(first - 0.5, last + 0.5, low, high),
            interpolation="nearest",
        )
        if goals is not None and np.isfinite(goals).any():
            step = 1 + len(goals) // 600
            axes.scatter(goal_epochs[::step], goals[::step], s=7, color=COLOURS[1], alpha=0.7, lw=0)
        if commanded is not None and len(commanded):
            axes.scatter(np.full(len(commanded), last + 0.5), commanded, marker=0, s=36, color=GOOD, lw=0.8, clip_on=False)
        axes.set_xlim(first - 0.5, last + 0.5)
        axes.set_ylim(low, high)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(False)
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)

    return chart(draw, title=title)


def plane(goals: Floats, achieved: Floats, title: str, names: Sequence[str], limits: tuple[Floats, Floats]) -> str:
    """Draw goals proposed (orange) over goals achieved (blue) in the plane of two factors: (n, 2) each, within `limits`."""

    def draw(axes: Any) -> None:
        step = 1 + len(achieved) // 1500
        axes.scatter(*achieved[::step].T, s=4, color=COLOURS[0], alpha=0.35, lw=0)
        axes.scatter(*goals.T, s=13, color=COLOURS[1], alpha=0.85, lw=0)
        _fit(axes, limits, names)

    return chart(draw, (2.6, 2.5), title)


def paths(achieved: Floats, desired: Floats, success: NDArray[np.bool_], names: Sequence[str], title: str) -> str:
    """Draw where the policy went, achieved (n, T+1, g), toward each commanded goal (n, g): two factors, or one against the step."""

    def draw(axes: Any) -> None:
        from matplotlib.ticker import MaxNLocator

        for path, goal, reached in zip(achieved, desired, success, strict=True):
            colour = GOOD if reached else BAD
            if achieved.shape[2] == 1:
                axes.plot(path[:, 0], color=colour, lw=1.2, alpha=0.8)
                axes.plot([len(path) - 1], goal[:1], marker="x", color=colour, ms=6, clip_on=False)
            else:
                axes.plot(path[:, 0], path[:, 1], color=colour, lw=1.2, alpha=0.8)
                axes.plot(goal[:1], goal[1:2], marker="x", color=colour, ms=7, mew=1.6)
        if achieved.shape[2] == 1:
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("step" if achieved.shape[2] == 1 else names[0])
        axes.set_ylabel(names[0] if achieved.shape[2] == 1 else names[1])

    return chart(draw, (4.6, 3.4), title)


def _fit(axes: Any, limits: tuple[Floats, Floats], names: Sequence[str]) -> None:
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])


def stacked(epochs: Floats, seconds: dict[str, Floats], title: str) -> str:
    """Draw seconds per epoch as stacked bars, one colour per named part: {name: (n,)}."""

    def draw(axes: Any) -> None:
        base = np.zeros(len(epochs))
        for index, (name, values) in enumerate(seconds.items()):
            colour = GREY if name == "other" else COLOURS[index % len(COLOURS)]
            axes.bar(epochs, values, bottom=base, width=0.85, color=colour, label=name, lw=0)
            base = base + values
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("epoch")
        axes.set_ylabel("s")
        axes.set_ylim(0, 1.05 * max(float(base.max()), 1e-9))
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1.0, ncols=1 + len(seconds) // 11)

    return chart(draw, (5.2, 2.6), title)
