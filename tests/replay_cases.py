"""Episodes whose every frame can be told from every other: what the tests of replay, relabelling, rewards and data share."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from gcrl.episodes import Episodes
from gcrl.replay import Replay
from goal_samplers.goal_space import LatentGoals

HORIZON = 12
PICTURE = (6, 6, 3)


def space(pictures: bool = True) -> spaces.Dict:
    """Return a goal environment's observation space with g = 3."""
    vectors = {"observation": 5, "achieved_goal": 3, "desired_goal": 3, "proprioception": 2}
    parts: dict[str, spaces.Space] = {key: spaces.Box(-np.inf, np.inf, (width,), np.float64) for key, width in vectors.items()}
    if pictures:
        parts["image"] = spaces.Box(0, 255, PICTURE, np.uint8)
    return spaces.Dict(parts)


ACTIONS = spaces.Box(-1, 1, (2,), np.float32)


def frame(episode: int, t: int) -> np.ndarray:
    """Return the (3,) achieved goal of frame t of an episode: its name in numbers."""
    return np.array([episode, t, 1000 * episode + t], dtype=np.float32)


def picture(episode: int, t: int) -> np.ndarray:
    """Return the frame's picture, which holds episode and t in its first pixels."""
    image = np.full(PICTURE, (7 * episode + t) % 251, dtype=np.uint8)
    image[0, 0] = episode % 251, t, episode // 251
    return image


def episodes(first: int, lengths: list[int], pictures: bool = True, sources: np.ndarray | None = None) -> Episodes:
    """Return episodes numbered from `first`; a goal's parameters are (-number, 0, 0), its picture is that of frame 0."""
    n, numbers = len(lengths), range(first, first + len(lengths))
    achieved = np.array([[frame(e, min(t, length)) for t in range(HORIZON + 1)] for e, length in zip(numbers, lengths)])
    observations = {"achieved_goal": achieved, "observation": achieved[..., [0, 1, 2, 0, 1]], "proprioception": achieved[..., :2] / 2}
    if pictures:
        observations["image"] = np.array([[picture(e, min(t, length)) for t in range(HORIZON + 1)] for e, length in zip(numbers, lengths)])
    goals = np.array([[-e, 0, 0] for e in numbers], dtype=np.float32)
    return Episodes(
        observations=observations,
        actions=(achieved[:, :-1, :2] / 1000).astype(np.float32),
        terminated=np.zeros((n, HORIZON), dtype=bool),
        lengths=np.array(lengths, dtype=np.int64),
        seeds=np.arange(first, first + n),
        goals=goals,
        goal_rows=np.full(n, -1, dtype=np.int64) if sources is None else sources,
        goal_images=observations["image"][:, 0] if pictures else None,
        goal_achieved=goals.copy(),
        rewards=np.zeros((n, HORIZON), dtype=np.float32),
        epoch=first,
    )


def replay(capacity: int = 100, pictures: bool = True) -> Replay:
    """Return an empty replay with latents of 3."""
    return Replay(space(pictures), ACTIONS, horizon=HORIZON, capacity=capacity, goal_space=LatentGoals(3), image_goal=pictures)


class Doubling:
    """A representation whose latent is `factor` times the achieved goal; it remembers the batch sizes that it was given."""

    keys: tuple[str, ...] = ("achieved_goal",)
    latent_dim = 3
    cache = "frame"
    needs_fit = True

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor
        self.batches: set[int] = set()

    def encode(self, observations, context=None):
        values = observations[self.keys[0]]
        self.batches.add(len(values))
        flat = values.reshape(len(values), -1)[:, :3] if self.keys == ("image",) else values
        return (self.factor * flat).astype(np.float32)

    def fit(self, experience, draw, generator, *, first):
        return {}

    def state_dict(self):
        return {"factor": self.factor}

    def load_state_dict(self, state):
        self.factor = state["factor"]


class Seeing(Doubling):
    """The same of pictures: its latent is `factor` times the first pixel."""

    keys = ("image",)
