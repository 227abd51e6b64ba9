"""What stands on the tabletop, and where: every arrangement there is, and which of them are held out for testing.

A layout is five whole numbers, `NOTHING` for what is absent: the drawer's side; the colour of its handle; place and colour of
the button; place and colour of the tray; the object's kind. Places are counted on a grid that is mirrored with the side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.errors import UserError, unknown
from envs.tabletop_objects import HEIGHTS, HUES, SIZES, TRAINING_HUES, object_kind, object_look

NOTHING = -1
SIDES = ("left", "right")  # of the drawer, seen from the robot: y > 0, y < 0
FRONT, DRAWER_ASIDE = 0.70, 0.15  # m: x of the closed drawer's front, and how far to the side it stands
DRAWER_WIDTH = 0.18  # m
# (x m, distance m from the middle toward the drawer's side): a row in reach of everything, and one beside the drawer.
PLACES = [(0.39, -0.20), (0.39, -0.07), (0.39, 0.06), (0.39, 0.19), (0.55, -0.20), (0.55, -0.07)]
SPREAD = (0.012, 0.012)  # m along both axes about its place, of an object
TRAY_HALF, TRAY_SPREAD = 0.06, (0.008, 0.02)  # m: half the tray's side, and about its middle where objects are put
TRAY_FLOOR, TRAY_WALL = 0.004, 0.012  # m of height: fingers that put something down stay above the wall
SCENES = {"scene_1": 9, "scene_2": 11, "scene_3": 1}  # tables that stay the same, with everything on them, and seeds that draw these
LAYOUTS = ("train", "held_out", *SCENES)


@dataclass(frozen=True)
class Layout:
    """One arrangement. Raises `UserError` for numbers that stand for none."""

    side: int
    drawer: int = NOTHING
    button: int = NOTHING
    tray: int = NOTHING
    object: int = NOTHING

    def __post_init__(self) -> None:
        if self.side not in (0, 1):
            raise UserError(f"side {self.side} of the table; expected 0 (drawer on the left) or 1 (on the right)")
        for name, count in (("drawer", len(HUES)), ("button", len(PLACES) * len(HUES)), ("tray", len(PLACES) * len(HUES))):
            if not NOTHING <= getattr(self, name) < count:
                raise UserError(f"{name} kind {getattr(self, name)}; expected 0 to {count - 1}, or {NOTHING} for none")
        if self.object != NOTHING:
            object_look(self.object)
        if self.button != NOTHING and self.tray != NOTHING and not fit(self.button // len(HUES), self.tray // len(HUES)):
            raise UserError(
                f"button at place {self.button // len(HUES)} and tray at place {self.tray // len(HUES)}; expected places that are not "
                "beside each other"
            )

    def numbers(self) -> list[int]:
        """Return the layout as five numbers."""
        return [self.side, self.drawer, self.button, self.tray, self.object]

    def point(self, place: int) -> tuple[float, float]:
        """Return x, y (m) of a place."""
        x, aside = PLACES[place]
        return x, self.sign * aside

    @property
    def sign(self) -> int:
        """1 where the drawer stands on the left, -1 on the right."""
        return 1 - 2 * self.side

    @property
    def drawer_y(self) -> float:
        """Where (m) the drawer stands."""
        return self.sign * DRAWER_ASIDE

    @property
    def button_point(self) -> tuple[float, float]:
        """Where (m) the button stands."""
        return self.point(self.button // len(HUES))

    @property
    def tray_point(self) -> tuple[float, float]:
        """Where (m) the middle of the tray is."""
        return self.point(self.tray // len(HUES))

    @property
    def object_height(self) -> float:
        """How high (m) the object is."""
        return HEIGHTS[object_look(self.object)[1]]

    def free(self) -> list[int]:
        """Return the places where the object can stand and be grasped."""
        taken = [] if self.tray == NOTHING else [self.tray // len(HUES)]
        button = None if self.button == NOTHING else self.button // len(HUES)
        return [place for place in range(len(PLACES)) if place not in taken and (button is None or fit(button, place))]

    def in_tray(self, x: float, y: float) -> bool:
        """Return whether a point (m) is in the tray."""
        return self.tray != NOTHING and max(abs(x - self.tray_point[0]), abs(y - self.tray_point[1])) < TRAY_HALF

    def rest(self, x: float, y: float) -> float:
        """Return the height (m) of the middle of the object when it lies at a point (m)."""
        return self.object_height / 2 + (TRAY_FLOOR if self.in_tray(x, y) else 0.0)


def fit(button: int, place: int) -> bool:
    """Return whether an object can be grasped at a place while a button stands at another: the hand is 20 cm wide along y."""
    (x0, y0), (x1, y1) = PLACES[button], PLACES[place]
    return abs(x1 - x0) > 0.10 or abs(y1 - y0) > 0.16


# Every (side, button's place, tray's place) that is possible; one in five is held out, other ones on the left than on the right.
ARRANGEMENTS = [(side, b, t) for side in range(2) for b in range(len(PLACES)) for t in range(len(PLACES)) if b != t and fit(b, t)]
HELD_OUT_ARRANGEMENTS = ARRANGEMENTS[2::5]


def check_layouts(name: str) -> str:
    """Return `name`. Raises `UserError` where it is none of `LAYOUTS`."""
    if name not in LAYOUTS:
        raise unknown("layouts", name, LAYOUTS)
    return name


def draw_layout(generator: np.random.Generator, layouts: str, shapes: tuple[str, ...], hues: tuple[str, ...]) -> Layout:
    """Draw a layout with something to do. Held-out ones have a button and a tray, where these never stand together in training.

    For one of `SCENES` nothing is left to `generator`: the same one comes every time.
    """
    held_out = layouts != "train"
    if layouts in SCENES:
        generator = np.random.default_rng(SCENES[layouts])
    arrangements = HELD_OUT_ARRANGEMENTS if held_out else [one for one in ARRANGEMENTS if one not in HELD_OUT_ARRANGEMENTS]
    side, button, tray = arrangements[int(generator.integers(len(arrangements)))]
    there = generator.random(4) < (0.7, 0.7, 0.7, 0.8)  # drawer, button, tray, object
    if layouts in SCENES:
        there[:] = True
    elif held_out:
        there[1:3] = True
    if not (there[0] or there[1] or there[3]):
        there[3] = True
    look = (
        shapes[int(generator.integers(len(shapes)))],
        SIZES[int(generator.integers(len(SIZES)))],
        hues[int(generator.integers(len(hues)))],
    )
    # No two things of one colour: a red block on a red tray would not be seen.
    others = [HUES.index(hue) for hue in TRAINING_HUES if hue != look[2]]
    colours = [others[index] for index in generator.permutation(len(others))]
    kinds = (colours[0], button * len(HUES) + colours[1], tray * len(HUES) + colours[2], object_kind(*look))
    return Layout(side, *(number if present else NOTHING for number, present in zip(kinds, there)))
