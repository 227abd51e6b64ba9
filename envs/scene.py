"""What a PyBullet task puts on the table beside the arm, and how it is measured; one in the episode's world, one in the ghost's."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from envs.api import Floats
from envs.robot import Point, Robot
from envs.sim import FIRM_ITERATIONS, SOLVER_ITERATIONS, Simulation

Corner = tuple[float, float]
TABLE = ((-0.10, -0.60), (0.90, 0.60))  # m, two corners
SURFACE, EDGE = (0.80, 0.83, 0.86), (0.62, 0.67, 0.74)
EDGE_HALF = 0.01  # m


class Scene(ABC):
    """The arm on a table, with the bodies that a task adds.

    outline: the rectangle drawn on the table (m). gripper: whether the fingers open. firm: whether to spend more on contacts, as
    a gripper always does (`FIRM_ITERATIONS`).

    A goal state is (7 + s,): joint angles (rad), then the task's own s numbers (`task_state`); with a gripper that opens,
    (8 + s,): its opening (m) stands between the two.
    """

    def __init__(
        self, low: Point, high: Point, visuals: str, outline: tuple[Corner, Corner] = TABLE, *, gripper: bool = False, firm: bool = False
    ) -> None:
        self.simulation = Simulation(FIRM_ITERATIONS if gripper or firm else SOLVER_ITERATIONS)
        (x0, y0), (x1, y1) = TABLE
        middle, half = ((x0 + x1) / 2, (y0 + y1) / 2, -0.02), ((x1 - x0) / 2, (y1 - y0) / 2, 0.02)
        surface = self.simulation.add_box(half, middle, SURFACE if visuals == "full" else None)
        self.table = [surface, *self._draw(*outline)]  # bodies
        self.robot = Robot(self.simulation, low, high, visuals, gripper=gripper)
        self.rest = "the finger opening and the task's own numbers" if gripper else "the task's own numbers"

    def _draw(self, low: Corner, high: Corner) -> list[int]:
        """Outline a rectangle and return the bodies: a drawn surface would cost as much time as all the rest of the picture."""
        (x0, y0), (x1, y1), thick = low, high, EDGE_HALF
        sides = (
            ((x0 + x1) / 2, y0, (x1 - x0) / 2, thick),
            ((x0 + x1) / 2, y1, (x1 - x0) / 2, thick),
            (x0, (y0 + y1) / 2, thick, (y1 - y0) / 2),
            (x1, (y0 + y1) / 2, thick, (y1 - y0) / 2),
        )
        return [self.simulation.add_box((along, across, 0.001), (x, y, 0.0), EDGE, solid=False) for x, y, along, across in sides]

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

    def lay(self, goal: Floats) -> None:
        """Fit what lies on the table to an episode's goal (g,); `randomise` came before. For tasks whose goals name objects."""
        return None

    def drive(self) -> None:
        """Command the task's own mechanisms for one step, as a function of where they are: motors are in no saved state."""
        return None

    def memory(self) -> list[int]:
        """Return what the scene knows beside the simulator's state; nothing in most tasks."""
        return []

    def recall(self, memory: list[int]) -> None:
        """Take over what `memory` returned."""
        return None

    def proprioception(self, hand: Point) -> list[float]:
        """Return what the arm feels of itself: the hand's position (m), and the finger opening (m) of a gripper that opens."""
        return list(hand) if self.robot.gripper is None else [*hand, self.robot.gripper.opening()]

    def place(self, state: Floats) -> None:
        """Put the arm and the task's bodies at rest at a goal state (m,)."""
        values = [float(value) for value in state]
        self.robot.place_joints(values[:7])
        own = values[7:]
        if self.robot.gripper is not None:
            self.robot.gripper.place(own.pop(0))
        self.place_task(own)

    def begin(self, state: Floats) -> None:
        """Let an episode begin at rest in a goal state (m,)."""
        self.place(state)
        self.robot.target = list(self.robot.hand())

    def state(self) -> Floats:
        """Return the present configuration as a goal state (m,)."""
        fingers = [] if self.robot.gripper is None else [self.robot.gripper.opening()]
        return np.array(self.robot.joints() + fingers + self.task_state())

    def close(self) -> None:
        """Free the world."""
        self.simulation.close()
