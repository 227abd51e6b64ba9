"""Bodies that lie about freely: boxes and cylinders that can be pushed, grasped and stacked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from envs.meshes import prism, write_obj
from envs.quiet import bullet
from envs.sim import Simulation, Triple

Colour = tuple[float, float, float]
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
POSE = 7  # numbers of a pose: x, y, z m and a quaternion
FRICTION = 0.7  # with a table of 1; a finger's is multiplied by it too
# What tells objects apart at 48 pixels: far from each other in hue and from the white arm and the pale table.
COLOURS: dict[str, Colour] = {
    "red": (0.86, 0.16, 0.16),
    "blue": (0.13, 0.33, 0.85),
    "green": (0.10, 0.62, 0.22),
    "yellow": (0.97, 0.80, 0.08),
    "purple": (0.55, 0.16, 0.70),
    "orange": (0.97, 0.50, 0.08),
    "cyan": (0.10, 0.72, 0.80),
    "pink": (0.97, 0.45, 0.70),
}


class FreeBody:
    """One rigid body in a simulation; its pose is (7,): position (m) and quaternion (x, y, z, w)."""

    def __init__(self, simulation: Simulation, shape: int, visual: int, mass: float, friction: float = FRICTION) -> None:
        self.client = simulation.client
        self.body: int = bullet.createMultiBody(mass, shape, visual, (0, 0, 1), physicsClientId=self.client)
        bullet.changeDynamics(self.body, -1, lateralFriction=friction, spinningFriction=0.002, physicsClientId=self.client)
        simulation.movers.append(self.body)

    def place(self, position: Sequence[float], orientation: Sequence[float] = UPRIGHT) -> None:
        """Put the body at rest at `position` (m)."""
        bullet.resetBasePositionAndOrientation(self.body, position, orientation, physicsClientId=self.client)
        bullet.resetBaseVelocity(self.body, (0, 0, 0), (0, 0, 0), physicsClientId=self.client)

    def position(self) -> list[float]:
        """Return where the body is (3,) m."""
        return list(bullet.getBasePositionAndOrientation(self.body, physicsClientId=self.client)[0])

    def pose(self) -> list[float]:
        """Return the body's pose (7,)."""
        position, orientation = bullet.getBasePositionAndOrientation(self.body, physicsClientId=self.client)
        return [*position, *orientation]

    def velocity(self) -> list[float]:
        """Return the body's linear velocity (3,) m/s."""
        return list(bullet.getBaseVelocity(self.body, physicsClientId=self.client)[0])


def box(simulation: Simulation, half: Triple, mass: float, colour: Colour) -> FreeBody:
    """Add a free box with half extents `half` (m)."""
    client = simulation.client
    shape = bullet.createCollisionShape(bullet.GEOM_BOX, halfExtents=half, physicsClientId=client)
    visual = bullet.createVisualShape(bullet.GEOM_BOX, halfExtents=half, rgbaColor=(*colour, 1), physicsClientId=client)
    return FreeBody(simulation, shape, visual, mass)


def cylinder(simulation: Simulation, radius: float, height: float, mass: float, colour: Colour) -> FreeBody:
    """Add a free upright cylinder, drawn as a prism."""
    client = simulation.client
    shape = bullet.createCollisionShape(bullet.GEOM_CYLINDER, radius=radius, height=height, physicsClientId=client)
    path = simulation.folder / f"cylinder-{radius}-{height}.obj"
    write_obj(path, *prism(16, radius, height))
    visual = bullet.createVisualShape(bullet.GEOM_MESH, fileName=str(path), rgbaColor=(*colour, 1), physicsClientId=client)
    return FreeBody(simulation, shape, visual, mass)


def turned(yaw: float) -> tuple[float, float, float, float]:
    """Return the quaternion of a turn by `yaw` (rad) about the vertical."""
    return (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))
