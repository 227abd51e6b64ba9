"""Drawer: slide a drawer to a commanded opening by its handle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.api import Bools, Floats
from envs.camera import Camera
from envs.coverage import grid_coverage
from envs.furniture import DRAWER_FRICTION, DRAWER_MASS, DRAWER_TOP, DRAWER_TRAVEL, HANDLE_HALF, HANDLE_OUT, Drawer
from envs.manipulation import ManipulationEnv
from envs.robot import MAX_STEP, Point, inverse_kinematics
from envs.scene import Scene

FRONT = 0.66  # m, x of the closed drawer's front
BAR = FRONT - 0.012 - HANDLE_OUT  # m, x of the closed drawer's bar
BRAKING = DRAWER_FRICTION / DRAWER_MASS  # m/s^2 that friction takes off a free drawer's speed
FINGER_HALF = 0.0105  # m, half the closed fingers' thickness
BESIDE = 0.035  # m to either side of the handle's middle, between its posts
CLEAR = DRAWER_TOP + 0.012  # m: a hand this high passes over the bar
LOW, HIGH = (0.32, -0.22, 0.085), (0.64, 0.22, 0.20)
START, START_SPREAD = (0.50, 0.0, 0.15), (0.03, 0.06, 0.02)  # m of the hand
OPENING_HIGH = 0.165  # m, in goals
SUCCESS_DISTANCE = 0.02  # m


class DrawerScene(Scene):
    """The arm and a drawer; the task's own state is the drawer's opening (m)."""

    def __init__(self, visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals, firm=True)
        self.drawer = Drawer(self.simulation, (FRONT, 0.0, 0.0))
        self.robot.place(START)

    def randomise(self, generator: np.random.Generator) -> None:
        x, y, z = (START + generator.uniform(-1.0, 1.0, 3) * START_SPREAD).tolist()
        self.robot.place((x, y, z))

    def place_task(self, task_state: list[float]) -> None:
        self.drawer.place(task_state[0])

    def task_state(self) -> list[float]:
        return [self.drawer.position()]

    def measure(self) -> tuple[list[float], list[float], Point]:
        hand, opening = self.robot.hand(), self.drawer.position()
        return [*hand, opening, self.drawer.velocity()], [opening, *hand], hand


class DrawerEnv(ManipulationEnv):
    """Bring the drawer to an opening; goals are (drawer opening m, hand x, y, z m), success is the opening within 2 cm of 18.

    The drawer starts closed. Source of the task: a part of the scenes of Khazatsky et al. 2021, "What Can I Do Here? Learning New
    Skills by Imagining Visual Affordances" (VAL), here with a Franka arm.
    """

    task = "drawer"
    factors = ("drawer_opening_m", "hand_x_m", "hand_y_m", "hand_z_m")
    observation_dim = 5  # hand, opening, its velocity
    cameras: ClassVar[dict[str, Camera]] = {
        "side": Camera((0.25, 0.75, 0.62), (0.60, 0.0, 0.10), 33.0),
        "front": Camera((1.30, -0.55, 0.85), (0.64, 0.0, 0.10), 30.0),
        "top": Camera((0.62, 0.0, 1.40), (0.621, 0.0, 0.1), 26.0),
        "film": Camera((0.35, 1.25, 0.80), (0.38, 0.0, 0.20), 42.0),  # the whole arm, for people
    }

    def build_scene(self) -> DrawerScene:
        return DrawerScene(self.visuals)

    def propose_goal(self, generator: np.random.Generator) -> Floats:
        opening = float(generator.uniform(0.0, OPENING_HIGH))
        # Between front and bar, where the hand is when it has just pulled or pushed the drawer there.
        x = float(generator.uniform(BAR + HANDLE_HALF + 0.013, FRONT - 0.012 - 0.013)) - opening
        y, z = float(generator.uniform(-0.02, 0.02)), float(generator.uniform(LOW[2], LOW[2] + 0.01))
        return np.array([*inverse_kinematics(x, y, z), opening])

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        return np.asarray(self.metrics(achieved_goal, desired_goal)["distance"] < SUCCESS_DISTANCE)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``drawer_error_m`` (also as ``distance``) and ``hand_distance_m``."""
        difference = np.asarray(achieved_goal) - np.asarray(desired_goal)
        opening = np.abs(difference[..., 0])
        return {"drawer_error_m": opening, "hand_distance_m": np.linalg.norm(difference[..., 1:], axis=-1), "distance": opening}

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return entropy and coverage of the opening over 18 cells of 1 cm, and ``open``: the share beyond 4 cm, of (n, 4)."""
        openings = np.asarray(achieved_goals)[:, :1]
        return {**grid_coverage(openings, [0.0], [DRAWER_TRAVEL], [18]), "open": float(np.mean(openings > 0.04)) if len(openings) else 0.0}

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Reach over the bar into the handle, pull or push the drawer to the goal's opening, then take the hand to its goal."""
        x, y, z, opening, velocity = (float(value) for value in observation["observation"])
        error = drawer_error(float(observation["desired_goal"][0]), opening, velocity)
        if in_handle((x, y, z), opening, FRONT) and abs(error) < 0.003:
            target, speed = tuple(float(value) for value in observation["desired_goal"][1:4]), 1.0
        else:
            target, speed = slide((x, y, z), opening, error, FRONT)
        step = np.array([target[0] - x, target[1] - y, target[2] - z]) / MAX_STEP
        return np.asarray(np.clip(step, -speed, speed), np.float32)


def drawer_error(goal: float, opening: float, velocity: float) -> float:
    """Return how far (m) the drawer still has to open, from where friction would stop it if it were let go now."""
    return goal - (opening + velocity * abs(velocity) / (2 * BRAKING))


def in_handle(hand: Point, opening: float, front: float) -> bool:
    """Return whether the fingers are between bar and front of a drawer; `front`: m, x of its front when it is closed."""
    x, y, z = hand
    return front - 0.012 - HANDLE_OUT - opening < x < front - 0.012 - opening and abs(y) < BESIDE and z < CLEAR


def slide(hand: Point, opening: float, error: float, front: float) -> tuple[Point, float]:
    """Return where the closed fingers go next (m), and at which share of full speed, to slide a drawer by `error` m by its handle."""
    x, y, z = hand
    bar, face = front - 0.012 - HANDLE_OUT - opening, front - 0.012 - opening
    middle = (bar + face) / 2
    if in_handle(hand, opening, front):
        # The fingers' middle when they touch the bar (to pull) or the front (to push), led a little toward the goal.
        touch = bar + HANDLE_HALF + FINGER_HALF if error > 0 else face - FINGER_HALF
        return (touch - max(-0.03, min(0.03, error)), 0.0, LOW[2]), max(0.1, min(1.0, abs(error) / 0.05))
    if bar < x < face and abs(y) < BESIDE and abs(x - middle) < 0.012:
        return (middle, 0.0, LOW[2]), 1.0
    return ((x, y, HIGH[2]) if z < CLEAR else (middle, 0.0, CLEAR + 0.02)), 1.0
