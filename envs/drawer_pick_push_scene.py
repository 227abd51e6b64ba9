"""The table of DrawerPickPush: a drawer, a block to pick and place, and a cylinder to push that may stand in the drawer's way."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from envs.api import Floats
from envs.bodies import COLOURS, POSE, box, cylinder, turned
from envs.furniture import DRAWER_TOP, POCKET_FLOOR, Drawer
from envs.grasping import BLOCK_HALF, BLOCK_MASS
from envs.gripper import MAX_OPENING
from envs.quiet import bullet
from envs.robot import Point, inverse_kinematics
from envs.scene import Scene

LOW, HIGH = (0.32, -0.32, BLOCK_HALF), (0.74, 0.32, 0.32)
FRONT = 0.68  # m, x of the closed drawer's front
RADIUS, HEIGHT, MASS = 0.045, 0.06, 0.4  # m, m, kg of the cylinder, wider than the 8 cm that the fingers open
# A rail keeps the cylinder in a lane before the drawer. A drawer that opens against it is stuck at 10 cm, when the rail holds the cylinder;
# the handle passes above both, and the front of a drawer that is open by 18 cm still ends behind the rail.
RAIL_X, RAIL_HALF, RAIL_HEIGHT = 0.469, 0.009, 0.018  # m
LANE_LOW, LANE_HIGH = 0.525, 0.545  # m, x of the cylinder
BLOCKING, ASIDE_LOW, ASIDE_HIGH = 0.08, 0.185, 0.23  # m of |y|: up to the first it blocks the drawer, between the others it stands aside
AWAY = 0.165  # m of |y| from which the drawer's front passes the cylinder
OPEN_LOW, OPEN_HIGH = 0.13, 0.16  # m of an open drawer
TABLE_LOW, TABLE_HIGH = (0.33, -0.22), (0.40, 0.22)  # m, where the block lies on the table
# A pocket keeps the block where the hand fits between front and cabinet: a drawer that slides leaves the block behind until one wall of
# it takes the block along. All in the drawer's frame: m of x when it is closed.
POCKET = (0.705, 0.785)
TRAY_LOW, TRAY_HIGH, TRAY_HEIGHT = (0.735, -0.04), (0.755, 0.04), POCKET_FLOOR + BLOCK_HALF
AT_FRONT, AT_BACK = POCKET[0] + BLOCK_HALF, POCKET[1] - BLOCK_HALF  # where the block ends when the drawer shuts and when it opens
TOP_LOW, TOP_HIGH, TOP_HEIGHT = (0.715, -0.08), (0.735, 0.08), DRAWER_TOP + BLOCK_HALF  # m, on the cabinet
HAND_LOW, HAND_HIGH = (0.38, -0.08, 0.23), (0.46, 0.08, 0.28)  # m, where the hand starts and where goals put it
START_TURN = 0.1  # rad of the block about the vertical


@dataclass(frozen=True)
class Layout:
    """How the things stand. opening: m. block: its pose (7,). cylinder: its x, y m."""

    opening: float
    block: tuple[float, ...]
    cylinder: tuple[float, float]

    @property
    def place(self) -> str:
        """Where the block is: "drawer", "top" of the cabinet, or "table"."""
        x, y, z = self.block[:3]
        if z > DRAWER_TOP and x > FRONT:
            return "top"
        inside = x > FRONT - self.opening and abs(y) < 0.12 and z < DRAWER_TOP
        return "drawer" if inside else "table"

    @property
    def resting(self) -> bool:
        """Whether the block lies on something."""
        return min(abs(self.block[2] - height) for height in (BLOCK_HALF, TRAY_HEIGHT, TOP_HEIGHT)) < 0.01

    @property
    def blocked(self) -> bool:
        """Whether the cylinder stands in the drawer's way."""
        return abs(self.cylinder[1]) < AWAY

    def settled(self) -> Layout:
        """Return the layout at rest: what had sunk in by a hair stands clear, and the block lies flat."""
        x, y, z, a, b, c, d = self.block
        height = min((BLOCK_HALF, TRAY_HEIGHT, TOP_HEIGHT), key=lambda height: abs(z - height)) if self.resting else z
        yaw = math.atan2(2 * (d * c + a * b), 1 - 2 * (b * b + c * c))
        return replace(self, opening=max(0.0, self.opening), block=(x, y, height, *turned(yaw)))

    def slid(self, opening: float) -> Layout:
        """Return the layout with the drawer at `opening` (m) and the block where it takes it along."""
        if self.place != "drawer" or opening == self.opening:
            return replace(self, opening=opening)
        return replace(self, opening=opening, block=((AT_BACK if opening > self.opening else AT_FRONT) - opening, *self.block[1:]))

    def state(self, hand: Point) -> Floats:
        """Return the goal state with the open hand at `hand` (m)."""
        return np.array([*inverse_kinematics(*hand), MAX_OPENING, self.opening, *self.block, *self.cylinder])

    @classmethod
    def of(cls, state: Floats) -> Layout:
        """Return the layout of a goal state (18,)."""
        opening, *rest = (float(value) for value in state[8:])
        return cls(opening, tuple(rest[:POSE]), (rest[POSE], rest[POSE + 1]))


def draw_hand(generator: np.random.Generator) -> Point:
    """Draw where the hand is before and after an episode (m)."""
    x, y, z = generator.uniform(HAND_LOW, HAND_HIGH).tolist()
    return (x, y, z)


def draw_block(place: str, opening: float, generator: np.random.Generator, turn: float = 0.0) -> tuple[float, ...]:
    """Draw the pose (7,) of a block on the "table", in the "drawer" that is open by `opening` m, or on "top" of the cabinet."""
    low, high, z = {
        "table": (TABLE_LOW, TABLE_HIGH, BLOCK_HALF),
        "drawer": (TRAY_LOW, TRAY_HIGH, TRAY_HEIGHT),
        "top": (TOP_LOW, TOP_HIGH, TOP_HEIGHT),
    }[place]
    x, y = generator.uniform(low, high).tolist()
    return (x - opening if place == "drawer" else x, y, z, *turned(turn))


def draw_cylinder(blocking: bool, generator: np.random.Generator) -> tuple[float, float]:
    """Draw where the cylinder stands (m): in the drawer's way, or on either side of it."""
    x = float(generator.uniform(LANE_LOW, LANE_HIGH))
    if blocking:
        return x, float(generator.uniform(-BLOCKING, BLOCKING))
    return x, float(generator.uniform(ASIDE_LOW, ASIDE_HIGH) * generator.choice([-1, 1]))


def draw_layout(generator: np.random.Generator) -> Layout:
    """Draw how an episode begins: the drawer open in half of them, the block mostly on the table, the cylinder anywhere it fits."""
    opened = bool(generator.random() < 0.5)
    opening = float(generator.uniform(OPEN_LOW, OPEN_HIGH)) if opened else 0.0
    place = str(generator.choice(["table", "drawer", "top"], p=[0.6, 0.25, 0.15]))
    block = draw_block(place, opening, generator, float(generator.uniform(-START_TURN, START_TURN)))
    return Layout(opening, block, draw_cylinder(not opened and bool(generator.random() < 0.4), generator))


class DrawerPickPushScene(Scene):
    """The arm, drawer, block and cylinder; the task's own state is (opening m, the block's pose (7), the cylinder's x, y m)."""

    def __init__(self, visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals, gripper=True)
        self.drawer = Drawer(self.simulation, (FRONT, 0.0, 0.0), pocket=(POCKET[0] - FRONT, POCKET[1] - FRONT))
        half = (RAIL_HALF, HIGH[1], RAIL_HEIGHT / 2)
        self.simulation.add_box(half, (RAIL_X, 0.0, RAIL_HEIGHT / 2), (0.35, 0.38, 0.44))
        self.block = box(self.simulation, (BLOCK_HALF, BLOCK_HALF, BLOCK_HALF), BLOCK_MASS, COLOURS["green"])
        self.cylinder = cylinder(self.simulation, RADIUS, HEIGHT, MASS, COLOURS["purple"])
        # About the vertical a solid cylinder's; more about the others, so that a blow does not tip it.
        inertia = (0.02, 0.02, MASS * RADIUS**2 / 2)
        bullet.changeDynamics(self.cylinder.body, -1, localInertiaDiagonal=inertia, physicsClientId=self.simulation.client)
        self.begin(Layout(0.0, (*TABLE_HIGH, BLOCK_HALF, *turned(0.0)), (LANE_LOW, ASIDE_LOW)).state(HAND_HIGH))

    def randomise(self, generator: np.random.Generator) -> None:
        self.begin(draw_layout(generator).state(draw_hand(generator)))

    def place_task(self, task_state: list[float]) -> None:
        opening, *rest = task_state
        self.drawer.place(opening)
        self.block.place(rest[:3], rest[3:POSE])
        self.cylinder.place((*rest[POSE:], HEIGHT / 2))

    def task_state(self) -> list[float]:
        return [self.drawer.position(), *self.block.pose(), *self.cylinder.position()[:2]]

    def measure(self) -> tuple[list[float], list[float], Point]:
        hand, opening = self.robot.hand(), self.drawer.position()
        block, slid = self.block.position(), self.cylinder.position()[:2]
        observation = [*self.proprioception(hand), opening, self.drawer.velocity(), *block, *self.block.velocity()]
        return [*observation, *slid, *self.cylinder.velocity()[:2]], [opening, *block, *slid, *hand], hand
