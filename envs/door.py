"""Door: open or close a hinged door to a commanded angle by its handle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.api import Bools, Floats
from envs.camera import Camera
from envs.coverage import grid_coverage
from envs.errors import unknown
from envs.furniture import Box, box_xml
from envs.manipulation import ManipulationEnv
from envs.quiet import bullet
from envs.robot import MAX_STEP, Point, inverse_kinematics
from envs.scene import Scene

HINGE = (0.62, 0.28)  # m
MAX_ANGLE = 0.9  # rad
FRICTION = 0.4  # N m in the hinge: the door stays where it is left, and a door let go at 1 rad/s turns 0.04 rad on
BRAKING = 14.0  # rad/s^2 that this friction takes off a free door's speed
TOP = 0.30  # m: panel and handle bar end here; the hand's palm clears it at the lowest commanded height
BAR_ALONG, BAR_OUT = 0.36, 0.09  # m from the hinge along the panel, and from the panel's middle plane toward the robot
BAR_HALF = 0.006  # m, half the bar's thickness
FINGER_HALF = 0.0105  # m, half the closed fingers' thickness
MIDDLE = 0.045  # m out from the panel: between it and the bar
CLEAR = TOP + 0.012  # m: a hand this high passes over the bar
LOW, HIGH = (0.30, -0.30, 0.27), (0.62, 0.10, 0.32)
SUCCESS_ANGLE = 0.1  # rad
# Start of the hand: "easy" beside the gap between panel and bar, "hard" 11 cm in front of it. Frames with the door beyond 0.15 rad
# under random actions: easy 22 % (actions held for five steps), hard 0.4 % (not held), both with a reset every fourth episode.
STARTS = {"easy": (0.57, -0.17, 0.285), "hard": (0.46, -0.19, 0.30)}
START_SPREAD = 0.01  # m

DOOR = """<robot name="door">
  <link name="post">
    <inertial><mass value="1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>
    {post}
  </link>
  <link name="panel">
    <inertial>
      <origin xyz="0 -0.2 0.16"/><mass value="0.5"/>
      <inertia ixx="0.0105" ixy="0" ixz="0" iyy="0.0038" iyz="0" izz="0.0067"/>
    </inertial>
    {panel}
  </link>
  <joint name="hinge" type="revolute">
    <parent link="post"/><child link="panel"/><axis xyz="0 0 -1"/>
    <limit lower="0" upper="{limit}" effort="100" velocity="10"/>
  </joint>
</robot>"""
BLUE, ORANGE, DARK = "0.16 0.47 0.75 1", "0.96 0.50 0.08 1", "0.30 0.30 0.34 1"
# Centre, size (m) and colour in the closed door's frame. The post is a picture only: nothing can touch it.
POST: Box = ((0.0, 0.0, 0.16), (0.03, 0.03, 0.32), DARK)
# Panel, handle bar, the beam below the fingers that carries the bar.
PANEL: list[Box] = [
    ((0.0, -0.20, 0.16), (0.02, 0.40, 0.28), BLUE),
    ((-BAR_OUT, -BAR_ALONG, 0.235), (2 * BAR_HALF, 0.03, 0.13), ORANGE),
    ((-0.05, -BAR_ALONG, 0.18), (0.08, 0.02, 0.02), ORANGE),
]


def door_urdf() -> str:
    """Return the door: a post, and a panel of 0.40 x 0.28 m and 0.5 kg with a handle bar behind which the fingers fit from above."""
    panel = "".join(box_xml("visual", box) + box_xml("collision", box) for box in PANEL)
    return DOOR.format(post=box_xml("visual", POST), panel=panel, limit=MAX_ANGLE)


def door_point(angle: float, along: float, out: float) -> tuple[float, float]:
    """Return the (x, y) m of a point of the door at `angle` (rad): `along` the panel from the hinge, `out` toward the robot."""
    sine, cosine = math.sin(angle), math.cos(angle)
    return HINGE[0] - along * sine - out * cosine, HINGE[1] - along * cosine + out * sine


class DoorScene(Scene):
    """The arm and the door; the task's own state is the door's angle (rad)."""

    def __init__(self, start: Point, visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals)
        self.start = start
        self.client = self.simulation.client
        self.door = self.simulation.load("door", door_urdf(), position=(*HINGE, 0.0))
        bullet.setJointMotorControl2(self.door, 0, bullet.VELOCITY_CONTROL, targetVelocity=0, force=FRICTION, physicsClientId=self.client)
        self.robot.place(start)

    def randomise(self, generator: np.random.Generator) -> None:
        x, y, z = (self.start + generator.uniform(-START_SPREAD, START_SPREAD, 3)).tolist()
        self.robot.place((x, y, z))

    def place_task(self, task_state: list[float]) -> None:
        bullet.resetJointState(self.door, 0, task_state[0], physicsClientId=self.client)

    def task_state(self) -> list[float]:
        return [bullet.getJointState(self.door, 0, physicsClientId=self.client)[0]]

    def measure(self) -> tuple[list[float], list[float], Point]:
        angle, velocity = bullet.getJointState(self.door, 0, physicsClientId=self.client)[:2]
        hand = self.robot.hand()
        return [*hand, angle, velocity], [angle, *hand], hand


class DoorEnv(ManipulationEnv):
    """Bring the door to a commanded angle; goals are (door angle rad, hand x, y, z m), success is the angle within 0.1 rad.

    setting: "easy" or "hard": whether the hand starts beside the handle or away from it.
    Source of the task: Pong et al. 2020, "Skew-Fit", section 6 (Door), here with a Franka arm.
    """

    task = "door"
    factors = ("door_angle_rad", "hand_x_m", "hand_y_m", "hand_z_m")
    observation_dim = 5
    cameras: ClassVar[dict[str, Camera]] = {
        "hinge": Camera((0.42, 0.95, 0.44), (0.475, 0.1, 0.165), 30.0),
        "rear": Camera((-0.15, -0.60, 0.75), (0.47, 0.05, 0.20), 30.0),
        "top": Camera((0.45, 0.02, 1.35), (0.451, 0.02, 0.2), 34.0),
        "front": Camera((1.35, -0.55, 0.75), (0.45, 0.02, 0.25), 40.0),
        "film": Camera((0.0, 1.15, 0.85), (0.36, 0.0, 0.23), 40.0),  # the whole arm, for people
    }

    def __init__(self, *, setting: str = "easy", **arguments: Any) -> None:
        if setting not in STARTS:
            raise unknown("setting", setting, STARTS)
        self.setting = setting
        super().__init__(**arguments)

    def build_scene(self) -> DoorScene:
        return DoorScene(STARTS[self.setting], self.visuals)

    def propose_goal(self, generator: np.random.Generator) -> Floats:
        angle = float(generator.uniform(0.0, 0.85))
        # Between panel and bar, where the hand is when it has just pulled or pushed the door there.
        along, out = generator.uniform(BAR_ALONG - 0.01, BAR_ALONG + 0.01), generator.uniform(0.03, BAR_OUT - BAR_HALF - 0.02)
        x, y = door_point(angle, float(along), float(out))
        joints = inverse_kinematics(x, y, float(generator.uniform(LOW[2], LOW[2] + 0.02)))
        return np.array([*joints, angle])

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        error = np.abs(np.asarray(achieved_goal)[..., 0] - np.asarray(desired_goal)[..., 0])
        return np.asarray(error < SUCCESS_ANGLE)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``door_angle_error`` (rad, also as ``distance``) and ``hand_distance_m``."""
        difference = np.asarray(achieved_goal) - np.asarray(desired_goal)
        angle = np.abs(difference[..., 0])
        return {"door_angle_error": angle, "hand_distance_m": np.linalg.norm(difference[..., 1:], axis=-1), "distance": angle}

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return entropy and coverage of the door's angle over 18 cells of 0.05 rad, and ``open``: the share beyond 0.15 rad, of (n, 4)."""
        angles = np.asarray(achieved_goals)[:, :1]
        return {**grid_coverage(angles, [0.0], [MAX_ANGLE], [18]), "open": float(np.mean(angles > 0.15)) if len(angles) else 0.0}

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Reach over the bar into the handle, pull or push the door to the goal's angle, then take the hand to its goal."""
        x, y, z, angle, velocity = (float(value) for value in observation["observation"])
        error = float(observation["desired_goal"][0]) - (angle + velocity * abs(velocity) / (2 * BRAKING))
        along = -(x - HINGE[0]) * math.sin(angle) - (y - HINGE[1]) * math.cos(angle)
        out = -(x - HINGE[0]) * math.cos(angle) + (y - HINGE[1]) * math.sin(angle)
        speed = 1.0
        above_handle = 0.0 < out < BAR_OUT and abs(along - BAR_ALONG) < 0.035
        if above_handle and z < TOP:
            if abs(error) < 0.01:
                target = tuple(float(value) for value in observation["desired_goal"][1:4])
            else:
                # The fingers' middle when they touch the bar (to pull) or the panel (to push), led a little toward the goal.
                touch = BAR_OUT - BAR_HALF - FINGER_HALF if error > 0 else 0.01 + FINGER_HALF
                target = (*door_point(angle + max(-0.12, min(0.12, 0.7 * error)), BAR_ALONG, touch), LOW[2])
                speed = max(0.15, min(1.0, abs(error) / 0.15))  # near the goal, or the fingers would knock the door past it
        elif above_handle:
            target = (*door_point(angle, BAR_ALONG, MIDDLE), LOW[2])
        elif z < CLEAR:
            target = (x, y, HIGH[2])
        else:
            target = (*door_point(angle, BAR_ALONG, MIDDLE), HIGH[2])
        step = np.array([target[0] - x, target[1] - y, target[2] - z]) / MAX_STEP
        return np.asarray(np.clip(step, -speed, speed), np.float32)
