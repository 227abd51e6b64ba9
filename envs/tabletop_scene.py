"""The world of Tabletop: drawer, button, tray and objects, of which each episode shows some; what it does not show is parked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from envs.api import Floats
from envs.bodies import COLOURS, POSE, UPRIGHT, FreeBody, turned
from envs.errors import UserError
from envs.furniture import BUTTON_TRAVEL, DRAWER_TRAVEL, LATCH, Box, Button, Drawer, boxes_xml
from envs.gripper import MAX_OPENING
from envs.quiet import bullet
from envs.robot import Point
from envs.scene import Scene
from envs.tabletop_goals import DEPTH, OPENING, PLACE, PULLED, Start, layout_of, lies, movable
from envs.tabletop_layout import DRAWER_WIDTH, FRONT, NOTHING, TRAY_FLOOR, TRAY_HALF, TRAY_WALL, Layout
from envs.tabletop_objects import HUES, SHAPES, SIZES, graspable, object_look

LOW, HIGH = (0.32, -0.24, 0.02), (0.69, 0.24, 0.30)
OUTLINE = ((0.32, -0.27), (0.66, 0.27))  # m
HAND_LOW, HAND_HIGH = (0.34, -0.12, 0.18), (0.42, 0.12, 0.26)  # m, where the hand starts and where goals put it: it hides little there
PARKED = 50.0  # m above the table, out of sight
HANDLE_SHAPES = (4, 5, 6)  # of the drawer's moving part
TRAY = """<robot name="tray"><link name="base">
  <inertial><mass value="1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>{boxes}
</link></robot>"""


def tray_boxes() -> list[Box]:
    """Return floor and walls of the tray, about the middle of its underside."""
    side, wall, grey = 2 * TRAY_HALF, 0.006, "0.5 0.5 0.5 1"
    middle = TRAY_HALF - wall / 2
    return [
        ((0.0, 0.0, TRAY_FLOOR / 2), (side, side, TRAY_FLOOR), grey),
        *(((sign * middle, 0.0, TRAY_WALL / 2), (wall, side, TRAY_WALL), grey) for sign in (-1, 1)),
        *(((0.0, sign * middle, TRAY_WALL / 2), (side, wall, TRAY_WALL), grey) for sign in (-1, 1)),
    ]


class TabletopScene(Scene):
    """The arm, a drawer, a button, a tray and one body per shape and size; `layout` says which of them are on the table.

    The task's own state is (side, drawer, opening m, button, depth m, tray, object, its pose (7,)); zeros for what is absent.
    """

    def __init__(self, shapes: Sequence[str], visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals, outline=OUTLINE, gripper=True)
        self.client = self.simulation.client
        self.drawer = Drawer(self.simulation, (0.0, 0.0, PARKED), cabinet="0.45 0.48 0.55 1", front="0.90 0.87 0.80 1", width=DRAWER_WIDTH)
        self.button = Button(self.simulation, (0.0, 0.0, PARKED))
        self.tray = self.simulation.load("tray", TRAY.format(boxes=boxes_xml(tray_boxes())), position=(0.0, 0.0, PARKED))
        self.objects = {(shape, size): graspable(self.simulation, shape, size) for shape in shapes for size in SIZES}
        self.layout = Layout(0)
        self._start: Start | None = None
        self.drive()
        self.robot.place((0.38, 0.0, 0.22), MAX_OPENING)

    def randomise(self, generator: np.random.Generator) -> None:
        x, y, z = generator.uniform(HAND_LOW, HAND_HIGH).tolist()
        self.robot.place((x, y, z), MAX_OPENING)
        self._start = Start.draw(generator)

    def lay(self, goal: Floats) -> None:
        """Lay the table as the goal has it but for one part, sometimes two, of those that a skill can bring there."""
        assert self._start is not None
        layout, start = layout_of(goal), self._start
        changed = start.choose(movable(layout, button=bool(goal[DEPTH] > LATCH)))
        opening, depth = float(goal[OPENING]), BUTTON_TRAVEL if goal[DEPTH] > LATCH else 0.0
        if "drawer" in changed:
            opening = start.shut if opening >= PULLED else start.opening
        if "button" in changed:
            depth = 0.0
        pose = [0.0] * POSE
        if layout.object != NOTHING:
            x, y = float(goal[PLACE]), float(goal[PLACE + 1])
            if "object" in changed or not lies(layout, goal):
                x, y = start.place(layout, (x, y))
            pose = [x, y, layout.rest(x, y), *turned(start.yaw)]
        side, drawer, button, tray, thing = layout.numbers()
        self.place_task([side, drawer, min(max(opening, 0.0), DRAWER_TRAVEL), button, depth, tray, thing, *pose])

    def recall(self, memory: list[int]) -> None:
        """Take over which things are on the table, and paint them. Raises `UserError` for an object that this set lacks."""
        layout = Layout(*memory)
        if layout.object != NOTHING and object_look(layout.object)[:2] not in self.objects:
            shapes = dict.fromkeys(shape for shape, _ in self.objects)
            raise UserError(f"object of shape {object_look(layout.object)[0]}; expected one of: {', '.join(shapes)}")
        self.layout = layout
        if layout.drawer != NOTHING:
            for shape in HANDLE_SHAPES:
                self._paint(self.drawer.body, 0, layout.drawer, shape)
        if layout.button != NOTHING:
            self._paint(self.button.body, 0, layout.button % len(HUES))
        if layout.tray != NOTHING:
            self._paint(self.tray, -1, layout.tray % len(HUES))
        if self.object is not None:
            self._paint(self.object.body, -1, layout.object % len(HUES))

    def memory(self) -> list[int]:
        return self.layout.numbers()

    @property
    def object(self) -> FreeBody | None:
        """The object on the table."""
        return None if self.layout.object == NOTHING else self.objects[object_look(self.layout.object)[:2]]

    def drive(self) -> None:
        """Let the button's spring act, and keep the objects that are not used where they are: they would fall."""
        self.button.drive()
        for index, body in enumerate(self.objects.values()):
            if body is not self.object:
                body.place((0.2 * index, 0.0, PARKED))

    def place_task(self, task_state: list[float]) -> None:
        side, drawer, opening, button, depth, tray, thing, *pose = task_state
        self.recall([round(number) for number in (side, drawer, button, tray, thing)])
        layout = self.layout
        self.drawer.place(opening)
        self.button.place(depth)
        self._move(self.drawer.body, (FRONT, layout.drawer_y), layout.drawer != NOTHING)
        self._move(self.button.body, layout.button_point if layout.button != NOTHING else (0.5, 0.0), layout.button != NOTHING)
        self._move(self.tray, layout.tray_point if layout.tray != NOTHING else (0.5, 0.0), layout.tray != NOTHING)
        self.drive()
        if self.object is not None:
            self.object.place(pose[:3], pose[3:])

    def task_state(self) -> list[float]:
        side, drawer, button, tray, thing = self.layout.numbers()
        pose = [0.0] * POSE if self.object is None else self.object.pose()
        return [side, drawer, self._opening(), button, self._depth(), tray, thing, *pose]

    def measure(self) -> tuple[list[float], list[float], Point]:
        layout, hand, opening, depth = self.layout, self.robot.hand(), self._opening(), self._depth()
        observation = [*self.proprioception(hand), float(layout.sign)]
        velocity = self.drawer.velocity() if layout.drawer != NOTHING else 0.0
        observation += [float(layout.drawer != NOTHING), opening, velocity, *rgb(layout.drawer)]
        there = layout.button != NOTHING
        observation += [float(there), *(layout.button_point if there else (0.0, 0.0)), depth, *rgb(layout.button)]
        there = layout.tray != NOTHING
        observation += [float(there), *(layout.tray_point if there else (0.0, 0.0)), *rgb(layout.tray)]
        place = [0.0] * 3
        if self.object is None:
            observation += [0.0] * (1 + 8 + len(SHAPES) + 1 + 3)
        else:
            (*place, a, b, c, d), (shape, size, _) = self.object.pose(), object_look(layout.object)
            yaw = math.atan2(2 * (d * c + a * b), 1 - 2 * (b * b + c * c))
            observation += [1.0, *place, *self.object.velocity(), math.cos(yaw), math.sin(yaw)]
            observation += [*(float(shape == name) for name in SHAPES), float(size == "large"), *rgb(layout.object)]
        side, drawer, button, tray, thing = (float(number) for number in layout.numbers())
        return observation, [*hand, side, drawer, opening, button, depth, tray, thing, *place], hand

    def _opening(self) -> float:
        return self.drawer.position() if self.layout.drawer != NOTHING else 0.0

    def _depth(self) -> float:
        return self.button.position() if self.layout.button != NOTHING else 0.0

    def _move(self, body: int, point: tuple[float, float], there: bool) -> None:
        height = 0.0 if there else PARKED
        bullet.resetBasePositionAndOrientation(body, (*point, height), UPRIGHT, physicsClientId=self.client)

    def _paint(self, body: int, link: int, hue: int, shape: int = -1) -> None:
        colour = (*COLOURS[HUES[hue]], 1)
        bullet.changeVisualShape(body, link, shapeIndex=shape, rgbaColor=colour, physicsClientId=self.client)


def rgb(kind: int) -> tuple[float, float, float]:
    """Return the colour of a kind (the colour is its last digit), black for nothing."""
    return (0.0, 0.0, 0.0) if kind == NOTHING else COLOURS[HUES[kind % len(HUES)]]
