"""A fixed camera drawn by PyBullet's software renderer, without shadows or segmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.quiet import bullet

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """Where a camera stands and looks (m), and its vertical field of view (degrees)."""

    eye: Point
    target: Point
    field_of_view: float = 40.0
    up: Point = (0.0, 0.0, 1.0)

    def matrices(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return OpenGL's view and projection matrices for a square picture."""
        view = bullet.computeViewMatrix(self.eye, self.target, self.up)
        return view, bullet.computeProjectionMatrixFOV(self.field_of_view, 1.0, 0.05, 4.0)


class Renderer:
    """Draws square pictures of one simulation from one camera."""

    def __init__(self, client: int, camera: Camera) -> None:
        self.client = client
        self.view, self.projection = camera.matrices()

    def render(self, size: int) -> NDArray[np.uint8]:
        """Return a (size, size, 3) uint8 picture of the present configuration."""
        pixels = bullet.getCameraImage(
            size,
            size,
            viewMatrix=self.view,
            projectionMatrix=self.projection,
            lightDirection=(1.0, 1.0, 3.0),
            lightAmbientCoeff=0.65,
            lightDiffuseCoeff=0.4,
            lightSpecularCoeff=0.0,
            shadow=0,
            flags=bullet.ER_NO_SEGMENTATION_MASK,
            renderer=bullet.ER_TINY_RENDERER,
            physicsClientId=self.client,
        )[2]
        return np.ascontiguousarray(np.reshape(pixels, (size, size, 4))[:, :, :3], dtype=np.uint8)
