"""Push: bring a puck to a commanded place on the table by pushing it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.api import Bools, Floats
from envs.camera import Camera
from envs.coverage import grid_coverage
from envs.manipulation import ManipulationEnv
from envs.meshes import prism, write_obj
from envs.quiet import bullet
from envs.robot import MAX_STEP, Point, inverse_kinematics
from envs.scene import Scene

HAND_HEIGHT = 0.02  # m of the fingertips: at the height of the middle of the puck
LOW, HIGH = (0.32, -0.22, HAND_HEIGHT), (0.68, 0.22, HAND_HEIGHT)
PUCK_LOW, PUCK_HIGH = (0.40, -0.14), (0.60, 0.14)  # m, where goals put the puck
FRICTION = 0.8  # with the table; half of it with the hand
PUCK_RADIUS, PUCK_HEIGHT, PUCK_MASS = 0.04, 0.04, 0.15  # m, m, kg
# A solid disc's about the vertical; a hundredfold about the others, so that a blow at 0.6 m/s does not tip its edge into the table.
PUCK_INERTIA = (0.01, 0.01, PUCK_MASS * PUCK_RADIUS**2 / 2)  # kg m^2
HAND_START, PUCK_START = (0.36, 0.0), (0.47, 0.0)
START_SPREAD = 0.02  # m
FINGER_RADIUS = 0.029  # m from the fingertips' middle to their corners
SUCCESS_DISTANCE = 0.04  # m
# The expert's: how near is near enough (m), how far from the puck it circles (m), and its speed per root of the distance left,
# which is what leaves a sliding puck at the goal (v = sqrt(2 friction g d), with a margin).
DONE, CIRCLE, SLIDE = 0.012, PUCK_RADIUS + FINGER_RADIUS + 0.01, 2.6
RED = (0.86, 0.16, 0.16, 1.0)
# The arm is pale before a pale table, so that pictures differ by the puck more than by the arm. Rank correlation, over random frames, of
# the distance in 8 principal components with the puck's distance and the hand's: 0.70 and 0.21; with the arm's own dark hand, seen from
# higher up, 0.37 and 0.48.
PALE = (0.93, 0.93, 0.95, 1.0)


class PuckScene(Scene):
    """The arm and a puck; the task's own state is the puck's (x, y) m."""

    def __init__(self, visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals, outline=(LOW[:2], HIGH[:2]))
        client = self.client = self.simulation.client
        shape = bullet.createCollisionShape(bullet.GEOM_CYLINDER, radius=PUCK_RADIUS, height=PUCK_HEIGHT, physicsClientId=client)
        path = self.simulation.folder / "puck.obj"
        write_obj(path, *prism(24, PUCK_RADIUS, PUCK_HEIGHT))
        visual = bullet.createVisualShape(bullet.GEOM_MESH, fileName=str(path), rgbaColor=RED, physicsClientId=client)
        self.puck: int = bullet.createMultiBody(PUCK_MASS, shape, visual, (*PUCK_START, PUCK_HEIGHT / 2), physicsClientId=client)
        bullet.changeDynamics(
            self.puck, -1, lateralFriction=FRICTION, spinningFriction=0.002, localInertiaDiagonal=PUCK_INERTIA, physicsClientId=client
        )
        self.simulation.movers.append(self.puck)
        if visuals == "light":
            self.robot.paint(PALE)
        self.robot.place((*HAND_START, HAND_HEIGHT))

    def randomise(self, generator: np.random.Generator) -> None:
        hand = (HAND_START + generator.uniform(-START_SPREAD, START_SPREAD, 2)).tolist()
        self.robot.place((hand[0], hand[1], HAND_HEIGHT))
        self.place_task((PUCK_START + generator.uniform(-START_SPREAD, START_SPREAD, 2)).tolist())

    def place_task(self, task_state: list[float]) -> None:
        bullet.resetBasePositionAndOrientation(
            self.puck, (task_state[0], task_state[1], PUCK_HEIGHT / 2), (0, 0, 0, 1), physicsClientId=self.client
        )
        bullet.resetBaseVelocity(self.puck, (0, 0, 0), (0, 0, 0), physicsClientId=self.client)

    def task_state(self) -> list[float]:
        return list(bullet.getBasePositionAndOrientation(self.puck, physicsClientId=self.client)[0][:2])

    def measure(self) -> tuple[list[float], list[float], Point]:
        hand = self.robot.hand()
        puck = self.task_state()
        velocity = bullet.getBaseVelocity(self.puck, physicsClientId=self.client)[0]
        return [*hand[:2], *puck, *velocity[:2]], [*hand[:2], *puck], hand


class PushEnv(ManipulationEnv):
    """Bring the puck to a place; goals are (hand x, y, puck x, y m), success is the puck within 4 cm.

    The hand moves in the plane: actions are two-dimensional. Source of the task: Nair et al. 2018, "Visual Reinforcement
    Learning with Imagined Goals" (RIG), section 6 (Visual Pusher), here with a Franka arm.
    """

    task = "push"
    factors = ("hand_x_m", "hand_y_m", "puck_x_m", "puck_y_m")
    action_axes = 2
    observation_dim = 6
    cameras: ClassVar[dict[str, Camera]] = {
        # Low enough to look under the hand: from 0.75 m up it hid the puck of 8 goals in 100, now of one.
        "front": Camera((1.20, 0.0, 0.50), (0.50, 0.0, 0.0), 26.0),
        "top": Camera((0.50, 0.0, 1.40), (0.501, 0.0, 0.0), 22.0),
        "side": Camera((0.75, 0.75, 0.65), (0.50, 0.0, 0.02), 30.0),
        "film": Camera((0.45, 1.1, 0.75), (0.37, 0.0, 0.16), 38.0),  # the whole arm, for people
    }

    def build_scene(self) -> PuckScene:
        return PuckScene(self.visuals)

    def displacement(self, action: list[float]) -> list[float]:
        return [MAX_STEP * action[0], MAX_STEP * action[1], 0.0]

    def propose_goal(self, generator: np.random.Generator) -> Floats:
        puck = generator.uniform(PUCK_LOW, PUCK_HIGH)
        # Beside the puck, on the side from which it came: where the hand is when it has just pushed it there.
        back = np.asarray(PUCK_START) - puck
        turn = math.atan2(back[1], back[0]) + generator.uniform(-0.5, 0.5)
        gap = PUCK_RADIUS + FINGER_RADIUS + generator.uniform(0.0, 0.02)
        hand = np.clip(puck + gap * np.array([math.cos(turn), math.sin(turn)]), LOW[:2], HIGH[:2])
        return np.array([*inverse_kinematics(float(hand[0]), float(hand[1]), HAND_HEIGHT), *puck])

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        puck = (np.asarray(achieved_goal) - np.asarray(desired_goal))[..., 2:]
        return np.asarray(np.linalg.norm(puck, axis=-1) < SUCCESS_DISTANCE)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``puck_distance_m`` (also as ``distance``) and ``hand_distance_m``."""
        difference = np.asarray(achieved_goal) - np.asarray(desired_goal)
        puck = np.linalg.norm(difference[..., 2:], axis=-1)
        return {"puck_distance_m": puck, "hand_distance_m": np.linalg.norm(difference[..., :2], axis=-1), "distance": puck}

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return entropy and coverage of the puck's position over 10 x 14 cells of 2 cm, of (n, 4)."""
        return grid_coverage(np.asarray(achieved_goals)[:, 2:], PUCK_LOW, PUCK_HIGH, [10, 14])

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Circle the puck to the side away from the goal, push it there so that it stops there, then take the hand to its goal."""
        hand, puck = (np.asarray(observation["observation"][first : first + 2], np.float64) for first in (0, 2))
        goal_hand, goal_puck = (np.asarray(observation["desired_goal"][first : first + 2], np.float64) for first in (0, 2))
        if np.linalg.norm(goal_puck - puck) > DONE:
            return push(hand, puck, goal_puck, CIRCLE)
        around = circle(hand, puck, goal_hand - puck, CIRCLE)
        return toward(hand, goal_hand, 1.0) if around is None else around


def push(hand: Floats, puck: Floats, goal: Floats, radius: float) -> Floats:
    """Return the action (2,) that gets the hand behind a body (all (2,) m), `radius` m from its middle, and pushes it to `goal`."""
    around = circle(hand, puck, puck - goal, radius)
    if around is not None:
        return around
    touching = float(np.linalg.norm(hand - puck)) < radius
    return toward(hand, puck, min(1.0, SLIDE * math.sqrt(float(np.linalg.norm(goal - puck)))) if touching else 1.0)


def circle(hand: Floats, puck: Floats, side: Floats, radius: float) -> Floats | None:
    """Return the action (2,) that takes the hand about a body to the side that `side` points to; None where it is there."""
    turn = _turn(hand - puck, side)
    if abs(turn) <= 0.2:
        return None
    bearing = math.atan2(hand[1] - puck[1], hand[0] - puck[0]) + max(-0.5, min(0.5, turn))
    return toward(hand, puck + radius * np.array([math.cos(bearing), math.sin(bearing)]), 1.0)


def _turn(start: Floats, end: Floats) -> float:
    """Return the signed angle (rad) from one planar vector to another."""
    return math.atan2(float(start[0] * end[1] - start[1] * end[0]), float(start @ end))


def toward(hand: Floats, target: Floats, speed: float) -> Floats:
    """Return the action (2,) straight toward a point (m), at `speed` times the greatest."""
    step = (target - hand) / MAX_STEP
    longest = max(1e-9, float(np.abs(step).max()))
    return np.asarray(step * min(1.0, speed / longest), np.float32)
