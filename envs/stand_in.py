"""A stand-in for a robot: a simulated arm before a door, reached only through what hardware offers (`envs.hardware`).

What practises on it cannot tell it from a robot: nothing can be reset, saved, or drawn before it was seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import Bools, Floats, Images
from envs.camera import Renderer
from envs.coverage import grid_coverage
from envs.door import HIGH, LOW, MAX_ANGLE, STARTS, SUCCESS_ANGLE, DoorEnv, DoorScene, door_point
from envs.errors import UserError
from envs.hardware import Hardware
from envs.real_robot import RealRobotEnv

# Door stops (m): behind the closed panel's free edge, and before the panel that is wide open. The hinge's own limits give way to the
# arm, and here no reset would put the door right again.
STOPS, STOP_HALF = ((0.642, -0.105), door_point(MAX_ANGLE, 0.15, 0.03)), (0.01, 0.01, 0.13)


class SimulatedHardware:
    """`DoorScene` behind the methods of `envs.hardware.Hardware`. A call of `move` lets 50 ms pass.

    noise: standard deviation (of 255) of the camera's pixels. delay: periods by which its pictures are late.
    stop_file: while a file of this name exists, the emergency stop is pressed.
    """

    def __init__(self, noise: float, delay: int, stop_file: str | None) -> None:
        self._scene = DoorScene(STARTS["easy"], "light")
        for stop in STOPS:
            self._scene.simulation.add_box(STOP_HALF, (*stop, 0.16))
        self._renderer = Renderer(self._scene.robot, DoorEnv.cameras["hinge"])
        self._noise, self._stop_file = noise, None if stop_file is None else Path(stop_file)
        self._generator = np.random.default_rng(0)
        self._pictures: deque[Images] = deque(maxlen=delay + 1)
        self._size = 0

    def hand(self) -> NDArray[np.float64]:
        """Return the fingertips' place, (3,) m."""
        return np.array(self._scene.robot.hand())

    def measure(self) -> NDArray[np.float64]:
        """Return the door's angle (rad), as from an encoder in its hinge, and the fingertips' place (m), (4,)."""
        return np.array(self._scene.measure()[1])

    def picture(self, size: int) -> Images:
        """Return the picture of `delay` periods ago, (size, size, 3) uint8, the oldest there is before that."""
        if not self._pictures or size != self._size:
            self._pictures.clear()
            self._size = size
            self._take()
        return self._pictures[0]

    def move(self, point: Floats) -> None:
        """Command the fingertips toward `point` (3,) m and let a control period pass; a stopped arm stays where it is."""
        robot, hand = self._scene.robot, self._scene.robot.hand()
        wanted = hand if self.stopped() else point
        robot.command([float(wanted[axis]) - robot.target[axis] for axis in range(3)], hand)
        self._scene.simulation.step()
        if self._size:
            self._take()

    def hold(self) -> None:
        """Command the place where the fingertips are."""
        self._scene.robot.command([a - b for a, b in zip(self._scene.robot.hand(), self._scene.robot.target)], self._scene.robot.hand())

    def stopped(self) -> str:
        """Return whether the stop file is there, in words, or ""."""
        return f"emergency stop: {self._stop_file} exists" if self._stop_file is not None and self._stop_file.exists() else ""

    def close(self) -> None:
        """Free the simulation."""
        self._scene.close()

    def _take(self) -> None:
        clean = self._renderer.render(self._size)
        noise = self._noise * self._generator.standard_normal(clean.shape, np.float32)
        self._pictures.append(np.clip(clean + noise, 0, 255).astype(np.uint8) if self._noise else clean)


class StandInEnv(RealRobotEnv):
    """Bring the door to the angle in a picture; goals are (door angle rad, hand x, y, z m), judged like `DoorEnv`.

    camera_noise, camera_delay, stop_file: see `SimulatedHardware`; the others: see `RealRobotEnv`.
    """

    factors = DoorEnv.factors
    low, high, home = LOW, HIGH, STARTS["easy"]

    def __init__(self, *, camera_noise: float = 2.0, camera_delay: int = 1, stop_file: str | None = None, **arguments: Any) -> None:
        if not 0 <= camera_noise < 256:
            raise UserError(f"camera_noise={camera_noise!r}; expected a standard deviation from 0 to 255")
        if isinstance(camera_delay, bool) or not isinstance(camera_delay, int) or camera_delay < 0:
            raise UserError(f"camera_delay={camera_delay!r}; expected a whole number of control periods from 0")
        self._camera = (float(camera_noise), camera_delay, stop_file)
        super().__init__(**arguments)

    def connect(self) -> Hardware:
        """Start the simulation."""
        return SimulatedHardware(*self._camera)

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        """Return whether the door is within 0.1 rad."""
        return np.asarray(self.metrics(achieved_goal, desired_goal)["distance"] < SUCCESS_ANGLE)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``door_angle_error`` (rad, also as ``distance``) and ``hand_distance_m``."""
        difference = np.asarray(achieved_goal) - np.asarray(desired_goal)
        angle = np.abs(difference[..., 0])
        return {"door_angle_error": angle, "hand_distance_m": np.linalg.norm(difference[..., 1:], axis=-1), "distance": angle}

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return entropy and coverage of the door's angle over 18 cells of 0.05 rad, of (n, 4)."""
        return grid_coverage(np.asarray(achieved_goals)[:, :1], [0.0], [MAX_ANGLE], [18])
