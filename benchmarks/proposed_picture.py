"""Draw what each arm of an experiment on the door proposed and where it went: ``python -m benchmarks.proposed_picture door_explore``.

One row an arm: goals that its first seed proposed at the start and at the end of practice, as pictures where there are pictures, and, over
all seeds, how proposed goals and visited frames spread over the door's angle in the last third of practice. Imagined goals have no angle.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.experiments import EXPERIMENTS
from gcrl.data import Reader

SHOWN = 6  # pictures of each time
LATE = 2 / 3  # share of the epochs before the last third
EDGES = np.linspace(0, 0.9, 19)  # rad


def angles_of(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the door angles (rad) of goals proposed and of frames visited in the last third of a run."""
    with Reader(folder / "practice.h5") as reader:
        epochs = reader.column("epoch")
        late = np.flatnonzero(epochs >= LATE * (epochs.max() + 1))
        proposed = reader.file["goals/achieved"][int(late[0]) :, 0]
        visited = reader.read("achieved_goal", reader.episode_rows(late))[:, 0]
    return proposed[np.isfinite(proposed)], visited


def pictures_of(folder: Path) -> list[NDArray[np.uint8]]:
    """Return SHOWN goal pictures of the first practised epoch and of the last one; nothing for a run without pictures."""
    with Reader(folder / "practice.h5") as reader:
        if "goals/image" not in reader.file:
            return []
        practised = np.flatnonzero(reader.column("provenance") == 0)
        count = len(reader.column("epoch"))
        starts = int(practised[0]), count - SHOWN
        return [image for start in starts for image in reader.file["goals/image"][start : start + SHOWN]]


def main() -> None:
    """Draw the picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[name for name in EXPERIMENTS if name.startswith("door_explore")])
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    experiment = EXPERIMENTS[given.name]
    arms = {arm: [given.runs / given.name / f"{arm}_seed{seed}" for seed in experiment.seeds] for arm in experiment.arms}
    pictures = {arm: pictures_of(folders[0]) for arm, folders in arms.items()}
    columns = SHOWN if any(pictures.values()) else 0
    figure = plt.figure(figsize=(4.6 + 0.95 * columns, 1.0 + 1.75 * len(arms)), dpi=110)
    grid = figure.add_gridspec(
        2 * len(arms), columns + 5, wspace=0.08, hspace=0.45, left=0.11 if columns else 0.13, right=0.97, top=0.92, bottom=0.11
    )
    for row, (arm, folders) in enumerate(arms.items()):
        for index, image in enumerate(pictures[arm]):
            when, place = divmod(index, SHOWN)
            axis: Any = figure.add_subplot(grid[2 * row + when, place])
            axis.imshow(image, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            if place == 0:
                axis.set_ylabel(f"{arm}\n{('first', 'last')[when]} epoch", fontsize=9, rotation=0, ha="right", va="center")
        axis = figure.add_subplot(grid[2 * row : 2 * row + 2, (columns + 1 if columns else 0) :])
        measured = [angles_of(folder) for folder in folders]
        for which, colour, label in ((1, "#9aa7b8", "visited"), (0, "#2f6fd0", "proposed")):
            angles = np.concatenate([pair[which] for pair in measured])
            if len(angles):
                share = np.histogram(np.clip(angles, 0, 0.9 - 1e-9), EDGES)[0] / len(angles)
                axis.stairs(share, EDGES, fill=which == 1, color=colour, linewidth=1.6, label=label)
        axis.set_yscale("log")
        axis.set_ylim(1e-4, 1.5)
        axis.set_title(f"{arm}: share of frames and goals by angle, last third, {len(folders)} seeds", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        if row == 0:
            axis.legend(frameon=False, fontsize=8)
        if row == len(arms) - 1:
            axis.set_xlabel("door angle (rad)")
        else:
            axis.tick_params(labelbottom=False)
    out = given.out or Path("results") / f"{given.name}.png"
    figure.savefig(out)
    print(out)


if __name__ == "__main__":
    main()
