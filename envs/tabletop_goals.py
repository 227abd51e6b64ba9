"""What a goal of Tabletop means: its numbers, the skills that can bring the table there, and how episodes toward it begin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.api import Floats
from envs.furniture import LATCH
from envs.tabletop_layout import NOTHING, PLACES, SPREAD, TRAY_SPREAD, Layout

FACTORS = (
    *("hand_x_m", "hand_y_m", "hand_z_m", "side", "drawer_kind", "drawer_opening_m", "button_kind", "button_depth_m"),
    *("tray_kind", "object_kind", "object_x_m", "object_y_m", "object_z_m"),
)
SIDE, DRAWER, OPENING, BUTTON, DEPTH, TRAY, OBJECT, PLACE = 3, 4, 5, 6, 7, 8, 9, 10
SCENE = [SIDE, DRAWER, BUTTON, TRAY, OBJECT]
SKILLS = ("open_drawer", "close_drawer", "press_button", "place_in_tray", "move_object")
OPENED, NEARLY_SHUT = (0.10, 0.165), (0.0, 0.02)  # m, how far drawers stand open that are, and that are not
PULLED = 0.06  # m of opening from which a drawer counts as open
MOVED = 0.03  # m
START_TURN = 0.1  # rad of the object about the vertical
AT_REST = 5e-3  # m: an object that a goal has higher than this over its support is in the air
TWO_PARTS = 0.2  # share of the episodes in which two parts start elsewhere, where there are two


def layout_of(goal: Floats) -> Layout:
    """Return the layout that a goal (g,) names. Raises `UserError` where it is none."""
    return Layout(*(round(float(goal[index])) for index in SCENE))


def movable(layout: Layout, button: bool) -> list[str]:
    """Return the parts of the table that a skill can move; `button`: whether the button is one of them, if it is there."""
    parts = ["drawer"] if layout.drawer != NOTHING else []
    if layout.button != NOTHING and button:
        parts.append("button")
    return [*parts, "object"] if layout.object != NOTHING else parts


def lies(layout: Layout, goal: Floats) -> bool:
    """Return whether the object of a goal (g,) lies where an episode can begin: free to be grasped, on the table or in the tray."""
    x, y, z = (float(value) for value in goal[PLACE : PLACE + 3])
    if abs(z - layout.rest(x, y)) > AT_REST:
        return False
    place, away = nearest(layout, x, y)
    return layout.in_tray(x, y) or (place in layout.free() and away < 2 * max(SPREAD))


def nearest(layout: Layout, x: float, y: float) -> tuple[int, float]:
    """Return the place nearest to a point (m), and how far (m) it is along the farther axis."""
    away = [max(abs(x - a), abs(y - b)) for a, b in map(layout.point, range(len(PLACES)))]
    return int(np.argmin(away)), min(away)


@dataclass(frozen=True)
class Start:
    """Everything about an episode's begin that is left to chance, drawn before its goal is known.

    It enters only by way of what the goal has roughly (drawer open or not, object here or there), so a goal that was reached
    begins as the one that was commanded did.
    """

    choice: float
    two: bool
    opening: float
    shut: float
    order: list[int]  # of places, the tray among them
    spread: tuple[float, float]
    yaw: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Start:
        """Draw a start."""
        return cls(
            float(generator.random()),
            bool(generator.random() < TWO_PARTS),
            float(generator.uniform(*OPENED)),
            float(generator.uniform(*NEARLY_SHUT)),
            [int(index) for index in generator.permutation(len(PLACES) + 1)],
            (float(generator.uniform(-1, 1)), float(generator.uniform(-1, 1))),
            float(generator.uniform(-START_TURN, START_TURN)),
        )

    def choose(self, parts: list[str]) -> list[str]:
        """Return the one or two of `parts` that start elsewhere."""
        if not parts:
            return []
        first = int(self.choice * len(parts))
        return [parts[first], *([parts[(first + 1) % len(parts)]] if self.two else [])]

    def place(self, layout: Layout, goal: tuple[float, float]) -> tuple[float, float]:
        """Return where (m) the object starts that shall go to `goal` (m): at another place, or in the tray."""
        wanted, free = nearest(layout, *goal)[0], layout.free()
        for index in self.order:
            if index == len(PLACES):
                if layout.tray == NOTHING or layout.in_tray(*goal):
                    continue
                return around(layout.tray_point, TRAY_SPREAD, self.spread)
            if index in free and (index != wanted or layout.in_tray(*goal)):
                return around(layout.point(index), SPREAD, self.spread)
        raise AssertionError("every layout has two free places")


def around(point: tuple[float, float], spread: tuple[float, float], share: tuple[float, float]) -> tuple[float, float]:
    """Return the point (m) that lies `share` of `spread` (m) from another along both axes."""
    return point[0] + spread[0] * share[0], point[1] + spread[1] * share[1]


def draw_place(layout: Layout, generator: np.random.Generator, start: Floats | None = None) -> list[float]:
    """Draw where (m) a goal has the object: half of them in the tray where there is one and the object is not in it at `start` (g,)."""
    begun = None if start is None else (float(start[PLACE]), float(start[PLACE + 1]))
    share = (float(generator.uniform(-1, 1)), float(generator.uniform(-1, 1)))
    in_tray = generator.random() < 0.5 and layout.tray != NOTHING and not (begun and layout.in_tray(*begun))
    taken = None if begun is None or layout.in_tray(*begun) else nearest(layout, *begun)[0]
    free = [place for place in layout.free() if place != taken]
    place = free[int(generator.integers(len(free)))]
    x, y = around(layout.tray_point, TRAY_SPREAD, share) if in_tray else around(layout.point(place), SPREAD, share)
    return [x, y, layout.rest(x, y)]


def draw_opening(generator: np.random.Generator, opened: bool) -> float:
    """Draw how far (m) a drawer is open that is, or that is not."""
    return float(generator.uniform(*(OPENED if opened else NEARLY_SHUT)))


def skill(start: Floats, goal: Floats) -> str:
    """Return the skills, joined by "+", that lead from one achieved goal (g,) to another; "stay" for none."""
    layout, there = layout_of(goal), [float(value) for value in goal[PLACE : PLACE + 3]]
    found = []
    if abs(goal[OPENING] - start[OPENING]) > PULLED / 2:
        found.append("open_drawer" if goal[OPENING] > start[OPENING] else "close_drawer")
    if goal[DEPTH] > LATCH >= start[DEPTH]:
        found.append("press_button")
    if float(np.linalg.norm(there - np.asarray(start[PLACE : PLACE + 3]))) > MOVED:
        found.append("place_in_tray" if layout.in_tray(there[0], there[1]) else "move_object")
    return "+".join(found) or "stay"
