"""The catalogue of objects to grasp on the tabletop: shapes, sizes and colours, and which of them are held out for testing.

All are 4 cm wide where the fingers hold them, so that one grasp fits all; they differ along x and in height.
"""

from __future__ import annotations

import numpy as np

from envs.bodies import COLOURS, FreeBody
from envs.errors import UserError, unknown
from envs.grasping import BLOCK_HALF, BLOCK_MASS
from envs.meshes import extruded, prism, write_obj
from envs.quiet import bullet
from envs.sim import Simulation, Triple

Part = tuple[Triple, Triple]  # centre and half extents (m) of a box

STEM = 0.012  # m, half the length of what the fingers take hold of; a finger is 0.0095
THIN = 0.015  # m, half the width of what sticks out: fingers that touch two boxes of a body at once sink in
# The order of these lists is part of what a goal means: append only.
SHAPES = ("block", "cylinder", "ell", "hat", "tee", "arch", "cross")
SIZES = ("small", "large")
HUES = tuple(COLOURS)
HEIGHTS = {"small": 0.04, "large": 0.06}  # m
LENGTHS = {"small": 0.028, "large": 0.038}  # m, half of it, of all but the cylinder and the small block
HELD_OUT_SHAPES, HELD_OUT_HUES = ("tee", "arch", "cross"), ("orange", "cyan", "pink")
TRAINING_HUES = tuple(name for name in HUES if name not in HELD_OUT_HUES)
SETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "train": (tuple(name for name in SHAPES if name not in HELD_OUT_SHAPES), TRAINING_HUES),
    "held_out": (HELD_OUT_SHAPES, HELD_OUT_HUES),
}


def object_kind(shape: str, size: str, colour: str) -> int:
    """Return the number that stands for an object of this look in goals."""
    return (SHAPES.index(shape) * len(SIZES) + SIZES.index(size)) * len(HUES) + HUES.index(colour)


def object_look(number: int) -> tuple[str, str, str]:
    """Return shape, size and colour of a kind. Raises `UserError` for a number that is no kind."""
    count = len(SHAPES) * len(SIZES) * len(HUES)
    if not 0 <= number < count:
        raise UserError(f"object kind {number}; expected 0 to {count - 1}, or -1 for none")
    form, hue = divmod(number, len(HUES))
    return SHAPES[form // len(SIZES)], SIZES[form % len(SIZES)], HUES[hue]


def object_set(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the shapes and the colours of a set. Raises `UserError` for another name."""
    if name not in SETS:
        raise unknown("objects", name, SETS)
    return SETS[name]


def boxes(shape: str, size: str) -> list[Part]:
    """Return the boxes that make up a shape, about the middle of its height where the fingers hold it."""
    half, long, wide = HEIGHTS[size] / 2, LENGTHS[size], BLOCK_HALF

    def part(x0: float, x1: float, z0: float, z1: float, y: float = wide) -> Part:
        """From lengths (m) and shares of the height, -1 to 1."""
        return ((x0 + x1) / 2, 0.0, half * (z0 + z1) / 2), ((x1 - x0) / 2, y, half * (z1 - z0) / 2)

    def arms(z0: float, z1: float) -> list[Part]:
        return [part(-long, -STEM, z0, z1, THIN), part(STEM, long, z0, z1, THIN)]

    stem = part(-STEM, STEM, -1, 1)
    return {
        "block": [part(-wide, wide, -1, 1) if size == "small" else part(-long, long, -1, 1)],
        "ell": [part(-long, STEM, -1, 1), part(STEM, long, -1, -0.3, THIN)],
        "hat": [stem, *arms(-1, -0.3)],
        "tee": [stem, *arms(0.2, 1)],
        "arch": [part(-long, long, 0, 1), *arms(-1, 0)],
        "cross": [stem, *arms(-0.4, 0.4)],
    }[shape]


def graspable(simulation: Simulation, shape: str, size: str) -> FreeBody:
    """Add an object, weighted so that it balances where the fingers hold it; its colour is set later."""
    client = simulation.client
    path = simulation.folder / f"{shape}-{size}.obj"
    if shape == "cylinder":
        hull = bullet.createCollisionShape(bullet.GEOM_CYLINDER, radius=BLOCK_HALF, height=HEIGHTS[size], physicsClientId=client)
        write_obj(path, *prism(16, BLOCK_HALF, HEIGHTS[size]))
    else:
        parts = boxes(shape, size)
        hull = bullet.createCollisionShapeArray(
            shapeTypes=[bullet.GEOM_BOX] * len(parts),
            halfExtents=[half for _, half in parts],
            collisionFramePositions=[centre for centre, _ in parts],
            physicsClientId=client,
        )
        drawn = [extruded(np.array([(x, y), (-x, y), (-x, -y), (x, -y)]), 2 * z) for _, (x, y, z) in parts]
        starts = np.cumsum([0, *(len(vertices) for vertices, _ in drawn)])
        vertices = np.concatenate([corners + centre for (corners, _), (centre, _) in zip(drawn, parts)])
        write_obj(path, vertices, np.concatenate([faces + start for (_, faces), start in zip(drawn, starts)]))
    visual = bullet.createVisualShape(bullet.GEOM_MESH, fileName=str(path), physicsClientId=client)
    return FreeBody(simulation, hull, visual, BLOCK_MASS)
