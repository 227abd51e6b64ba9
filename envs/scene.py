"""What a PyBullet task puts on the table beside the arm, and how it is measured; one in the episode's world, one in the ghost's."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from envs.api import Floats
from envs.robot import Point, Robot
from envs.sim import Simulation

TABLE = (0.80, 0.83, 0.86)


class Scene(ABC):
    """The arm on a table, with the bodies that a task adds.

    A goal state is (7 + s,): joint angles (rad), then the task's own s numbers (`task_state`).
    """

    def __init__(self, low: Point, high: Point, visuals: str) -> None:
        self.simulation = Simulation()
        self.simulation.add_box((0.5, 0.6, 0.02), (0.4, 0.0, -0.02), TABLE)
        self.robot = Robot(self.simulation, low, high, visuals)

    @abstractmethod
    def randomise(self, generator: np.random.Generator) -> None:
        """Put everything where an episode begins; the world has just been put back to its start."""

    @abstractmethod
    def place_task(self, task_state: list[float]) -> None:
        """Put the task's bodies at rest at `task_state`, in place and without dynamics."""

    @abstractmethod
    def task_state(self) -> list[float]:
        """Return the configuration of the task's bodies, (s,)."""

    @abstractmethod
    def measure(self) -> tuple[list[float], list[float], Point]:
        """Return observation, achieved goal and hand position (m) of the present state."""

    def place(self, state: Floats) -> None:
        """Put the arm and the task's bodies at rest at a goal state (7 + s,)."""
        values = [float(value) for value in state]
        self.robot.place_joints(values[:7])
        self.place_task(values[7:])

    def state(self) -> Floats:
        """Return the present configuration as a goal state (7 + s,)."""
        return np.array(self.robot.joints() + self.task_state())

    def close(self) -> None:
        """Free the world."""
        self.simulation.close()
