"""Draw the README's picture from a finished visual run: ``python benchmarks/readme_picture.py RUN [--out docs/door.png]``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from gcrl.data import Reader
from gcrl.metrics_log import read_metrics

COLUMNS = 8


def main() -> None:
    """Draw goals proposed early and late, commanded goals with what was reached, and the learning curve."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/door.png"))
    given = parser.parse_args()
    with np.load(given.run / "evaluation.npz", allow_pickle=False) as file:
        goals, finals = file["goal_images"], file["final_images"]
        errors, success = file["figure/door_angle_error"], file["success"]
    order = np.argsort(np.load(given.run / "evaluation.npz")["desired"][:, 0])
    shown = order[np.linspace(0, len(order) - 1, COLUMNS).astype(int)]  # spread over the goals' angles, not chosen by outcome
    with Reader(given.run / "practice.h5") as reader:
        epochs, pictures = reader.column("epoch"), reader.file["goals/image"]
        practised = np.flatnonzero(reader.column("provenance") == 0)
        early = pictures[int(practised[0]) : int(practised[0]) + COLUMNS]
        late = pictures[len(epochs) - COLUMNS : len(epochs)]
    rows = [("proposed early", early), ("proposed late", late), ("commanded", goals[shown]), ("reached", finals[shown])]
    figure = plt.figure(figsize=(13.5, 5.6), dpi=110)
    grid = figure.add_gridspec(4, COLUMNS + 5, wspace=0.06, hspace=0.16, left=0.1, right=0.985, top=0.93, bottom=0.09)
    for r, (label, images) in enumerate(rows):
        for c in range(COLUMNS):
            axis = figure.add_subplot(grid[r, c])
            axis.imshow(images[c], interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            if c == 0:
                axis.set_ylabel(label, fontsize=10, rotation=0, ha="right", va="center")
            if label == "reached":
                good = success[shown[c]] >= 0.5
                axis.set_xlabel(f"{errors[shown[c]]:.3f} rad", fontsize=9, color="#1a7f4b" if good else "#b3261e", labelpad=2)
    axis = figure.add_subplot(grid[:, COLUMNS + 1 :])
    points = [row for row in read_metrics(given.run) if "eval/success_rate" in row]
    steps = [row["eval/env_steps"] / 1000 for row in points]
    axis.plot(steps, [row["eval/success_rate"] for row in points], marker="o", color="#2f6fd0", label="success")
    axis.plot(steps, [row["eval/door_angle_error"] for row in points], marker="s", color="#d1741f", label="angle error (rad)")
    axis.set_xlabel("thousand environment steps")
    axis.set_ylim(0, 1.05)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="center right")
    axis.set_title("commanded goals during practice", fontsize=10)
    figure.savefig(given.out)
    print(given.out)


if __name__ == "__main__":
    main()
