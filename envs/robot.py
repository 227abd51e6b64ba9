"""A Franka arm whose gripper points down, moved by displacements of its fingertips."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs.gripper import Gripper, gripper_urdf
from envs.meshes import TIP_OFFSET, arm_urdf
from envs.quiet import bullet
from envs.sim import Simulation

Floats = NDArray[np.float64]
Point = tuple[float, float, float]

JOINTS = tuple(range(7))
MAX_STEP = 0.03  # m a step and axis
MAX_LEAD = 0.04  # m and axis that the commanded point may run ahead of a hand that something holds back
FORCES = [87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0]  # N m, the arm's own limits
GAINS = [0.2] * 7
# Lengths of the arm in m (Franka's Denavit-Hartenberg parameters d1, d3, d5, a4, a7).
SHOULDER, UPPER, FOREARM, ELBOW, WRIST = 0.333, 0.316, 0.384, 0.0825, 0.088
UPPER_REACH, FORE_REACH = math.hypot(UPPER, ELBOW), math.hypot(FOREARM, ELBOW)
UPPER_SKEW, FORE_SKEW = math.atan2(ELBOW, UPPER), math.atan2(ELBOW, FOREARM)


def inverse_kinematics(x: float, y: float, z: float) -> list[float]:
    """Return the seven joint angles (rad) that put the fingertips at (x, y, z) m, gripper pointing down, fingers opening along y.

    Closed form: the redundant third joint and the fifth stay at zero, so the arm bends in one vertical plane and its
    configuration is a function of the point, never of the path there. Points out of reach give the stretched arm.
    """
    pan = math.atan2(y, x)
    out, up = math.hypot(x, y) - WRIST, z + TIP_OFFSET - SHOULDER
    reach = min(math.hypot(out, up), UPPER_REACH + FORE_REACH - 1e-6)
    elbow = math.acos((UPPER_REACH**2 + FORE_REACH**2 - reach**2) / (2 * UPPER_REACH * FORE_REACH))
    lift = math.acos(max(-1.0, min(1.0, (UPPER_REACH**2 + reach**2 - FORE_REACH**2) / (2 * UPPER_REACH * reach))))
    shoulder = math.atan2(out, up) - lift - UPPER_SKEW
    bend = elbow - math.pi - UPPER_SKEW - FORE_SKEW
    return [pan, shoulder, 0.0, bend, 0.0, shoulder - bend, math.pi / 4 + pan]


class Robot:
    """The arm in one simulation. ``target`` is the commanded fingertip position (m), part of the environment's state.

    low, high: the box (m) that commands are clipped to. gripper: whether the fingers open (``gripper``); otherwise they are
    closed for good (None), which is faster.
    """

    def __init__(self, simulation: Simulation, low: Point, high: Point, visuals: str = "light", *, gripper: bool = False) -> None:
        self.simulation = simulation
        self.client = simulation.client
        self.body = simulation.load("arm", gripper_urdf(visuals) if gripper else arm_urdf(visuals))
        self.gripper = Gripper(self.client, self.body) if gripper else None
        self.low, self.high = low, high
        self.target: list[float] = [(a + b) / 2 for a, b in zip(low, high)]

    def paint(self, colour: Sequence[float]) -> None:
        """Give the whole arm one colour (r, g, b, a), each in [0, 1]."""
        for shape in bullet.getVisualShapeData(self.body, physicsClientId=self.client):
            bullet.changeVisualShape(self.body, shape[1], rgbaColor=list(colour), physicsClientId=self.client)

    def place(self, position: Point, opening: float = 0.0) -> None:
        """Put the arm at rest with the fingertips at `position` (m) and `opening` m apart, where they open."""
        self.place_joints(inverse_kinematics(*position))
        if self.gripper is not None:
            self.gripper.place(opening)
        self.target = list(position)

    def place_joints(self, joints: list[float]) -> None:
        """Put the arm at rest at seven joint angles (rad)."""
        for joint, angle in zip(JOINTS, joints):
            bullet.resetJointState(self.body, joint, angle, physicsClientId=self.client)

    def joints(self) -> list[float]:
        """Return the seven joint angles (rad)."""
        return [state[0] for state in bullet.getJointStates(self.body, JOINTS, physicsClientId=self.client)]

    def hand(self) -> Point:
        """Return the fingertip position (m)."""
        (x, y, z), (a, b, c, d) = self.flange()
        return (
            x + TIP_OFFSET * 2 * (a * c + d * b),
            y + TIP_OFFSET * 2 * (b * c - d * a),
            z + TIP_OFFSET * (1 - 2 * (a * a + b * b)),
        )

    def flange(self) -> tuple[Point, tuple[float, float, float, float]]:
        """Return position (m) and orientation (x, y, z, w) of the last link's frame, which the hand is mounted on."""
        state = bullet.getLinkState(self.body, 6, computeForwardKinematics=1, physicsClientId=self.client)
        return state[4], state[5]

    def command(self, displacement: list[float], hand: Point) -> None:
        """Move the commanded point by `displacement` (m, three axes) from where it is; `hand` is where the fingertips are.

        Moving the point and not the hand keeps a held arm from sagging; the lead limit keeps a blocked one from winding up.
        """
        for axis in range(3):
            wanted = self.target[axis] + displacement[axis]
            wanted = min(max(wanted, hand[axis] - MAX_LEAD), hand[axis] + MAX_LEAD)
            self.target[axis] = min(max(wanted, self.low[axis]), self.high[axis])
        bullet.setJointMotorControlArray(
            self.body,
            JOINTS,
            bullet.POSITION_CONTROL,
            targetPositions=inverse_kinematics(*self.target),
            forces=FORCES,
            positionGains=GAINS,
            physicsClientId=self.client,
        )
