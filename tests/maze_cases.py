"""A U-shaped maze, as cells, as noisy states and as pictures, in which the way between two places is longer than it looks."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from scipy.stats import spearmanr
from test_representations import Memory, draw_from

SIZE = 32
SPACE = spaces.Dict(
    {
        "image": spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
        "observation": spaces.Box(-9.0, 9.0, (6,)),
        "achieved_goal": spaces.Box(-9.0, 9.0, (2,)),
        "touch": spaces.MultiBinary(3),
    }
)

# a U of 21 cells: two arms of ten, joined at the bottom, a wall between them
CELLS = np.array([(x, y) for x in range(3) for y in range(10) if x != 1 or y == 0])
MOVES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
FREE = np.pad(np.array([[x != 1 or y == 0 for y in range(10)] for x in range(3)]), 1)
PAIRS = np.triu_indices(len(CELLS), 1)


def along(cells):
    """Return how far along the U cells (n, 2) lie: steps between two cells are the difference."""
    return np.where(cells[:, 0] == 0, 9 - cells[:, 1], np.where(cells[:, 0] == 1, 10, 11 + cells[:, 1]))


STEPS = np.abs(along(CELLS)[:, None] - along(CELLS))[PAIRS]


def walks(episodes, steps, seed):
    """Return the cells (episodes * (steps + 1), 2) of random walks that keep their direction for three steps or so; walls stop them."""
    generator = np.random.default_rng(seed)
    at, move = CELLS[generator.integers(len(CELLS), size=episodes)], generator.integers(4, size=episodes)
    seen = [at]
    for _ in range(steps):
        move = np.where(generator.random(episodes) < 0.3, generator.integers(4, size=episodes), move)
        new = at + MOVES[move]
        at = np.where(FREE[new[:, 0] + 1, new[:, 1] + 1][:, None], new, at)
        seen.append(at)
    return np.stack(seen, axis=1).reshape(-1, 2)


def pictures(cells):
    """Return pictures of the U with a red robot in it."""
    images = np.full((len(cells), SIZE, SIZE, 3), 200, np.uint8)
    images[:, :27, 12:20] = 60
    for image, (x, y) in zip(images, cells):
        image[27 - 3 * y : 32 - 3 * y, 2 + 10 * x : 8 + 10 * x] = [200, 30, 30]
    return images


def distracted(cells, seed):
    """Return states (n, 6): cells and four entries of noise, which vary as much and say nothing."""
    noise = np.random.default_rng(seed).normal(size=(len(cells), 4)) * 3
    return np.concatenate([cells, noise], axis=1).astype(np.float32)


def walked():
    """Return an experience of 200 walks of 20 steps."""
    cells = walks(200, 20, seed=0)
    return Memory(steps=20, image=pictures(cells), achieved_goal=cells.astype(np.float32), observation=distracted(cells, 1))


def distances(latents):
    """Return the distances between all pairs of latents (n, d), in the order of STEPS."""
    return np.linalg.norm(latents[PAIRS[0]] - latents[PAIRS[1]], axis=1)


def agreement(values):
    return spearmanr(values, STEPS).statistic


def fitted(cls, memory, seed=0, **arguments):
    made = cls(SPACE, seed=seed, device="cpu", **arguments)
    return made, made.fit(memory, draw_from(memory), np.random.default_rng(1), first=True)
