"""The scripted expert of DrawerPickPush: from what stands where alone, it does first what is in the way of the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from envs.api import Floats
from envs.bodies import turned
from envs.drawer import drawer_error, in_handle, slide
from envs.drawer_pick_push_scene import ASIDE_LOW, FRONT, RADIUS, Layout
from envs.grasping import ALIGNED, BLOCK_HALF, HOVER, OPEN, SHUT, grips, move, pick_and_place, raised
from envs.push import circle, toward
from envs.robot import MAX_STEP

TRAVEL = 0.19  # m, height at which the hand passes from one thing to the next, with or without the block
OVER = 0.15  # m: from here up it passes over everything
WIDE = 0.12  # m of opening from which the hand fits into the drawer
SHUT_DRAWER = 0.03  # m of opening below which the hand fits between handle and cylinder
PUSH_HEIGHT = 0.03  # m of the fingertips
BEHIND = RADIUS + 0.014 + 0.012  # m of the closed fingers from the cylinder's middle, before they touch it
DONE, DONE_INSIDE, DONE_DRAWER = 0.012, 0.025, 0.01  # m: what is farther from its goal is taken up again; in the drawer the block may slip
GENTLY = 0.5  # share of full speed at which a drawer slides with the block in it
FIRMLY = 0.6  # share of full speed at which the cylinder is pushed
STEER = 0.5  # share of how far the cylinder has strayed from its lane that a push makes good over as long a way
WIDE_OPEN = 0.065  # m between fingers that may go down about the block


@dataclass(frozen=True)
class Sight:
    """What the expert sees and wants. hand: (3,) m. fingers: m. velocity: m/s of the drawer. now, goal: layouts; goal_hand: (3,) m."""

    hand: Floats
    fingers: float
    velocity: float
    now: Layout
    goal: Layout
    goal_hand: Floats

    @classmethod
    def of(cls, observation: Floats, desired: Floats) -> Sight:
        """Return the sight of the environment's ``observation`` (16,) and ``desired_goal`` (9,)."""
        upright = turned(0.0)
        opening, *values = (float(value) for value in observation[4:])
        now = Layout(opening, (*values[1:4], *upright), (values[7], values[8]))
        wanted = [float(value) for value in desired]
        goal = Layout(wanted[0], (*wanted[1:4], *upright), (wanted[4], wanted[5]))
        return cls(
            np.asarray(observation[:3], np.float64), float(observation[3]), values[0], now, goal, np.asarray(desired[6:], np.float64)
        )

    @property
    def block(self) -> Floats:
        """The block's middle (3,) m."""
        return np.array(self.now.block[:3])

    @property
    def place(self) -> Floats:
        """Where the block shall be (3,) m: in a drawer, where that is while the drawer stands as it does."""
        x, y, z = self.goal.block[:3]
        return np.array([x + self.goal.opening - self.now.opening if self.goal.place == "drawer" else x, y, z])

    @property
    def held(self) -> bool:
        """Whether the fingers hold the block."""
        return grips(self.hand, self.fingers, self.block)


def act(sight: Sight) -> Floats:
    """Return the action (4,): first the block, the drawer opened for it if need be, then cylinder, drawer and hand."""
    now, goal = sight.now, sight.goal
    strayed = abs(goal.cylinder[1] - now.cylinder[1]) > DONE
    far = float(np.abs(sight.place - sight.block).max())
    if sight.held or far > (DONE_INSIDE if now.place == "drawer" else DONE):
        inside = goal.place == "drawer" or (now.place == "drawer" and not sight.held)
        if not inside or now.opening >= WIDE:
            return carry(sight, sight.place)
        if sight.held:  # it cannot go in yet
            return carry(sight, np.array([*sight.block[:2], BLOCK_HALF]))
        if now.blocked or (strayed and not goal.blocked and now.opening < SHUT_DRAWER):
            return push(sight, math.copysign(ASIDE_LOW + 0.02, now.cylinder[1]) if goal.blocked else goal.cylinder[1])
        return pull(sight, max(goal.opening, WIDE + 0.02))
    if np.hypot(*(sight.hand - sight.block)[:2]) < 0.05 and sight.hand[2] < sight.block[2] + HOVER - 0.01:
        return move(sight.hand, raised(sight.hand, MAX_STEP), OPEN, 0.5)  # straight up, before the fingers drag along what they let go
    if strayed:
        return push(sight, goal.cylinder[1])
    hand = (float(sight.hand[0]), float(sight.hand[1]), float(sight.hand[2]))
    error = drawer_error(goal.opening, now.opening, sight.velocity)
    if abs(error) > (0.003 if in_handle(hand, now.opening, FRONT) else DONE_DRAWER):
        return pull(sight, goal.opening)
    if sight.hand[2] < OVER:
        return move(sight.hand, raised(sight.hand, MAX_STEP), OPEN)
    return move(sight.hand, sight.goal_hand, OPEN)


def pass_over(sight: Sight, x: float, y: float, fingers: float) -> Floats:
    """Return the action that takes the hand over a point (m): up, then across."""
    if sight.hand[2] < OVER:
        return move(sight.hand, raised(sight.hand, MAX_STEP), fingers)
    return move(sight.hand, np.array([x, y, TRAVEL]), fingers)


def carry(sight: Sight, place: Floats) -> Floats:
    """Bring the block to `place` (3,) m and let go of it."""
    offset = sight.block - sight.hand
    beside = float(np.hypot(offset[0], offset[1]))
    if not sight.held:
        if beside > 0.03:
            return pass_over(sight, float(sight.block[0]), float(sight.block[1]), OPEN)
        if beside < ALIGNED and sight.fingers < WIDE_OPEN and offset[2] < -HOVER + 0.015:
            return move(sight.hand, sight.hand, OPEN)
    return pick_and_place(sight.hand, sight.fingers, sight.block, place, travel=TRAVEL, let_go=True)


def pull(sight: Sight, opening: float) -> Floats:
    """Slide the drawer to `opening` (m) by its handle."""
    now = sight.now
    hand = (float(sight.hand[0]), float(sight.hand[1]), float(sight.hand[2]))
    target, speed = slide(hand, now.opening, drawer_error(opening, now.opening, sight.velocity), FRONT)
    above = math.hypot(target[0] - hand[0], target[1] - hand[1]) < 0.03
    if not above and not in_handle(hand, now.opening, FRONT):
        return pass_over(sight, target[0], target[1], SHUT)
    speed = min(speed, GENTLY) if now.place == "drawer" else speed
    step = np.clip((np.array(target) - sight.hand) / MAX_STEP, -speed, speed)
    return np.array([*step, -1.0], np.float32)


def push(sight: Sight, y: float) -> Floats:
    """Push the cylinder along its lane to `y` (m) from behind, always toward its middle, so that it stops there; first shut the drawer."""
    if sight.now.opening > SHUT_DRAWER:
        return pull(sight, 0.0)
    cylinder, hand = np.array(sight.now.cylinder), sight.hand[:2]
    along = y - cylinder[1]
    # Back to its lane, too, where it has strayed, but mostly along.
    aside = max(-abs(along), min(abs(along), sight.goal.cylinder[0] - cylinder[0])) * STEER
    way = np.array([aside, along]) / math.hypot(aside, along)
    behind = cylinder - BEHIND * way
    gap = float(np.linalg.norm(cylinder - hand))
    if sight.hand[2] < PUSH_HEIGHT + 0.015 and gap < BEHIND + 0.02 and float((cylinder - hand) @ way) > 0.7 * gap:
        around = circle(hand, cylinder, -way, BEHIND)
        speed = max(0.1, min(FIRMLY, abs(along) / 0.06)) if gap < BEHIND - 0.008 else 0.3
        step = toward(hand, cylinder, speed) if around is None else around
        return np.array([*step, (PUSH_HEIGHT - sight.hand[2]) / MAX_STEP, -1.0], np.float32)
    if np.abs(hand - behind).max() < 0.01:
        return move(sight.hand, np.array([*behind, PUSH_HEIGHT]), SHUT)
    return pass_over(sight, float(behind[0]), float(behind[1]), SHUT)
