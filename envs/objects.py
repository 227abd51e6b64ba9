"""The catalogue of flat objects to push: shapes and colours, and which of them are held out for testing."""

from __future__ import annotations

import math

import numpy as np

from envs.api import Floats
from envs.bodies import COLOURS, FreeBody
from envs.errors import UserError, unknown
from envs.meshes import extruded, write_obj
from envs.quiet import bullet
from envs.sim import Simulation

HEIGHT, MASS, FRICTION = 0.04, 0.15, 0.8  # m, kg, with the table
MARGIN = 0.001  # m by which pybullet pads a hull
RADIUS = 0.045  # m from the middle to the farthest corner of any of them, at most


def _ring(sides: int, radius: float, start: float = 0.0) -> list[tuple[float, float]]:
    return [(radius * math.cos(start + 2 * math.pi * k / sides), radius * math.sin(start + 2 * math.pi * k / sides)) for k in range(sides)]


# Convex outlines (m), counter-clockwise about the middle. The order of both lists is part of what a goal means: append only.
OUTLINES: dict[str, list[tuple[float, float]]] = {
    "square": _ring(4, 0.044, math.pi / 4),
    "disc": _ring(16, 0.036),
    "triangle": _ring(3, 0.045),
    "plank": [(0.025, -0.0375), (0.025, 0.0375), (-0.025, 0.0375), (-0.025, -0.0375)],
    "diamond": [(0.045, 0.0), (0.0, 0.028), (-0.045, 0.0), (0.0, -0.028)],
    "half_disc": [(0.040 * math.cos(turn) - 0.016, 0.040 * math.sin(turn)) for turn in np.linspace(-math.pi / 2, math.pi / 2, 9)],
    "trapezium": [(0.026, -0.016), (0.026, 0.016), (-0.024, 0.036), (-0.024, -0.036)],
}
SHAPES, HUES = tuple(OUTLINES), tuple(COLOURS)
HELD_OUT_SHAPES, HELD_OUT_HUES = ("diamond", "half_disc", "trapezium"), ("orange", "cyan", "pink")
_TRAINING = tuple(name for name in SHAPES if name not in HELD_OUT_SHAPES), tuple(name for name in HUES if name not in HELD_OUT_HUES)
SETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "train": _TRAINING,
    "held_out": (HELD_OUT_SHAPES, HELD_OUT_HUES),
    "held_out_shapes": (HELD_OUT_SHAPES, _TRAINING[1]),
    "held_out_colours": (_TRAINING[0], HELD_OUT_HUES),
}
NOTHING = -1  # the kind of no object


def kind(shape: str, colour: str) -> int:
    """Return the number that stands for an object of this shape and colour in goals."""
    return SHAPES.index(shape) * len(HUES) + HUES.index(colour)


def shape_and_colour(number: int) -> tuple[str, str]:
    """Return what a kind's number stands for. Raises `UserError` for a number that is no kind."""
    if not 0 <= number < len(SHAPES) * len(HUES):
        raise UserError(f"object kind {number}; expected 0 to {len(SHAPES) * len(HUES) - 1}, or {NOTHING} for none")
    return SHAPES[number // len(HUES)], HUES[number % len(HUES)]


def object_set(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the shapes and the colours of a set. Raises `UserError` for another name."""
    if name not in SETS:
        raise unknown("objects", name, SETS)
    return SETS[name]


def flat_object(simulation: Simulation, shape: str) -> FreeBody:
    """Add a flat object that slides without tipping; its colour is set later."""
    client = simulation.client
    outline = np.array(OUTLINES[shape])
    vertices, faces = extruded(outline, HEIGHT)
    path = simulation.folder / f"{shape}.obj"
    write_obj(path, vertices, faces)
    core = extruded(outline * (1 - MARGIN / 0.03), HEIGHT - 2 * MARGIN)[0]
    hull = bullet.createCollisionShape(bullet.GEOM_MESH, vertices=core.tolist(), physicsClientId=client)
    visual = bullet.createVisualShape(bullet.GEOM_MESH, fileName=str(path), physicsClientId=client)
    body = FreeBody(simulation, hull, visual, MASS, FRICTION)
    # About the vertical what the outline has; a hundredfold about the others, so that a blow does not tip an edge into the table.
    inertia = (0.01, 0.01, MASS * _gyration(outline))
    bullet.changeDynamics(body.body, -1, localInertiaDiagonal=inertia, physicsClientId=client)
    return body


def _gyration(outline: Floats) -> float:
    """Return a uniform plate's squared radius of gyration (m^2) about its middle."""
    ahead = np.roll(outline, -1, axis=0)
    cross = outline[:, 0] * ahead[:, 1] - outline[:, 1] * ahead[:, 0]
    return float((cross * ((outline**2) + outline * ahead + ahead**2).sum(axis=1)).sum() / (6 * cross.sum()))
