"""Draw what the options of the arm's tasks do to pictures.

    python -m benchmarks.options_picture [--out docs/options.png]

A row per task and seed, a column per entry of `COLUMNS`: one episode of the expert's at 48 pixels, enlarged. The last column is its
goal's picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.experts import DRAWN, ENLARGED, SIZE, TASKS

SEED = 7
ALL = {"distractors": 4, "randomise": ["colours", "light", "camera"]}
# Title, arguments, step of the rollout as a share of the horizon (None: the goal).
COLUMNS: list[tuple[str, dict[str, Any], float | None]] = [
    ("plain", {}, 0.2),
    ("wrist", {"camera": "wrist"}, 0.2),
    ("wrist, end", {"camera": "wrist"}, 1.0),
    ("top", {"camera": "top"}, 0.2),
    ("distractors=4", {"distractors": 4}, 0.2),
    ("later", {"distractors": 4}, 0.6),
    ("colours", {"randomise": ["colours"]}, 0.2),
    ("light", {"randomise": ["light"]}, 0.2),
    ("camera", {"randomise": ["camera"]}, 0.2),
    ("all of them", ALL, 0.2),
    ("their goal", ALL, None),
]
TITLE = 16  # pixels


def picture(task: str, seed: int, arguments: dict[str, Any], when: float | None) -> np.ndarray:
    """Return one enlarged picture."""
    env = TASKS[task](image_size=SIZE, **arguments)
    goal = env.sample_goals(1, np.random.default_rng(seed))
    observation, _ = env.reset(seed=seed, options={"goal": goal.achieved[0]})
    for _ in range(round((when or 0.0) * env.horizon)):
        observation = env.step(env.expert_action(observation))[0]
    image = env.render_state(goal.states[0]) if when is None else observation["image"]
    env.close()
    return np.asarray(image.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1))


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/options.png"))
    arguments = parser.parse_args()
    rows = [
        np.concatenate([picture(task, SEED + index, given, when) for _, given, when in COLUMNS], axis=1) for index, task in enumerate(DRAWN)
    ]
    sheet = Image.new("RGB", (rows[0].shape[1], TITLE + len(rows) * SIZE * ENLARGED), "white")
    sheet.paste(Image.fromarray(np.concatenate(rows)), (0, TITLE))
    for index, (title, _, _) in enumerate(COLUMNS):
        ImageDraw.Draw(sheet).text((index * SIZE * ENLARGED + 4, 2), title, fill="black")
    sheet.quantize(256).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
