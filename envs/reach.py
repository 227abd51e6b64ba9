"""Reach: bring the hand to a commanded point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.api import Bools, Floats
from envs.camera import Camera
from envs.manipulation import ManipulationEnv
from envs.robot import MAX_STEP, Point, inverse_kinematics
from envs.scene import Scene

LOW, HIGH = (0.30, -0.25, 0.05), (0.60, 0.25, 0.35)
START = (0.45, 0.0, 0.20)
START_SPREAD = 0.02  # m
SUCCESS_DISTANCE = 0.03  # m


class ReachScene(Scene):
    """The arm alone; the task adds nothing to a goal state."""

    def __init__(self, visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals)
        self.robot.place(START)

    def randomise(self, generator: np.random.Generator) -> None:
        x, y, z = (START + generator.uniform(-START_SPREAD, START_SPREAD, 3)).tolist()
        self.robot.place((x, y, z))

    def place_task(self, task_state: list[float]) -> None:
        return None

    def task_state(self) -> list[float]:
        return []

    def measure(self) -> tuple[list[float], list[float], Point]:
        hand = self.robot.hand()
        return list(hand), list(hand), hand


class ReachEnv(ManipulationEnv):
    """Bring the hand to a point (x, y, z m); success is within 3 cm."""

    task = "reach"
    factors = ("hand_x_m", "hand_y_m", "hand_z_m")
    observation_dim = 3
    default_horizon = 30
    cameras: ClassVar[dict[str, Camera]] = {
        "front": Camera((1.35, -0.60, 0.80), (0.40, 0.0, 0.27), 38.0),
        "rear": Camera((-0.25, -0.85, 0.85), (0.42, 0.0, 0.22), 36.0),
        "top": Camera((0.45, 0.0, 1.60), (0.451, 0.0, 0.2), 34.0),
        "film": Camera((0.45, 1.2, 0.75), (0.37, 0.0, 0.22), 42.0),  # the whole arm, for people
    }

    def build_scene(self) -> ReachScene:
        return ReachScene(self.visuals)

    def propose_goal(self, generator: np.random.Generator) -> Floats:
        x, y, z = generator.uniform(LOW, HIGH).tolist()
        return np.array(inverse_kinematics(x, y, z))

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        return np.asarray(np.linalg.norm(np.asarray(achieved_goal) - np.asarray(desired_goal), axis=-1) < SUCCESS_DISTANCE)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``hand_distance_m``, also as ``distance``."""
        distance = np.linalg.norm(np.asarray(achieved_goal) - np.asarray(desired_goal), axis=-1)
        return {"hand_distance_m": distance, "distance": distance}

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Go straight there."""
        step = (observation["desired_goal"] - observation["achieved_goal"]) / MAX_STEP
        return np.asarray(np.clip(step, -1.0, 1.0), np.float32)
