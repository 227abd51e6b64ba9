"""Cameras, fixed or carried by the hand, drawn by PyBullet's software renderer without shadows or segmentation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from envs.looks import PLAIN, SHIFT, Look
from envs.quiet import bullet
from envs.robot import Robot

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """Where a camera stands and looks (m), and its vertical field of view (degrees).

    on_hand: whether eye, target and up are in the frame of the arm's last link, with which the camera then moves.
    """

    eye: Point
    target: Point
    field_of_view: float = 40.0
    up: Point = (0.0, 0.0, 1.0)
    on_hand: bool = False

    def view(self, robot: Robot) -> tuple[float, ...]:
        """Return OpenGL's view matrix; of a camera on the hand, where the arm has it now."""
        eye, target, up = self.eye, self.target, self.up
        if self.on_hand:
            position, orientation = robot.flange()
            eye, target = (bullet.multiplyTransforms(position, orientation, point, (0, 0, 0, 1))[0] for point in (eye, target))
            up = bullet.multiplyTransforms((0, 0, 0), orientation, up, (0, 0, 0, 1))[0]
        matrix: tuple[float, ...] = bullet.computeViewMatrix(eye, target, up)
        return matrix

    def projection(self) -> tuple[float, ...]:
        """Return OpenGL's projection matrix for a square picture."""
        matrix: tuple[float, ...] = bullet.computeProjectionMatrixFOV(self.field_of_view, 1.0, 0.05, 4.0)
        return matrix

    def shifted(self, shift: tuple[float, ...] | None) -> Camera:
        """Return the camera with its stand and its aim off by `shift` (6,), in units of `SHIFT` of its distance."""
        if shift is None:
            return self
        eye, target = np.array(self.eye), np.array(self.target)
        sight = target - eye
        far = float(np.linalg.norm(sight))
        # What is upward in the picture stays so: seen from above, `up` itself would turn the picture about with the smallest shift.
        side = np.cross(sight, self.up)
        upward = np.cross(side, sight) / far
        moved = eye + SHIFT * far * np.array(shift[:3]), target + SHIFT / 2 * far * np.array(shift[3:])
        return replace(self, eye=_point(moved[0]), target=_point(moved[1]), up=_point(upward / np.linalg.norm(upward)))


# 10 cm from the palm on the robot's side, looking past the fingers at what lies before them. The last link's frame is turned against
# the hand's by an eighth: (1, -1, 0) points away from the robot, z to the fingertips.
WRIST = Camera((-0.071, 0.071, 0.15), (0.028, -0.028, 0.24), 70.0, up=(1.0, -1.0, 0.0), on_hand=True)


class Renderer:
    """Draws square pictures of one robot and what is around it from one camera."""

    def __init__(self, robot: Robot, camera: Camera) -> None:
        self.robot, self.camera = robot, camera
        self._aim(None)

    def _aim(self, shift: tuple[float, ...] | None) -> None:
        self._shift, self._aimed = shift, self.camera.shifted(shift)
        self._view, self._projection = self._aimed.view(self.robot), self._aimed.projection()

    def render(self, size: int, look: Look = PLAIN) -> NDArray[np.uint8]:
        """Return a (size, size, 3) uint8 picture of the present configuration in a look."""
        if look.shift != self._shift:
            self._aim(look.shift)
        drawn = bullet.getCameraImage(
            size,
            size,
            viewMatrix=self._aimed.view(self.robot) if self.camera.on_hand else self._view,
            projectionMatrix=self._projection,
            lightDirection=look.direction,
            lightAmbientCoeff=look.ambient,
            lightDiffuseCoeff=look.diffuse,
            lightSpecularCoeff=0.0,
            shadow=0,
            flags=bullet.ER_NO_SEGMENTATION_MASK,
            renderer=bullet.ER_TINY_RENDERER,
            physicsClientId=self.robot.client,
        )
        picture = np.ascontiguousarray(np.reshape(drawn[2], (size, size, 4))[:, :, :3], dtype=np.uint8)
        if look.ground is not None:
            picture[np.reshape(drawn[3], (size, size)) >= 1.0] = np.round(255 * np.array(look.ground))  # at the far plane: no body
        return picture


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = values.tolist()
    return x, y, z
