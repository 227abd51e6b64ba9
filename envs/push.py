"""Push: bring a puck to a commanded place on the table by pushing it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pybullet as bullet

from envs.api import Bools, Floats
from envs.camera import Camera
from envs.manipulation import ManipulationEnv
from envs.robot import MAX_STEP, Point, inverse_kinematics
from envs.scene import Scene

HAND_HEIGHT = 0.025  # m of the fingertips: below the puck's top, above the table
LOW, HIGH = (0.32, -0.22, HAND_HEIGHT), (0.68, 0.22, HAND_HEIGHT)
PUCK_LOW, PUCK_HIGH = (0.40, -0.14), (0.60, 0.14)  # m, where goals put the puck
PUCK_RADIUS, PUCK_HEIGHT, PUCK_MASS = 0.04, 0.05, 0.15  # m, m, kg
HAND_START, PUCK_START = (0.36, 0.0), (0.47, 0.0)
START_SPREAD = 0.02  # m
FINGER_RADIUS = 0.029  # m from the fingertips' middle to their corners
SUCCESS_DISTANCE = 0.04  # m
RED = (0.86, 0.16, 0.16, 1.0)


class PuckScene(Scene):
    """The arm and a puck; the task's own state is the puck's (x, y) m."""

    def __init__(self, visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals)
        client = self.client = self.simulation.client
        shape = bullet.createCollisionShape(bullet.GEOM_CYLINDER, radius=PUCK_RADIUS, height=PUCK_HEIGHT, physicsClientId=client)
        visual = bullet.createVisualShape(
            bullet.GEOM_CYLINDER, radius=PUCK_RADIUS, length=PUCK_HEIGHT, rgbaColor=RED, physicsClientId=client
        )
        self.puck: int = bullet.createMultiBody(PUCK_MASS, shape, visual, (*PUCK_START, PUCK_HEIGHT / 2), physicsClientId=client)
        bullet.changeDynamics(self.puck, -1, lateralFriction=0.6, spinningFriction=0.002, physicsClientId=client)
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
        "front": Camera((1.15, 0.0, 0.75), (0.51, 0.0, 0.0), 28.0),
        "top": Camera((0.50, 0.0, 1.40), (0.501, 0.0, 0.0), 22.0),
        "rear": Camera((-0.10, -0.75, 0.75), (0.48, 0.0, 0.05), 32.0),
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

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Circle the puck to the side away from the goal, push it there, then take the hand to its goal."""
        hand, puck = (np.asarray(observation["observation"][first : first + 2], np.float64) for first in (0, 2))
        goal_hand, goal_puck = (np.asarray(observation["desired_goal"][first : first + 2], np.float64) for first in (0, 2))
        remaining = float(np.linalg.norm(goal_puck - puck))
        if remaining < 0.008:
            return _toward(hand, goal_hand, 1.0)
        push = (goal_puck - puck) / remaining
        offset = hand - puck
        behind = -push
        # The signed angle from the hand's side of the puck to the side to push from.
        turn = math.atan2(offset[0] * behind[1] - offset[1] * behind[0], float(offset @ behind))
        contact = PUCK_RADIUS + FINGER_RADIUS
        if abs(turn) < 0.25:
            speed = min(1.0, max(0.15, remaining / 0.06))
            return _toward(hand, puck + behind * (contact - 0.035), speed)
        radius = contact + 0.012
        angle = math.atan2(offset[1], offset[0]) + max(-0.5, min(0.5, turn))
        return _toward(hand, puck + radius * np.array([math.cos(angle), math.sin(angle)]), 1.0)


def _toward(hand: Floats, target: Floats, speed: float) -> Floats:
    step = (target - hand) / MAX_STEP
    longest = max(1e-9, float(np.abs(step).max()))
    return (step * min(1.0, speed / longest)).astype(np.float32)
