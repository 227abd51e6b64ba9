"""The scripted expert of Tabletop: one part of the table after the other, from the observation alone."""

from __future__ import annotations

import numpy as np

from envs.api import Floats
from envs.drawer import BRAKING
from envs.furniture import BUTTON_TOP, BUTTON_TRAVEL, DRAWER_TOP, HANDLE_HALF, HANDLE_OUT, LATCH
from envs.grasping import HOVER, OPEN, PLACED, SHUT, grips, move, pick_and_place, raised
from envs.robot import MAX_STEP
from envs.tabletop_goals import DEPTH, OPENING, PLACE, layout_of
from envs.tabletop_layout import FRONT, NOTHING

CRUISE = 0.18  # m: a hand this high passes over everything, and so does what it carries
HOOKED = 0.088  # m, height of the hand inside the handle
CLEAR = DRAWER_TOP + 0.012  # m: below this the hand is inside the handle
EDGE = 0.095  # m, top of the drawer's front: fingers that push before they are below it may come to stand on it, and stay there
CENTRED = 0.012  # m from the middle between bar and front within which the fingers can go down
BESIDE = 0.018  # m to either side of the handle's middle, between its posts
FINGER_HALF = 0.0105  # m, half the fingers' thickness
DRAWER_DONE, OBJECT_DONE, ALIGNED = 0.012, PLACED + 0.004, 0.010  # m
CLOSED = 0.015  # m of opening below which fingers count as shut


def expert_action(hand: Floats, fingers: float, velocity: float, achieved: Floats, goal: Floats) -> Floats:
    """Return the action (4,) of the expert.

    hand: (3,) m. fingers: opening (m). velocity: of the drawer (m/s). achieved, goal: (g,), of one scene.
    """
    layout, here, there = layout_of(achieved), achieved[PLACE : PLACE + 3], goal[PLACE : PLACE + 3]
    with_object = layout.object != NOTHING
    if with_object and grips(hand, fingers, here):
        return pick_and_place(hand, fingers, here, there, travel=CRUISE, let_go=True)
    if with_object and np.hypot(*(hand - here)[:2]) < 0.03 and hand[2] < here[2] + 0.03 and np.abs(there - here).max() < OBJECT_DONE:
        return move(hand, raised(hand, MAX_STEP), OPEN, 0.5)  # up, before the fingers drag along what they let go
    if layout.drawer != NOTHING:
        action = _slide(hand, fingers, float(achieved[OPENING]), velocity, float(goal[OPENING]), layout.drawer_y)
        if action is not None:
            return action
    if layout.button != NOTHING and goal[DEPTH] > LATCH and achieved[DEPTH] < BUTTON_TRAVEL - 0.004:
        return _down(hand, fingers, np.array([*layout.button_point, BUTTON_TOP - BUTTON_TRAVEL + 0.002]), SHUT)
    if with_object and np.abs(there - here).max() > OBJECT_DONE:
        if np.hypot(*(hand - here)[:2]) < 0.03:
            return pick_and_place(hand, fingers, here, there, travel=CRUISE, let_go=True)
        return _down(hand, fingers, raised(here, HOVER), OPEN)
    return _down(hand, fingers, goal[:3], OPEN)


def _slide(hand: Floats, fingers: float, opening: float, velocity: float, wanted: float, y: float) -> Floats | None:
    """Return the action that brings the drawer to an opening (m), None when it is there and the hand is not in its handle."""
    error = wanted - (opening + velocity * abs(velocity) / (2 * BRAKING))
    bar, front = FRONT - 0.012 - HANDLE_OUT - opening, FRONT - 0.012 - opening
    middle = (bar + front) / 2
    if bar < hand[0] < front and abs(hand[1] - y) < BESIDE and hand[2] < CLEAR:
        if abs(error) < 0.003:
            return None
        if hand[2] > EDGE:
            beside = abs(hand[0] - middle) > CENTRED
            return move(hand, raised(hand, MAX_STEP) if beside else np.array([middle, y, HOOKED]), SHUT)
        # The fingers' middle when they touch the bar (to pull) or the front (to push), led a little toward the goal.
        touch = bar + HANDLE_HALF + FINGER_HALF if error > 0 else front - FINGER_HALF
        target = np.array([touch - max(-0.03, min(0.03, error)), y, HOOKED])
        return move(hand, target, SHUT, max(0.1, min(1.0, abs(error) / 0.05)))
    if abs(wanted - opening) < DRAWER_DONE:
        return None
    return _down(hand, fingers, np.array([middle, y, HOOKED]), SHUT)


def _down(hand: Floats, fingers: float, target: Floats, opening: float) -> Floats:
    """Return the action toward a point (m) by way of above: straight up, across, straight down with the fingers as they shall be."""
    if np.abs((target - hand)[:2]).max() > ALIGNED:
        if hand[2] < CRUISE - 0.02:
            return move(hand, raised(hand, CRUISE - hand[2]), opening)
        return move(hand, np.array([*target[:2], max(CRUISE, target[2])]), opening)
    if opening == SHUT and fingers > CLOSED:
        return move(hand, np.array([*target[:2], hand[2]]), opening)
    return move(hand, target, opening)
