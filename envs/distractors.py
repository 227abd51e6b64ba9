"""Distractors: tiles that glide over the table on smooth paths of their own, in the picture and nowhere else."""

from __future__ import annotations

import colorsys
import hashlib
import math

import numpy as np

from envs.api import Floats
from envs.bodies import turned
from envs.meshes import prism, write_obj
from envs.quiet import bullet
from envs.scene import Scene
from envs.sim import TIME_STEP

MOST = 16
SIDES = (24, 4, 3)  # of the tiles in turn: discs, squares, triangles
RADIUS, THICKNESS, LAYER = 0.055, 0.002, 0.0005  # m; each lies a layer higher than the one before, or they would flicker where they cross
MARGIN = 0.06  # m by which the area they keep to is larger than the hand's
FREQUENCY = (0.15, 0.45)  # Hz of either axis
SPAN = (0.5, 1.0)  # share of the area's side that a path spans
SPIN = 2.0  # rad/s at most
NUMBERS = 10  # of a path


class Distractors:
    """`n` tiles in a scene, without collision shapes: nothing can touch them, and the world moves bit for bit as without them.

    They lie flat, so they pass beneath what the task is about and hide none of it, from any camera. A path is (10,) numbers in
    [0, 1): shift, span, frequency and phase of a sine for x and for y, how the tile spins, and its hue. ``paths`` (n, 10) and
    ``clock`` (control steps since they were drawn) say all about them.
    """

    def __init__(self, scene: Scene, n: int) -> None:
        self._simulation = scene.simulation
        self._client = scene.simulation.client
        low, high = np.array(scene.robot.low[:2]), np.array(scene.robot.high[:2])
        self._middle, self._half = (low + high) / 2, (high - low) / 2 + MARGIN - RADIUS
        self.bodies = [self._tile(index) for index in range(n)]
        self.paths: list[list[float]] = []
        self.clock = 0
        self.draw(np.random.default_rng(0))

    def draw(self, generator: np.random.Generator) -> None:
        """Draw new paths and hues, and begin them."""
        self.put(generator.random((len(self.bodies), NUMBERS)).tolist(), 0)

    def scatter(self, state: Floats) -> None:
        """Put the tiles anywhere on their paths, as a function of a goal state (m,) alone."""
        digest = hashlib.sha256(np.asarray(state, np.float64).tobytes()).digest()
        self.draw(np.random.default_rng(int.from_bytes(digest[:8], "little")))

    def put(self, paths: list[list[float]], clock: int) -> None:
        """Take over paths, and go to where the tiles are on them after `clock` control steps."""
        self.paths, self.clock = paths, clock
        for body, path in zip(self.bodies, paths):
            colour = (*colorsys.hsv_to_rgb(path[9], 0.75, 0.9), 1.0)
            bullet.changeVisualShape(body, -1, rgbaColor=colour, physicsClientId=self._client)
        self._place()

    def advance(self) -> None:
        """Glide on for one control step."""
        self.clock += 1
        self._place()

    def _place(self) -> None:
        time = self.clock * TIME_STEP
        for index, (body, path) in enumerate(zip(self.bodies, self.paths)):
            x, y = (self._middle[axis] + self._half[axis] * _sine(path[4 * axis : 4 * axis + 4], time) for axis in (0, 1))
            spin = turned(2 * math.pi * path[8] + SPIN * (2 * path[8] - 1) * time)
            height = THICKNESS / 2 + LAYER * index
            bullet.resetBasePositionAndOrientation(body, (x, y, height), spin, physicsClientId=self._client)

    def _tile(self, index: int) -> int:
        sides = SIDES[index % len(SIDES)]
        path = self._simulation.folder / f"tile-{sides}.obj"
        write_obj(path, *prism(sides, RADIUS, THICKNESS))
        visual = bullet.createVisualShape(bullet.GEOM_MESH, fileName=str(path), physicsClientId=self._client)
        return int(bullet.createMultiBody(0, -1, visual, physicsClientId=self._client))


def _sine(numbers: list[float], time: float) -> float:
    """Return a place in [-1, 1] at `time` (s) on the path of one axis."""
    shift, span, frequency, phase = numbers
    reach = SPAN[0] + (SPAN[1] - SPAN[0]) * span
    cycles = (FREQUENCY[0] + (FREQUENCY[1] - FREQUENCY[0]) * frequency) * time + phase
    return (2 * shift - 1) * (1 - reach) + reach * math.sin(2 * math.pi * cycles)
