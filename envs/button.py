"""Button: press a button, which stays down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.api import Bools, Floats
from envs.camera import Camera
from envs.furniture import BUTTON_TOP, BUTTON_TRAVEL, LATCH, Button
from envs.manipulation import ManipulationEnv
from envs.robot import MAX_STEP, Point, inverse_kinematics
from envs.scene import Scene

PLACE = (0.52, 0.02)  # m of the button
LOW, HIGH = (0.34, -0.22, BUTTON_TOP - BUTTON_TRAVEL), (0.66, 0.22, 0.26)
HAND_LOW, HAND_HIGH = (0.36, -0.20, 0.13), (0.62, 0.20, 0.25)  # m, where the hand starts and where goals put it
PRESSED = 0.75  # share of goals with the button down
CLEAR = BUTTON_TOP + 0.015  # m: a hand this high passes over the cap
SUCCESS_DISTANCE = 0.01  # m of depth


class ButtonScene(Scene):
    """The arm and a button; the task's own state is the button's depth (m)."""

    def __init__(self, visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals, outline=(LOW[:2], HIGH[:2]), firm=True)
        self.button = Button(self.simulation, (*PLACE, 0.0))
        self.robot.place((0.45, -0.1, 0.2))

    def randomise(self, generator: np.random.Generator) -> None:
        x, y, z = generator.uniform(HAND_LOW, HAND_HIGH).tolist()
        self.robot.place((x, y, z))

    def drive(self) -> None:
        self.button.drive()

    def place_task(self, task_state: list[float]) -> None:
        self.button.place(task_state[0])

    def task_state(self) -> list[float]:
        return [self.button.position()]

    def measure(self) -> tuple[list[float], list[float], Point]:
        hand, depth = self.robot.hand(), self.button.position()
        return [*hand, depth], [depth, *hand], hand


class ButtonEnv(ManipulationEnv):
    """Press the button, or leave it; goals are (button depth m, hand x, y, z m), success is the depth within 1 cm of 3.

    Pressed by more than 1.8 cm the button stays down for the rest of the episode. Three quarters of the sampled goals have it
    down. Source of the task: a part of the scenes of Khazatsky et al. 2021, "What Can I Do Here? Learning New Skills by Imagining
    Visual Affordances" (VAL), here with a Franka arm.
    """

    task = "button"
    factors = ("button_depth_m", "hand_x_m", "hand_y_m", "hand_z_m")
    observation_dim = 4  # hand, depth
    default_horizon = 30
    cameras: ClassVar[dict[str, Camera]] = {
        "front": Camera((1.15, -0.50, 0.45), (0.50, 0.0, 0.10), 30.0),
        "top": Camera((0.50, 0.0, 1.40), (0.501, 0.0, 0.0), 24.0),
        "side": Camera((0.60, 0.90, 0.35), (0.50, 0.0, 0.10), 30.0),
        "film": Camera((0.55, 1.2, 0.70), (0.38, 0.0, 0.20), 40.0),  # the whole arm, for people
    }

    def build_scene(self) -> ButtonScene:
        return ButtonScene(self.visuals)

    def propose_goal(self, generator: np.random.Generator) -> Floats:
        depth = BUTTON_TRAVEL if generator.random() < PRESSED else 0.0
        x, y, z = generator.uniform(HAND_LOW, HAND_HIGH).tolist()
        return np.array([*inverse_kinematics(x, y, z), depth])

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        return np.asarray(self.metrics(achieved_goal, desired_goal)["distance"] < SUCCESS_DISTANCE)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``button_error_m`` (also as ``distance``) and ``hand_distance_m``."""
        difference = np.asarray(achieved_goal) - np.asarray(desired_goal)
        depth = np.abs(difference[..., 0])
        return {"button_error_m": depth, "hand_distance_m": np.linalg.norm(difference[..., 1:], axis=-1), "distance": depth}

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return ``pressed``: the share of (n, 4) in which the button is down."""
        depths = np.asarray(achieved_goals)[:, 0]
        return {"pressed": float(np.mean(depths > LATCH)) if len(depths) else 0.0}

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Press the button from above if the goal has it down, then take the hand to its goal."""
        hand, depth = np.asarray(observation["observation"][:3], np.float64), float(observation["observation"][3])
        goal = np.asarray(observation["desired_goal"], np.float64)
        offset = np.array([*PLACE, 0.0]) - hand
        above = bool(np.abs(offset[:2]).max() < 0.015)
        if goal[0] <= LATCH or depth > BUTTON_TRAVEL - 0.004:
            rising = above and hand[2] < CLEAR
            target = hand + np.array([0.0, 0.0, MAX_STEP]) if rising else goal[1:]
        elif above:
            target = np.array([*PLACE, LOW[2]])
        else:
            target = np.array([*PLACE, CLEAR + 0.02])
        step = (target - hand) / MAX_STEP
        return np.asarray(step / max(1.0, float(np.abs(step).max())), np.float32)
