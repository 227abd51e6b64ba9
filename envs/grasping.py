"""What tasks with a gripper that opens share: the fourth action axis, and the scripted skill of picking a block up and putting it down."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from envs.api import Floats
from envs.gripper import MAX_OPENING
from envs.manipulation import ManipulationEnv
from envs.robot import MAX_STEP

BLOCK_HALF = 0.02  # m, half a block's side
BLOCK_MASS = 0.15  # kg
HELD_OPENING = 2 * BLOCK_HALF + 5e-4  # m: fingers that just touch a block, in goal states
# The skill's: how near (m) the hand is when it closes, and the block when it is let go.
ALIGNED, LEVEL, PLACED = 0.006, 0.006, 0.006
GRIPPED = 2 * BLOCK_HALF + 0.0065  # m of opening below which fingers about a block hold it, even one that stands askew
OPEN, SHUT = MAX_OPENING, 0.0  # m of opening that the skill commands
HOVER = 0.06  # m above a block, where open fingers pass over it


class GraspingEnv(ManipulationEnv):
    """A task with four action axes: hand displacements, and the finger opening to drive to, from -1 (shut) to 1 (8 cm).

    Proprioception is (4,): hand position (m) and finger opening (m).
    """

    action_axes: ClassVar[int] = 4
    proprioception_dim: ClassVar[int] = 4

    def actuate(self, action: list[float]) -> None:
        super().actuate(action[:3])
        gripper = self._scene.robot.gripper
        assert gripper is not None
        gripper.command(MAX_OPENING * (action[3] + 1) / 2)


def grips(hand: Floats, opening: float, block: Floats) -> bool:
    """Return whether the fingers hold a block, judged by where all three are (m)."""
    return bool(np.abs(hand - block).max() < 0.015) and opening < GRIPPED


def pick_and_place(hand: Floats, opening: float, block: Floats, goal: Floats, *, travel: float, let_go: bool) -> Floats:
    """Return the action (4,) that brings a block to `goal`, from positions (3,) m alone: no memory of what was done before.

    travel: height (m) of the block's centre on the way. let_go: whether to open the fingers there.
    """
    error = goal - block
    placed = bool(np.abs(error).max() < PLACED)
    if grips(hand, opening, block):
        if placed and let_go:
            return move(hand, hand, OPEN)
        beside = float(np.hypot(error[0], error[1]))
        if beside > 0.015 and block[2] < travel - 0.02:  # first up, so that nothing is knocked over
            return move(hand, raised(hand, travel - block[2]), SHUT)
        down = error[2] if beside < 0.015 else travel - block[2]
        # Gently near the goal: a block that swings is let go askew.
        return move(hand, hand + np.array([error[0], error[1], down]), SHUT, 0.4 if beside < 0.03 and let_go else 0.8)
    offset = block - hand
    if np.hypot(offset[0], offset[1]) > ALIGNED:
        if offset[2] > -HOVER + 0.02:
            return move(hand, raised(hand, offset[2] + HOVER), OPEN)
        return move(hand, raised(block, max(HOVER, travel - block[2])), OPEN)
    if abs(offset[2]) > LEVEL:
        return move(hand, block, OPEN)
    return move(hand, block, SHUT, 0.2)


def retreat(hand: Floats, block: Floats, goal_hand: Floats) -> Floats:
    """Return the action (4,) that leaves a block standing: fingers open, then straight up, then to the hand's goal (m)."""
    if np.hypot(*(hand - block)[:2]) < 0.05 and hand[2] < block[2] + HOVER - 0.01:
        return move(hand, raised(hand, MAX_STEP), OPEN, 0.5)
    return move(hand, goal_hand, OPEN)


def raised(point: Floats, by: float) -> Floats:
    """Return the point (3,) `by` m higher."""
    return np.asarray(point + np.array([0.0, 0.0, by]))


def move(hand: Floats, target: Floats, opening: float, speed: float = 1.0) -> Floats:
    """Return the action (4,) straight toward a point (m), at `speed` times the greatest."""
    step = (np.asarray(target) - hand) / MAX_STEP
    longest = max(1e-9, float(np.abs(step).max()))
    return np.array([*(step * min(1.0, speed / longest)), 2 * opening / MAX_OPENING - 1], np.float32)
