"""Things with a joint that stand on the table: a drawer that slides, a button that latches."""

from __future__ import annotations

from envs.quiet import bullet
from envs.sim import Simulation, Triple

Box = tuple[tuple[float, float, float], tuple[float, float, float], str]  # centre (m), size (m), rgba

NAVY, YELLOW, RED, BROWN, SLATE = "0.20 0.30 0.55 1", "0.97 0.80 0.08 1", "0.90 0.18 0.12 1", "0.45 0.30 0.16 1", "0.25 0.27 0.33 1"
DRAWER_TRAVEL = 0.18  # m
DRAWER_FRICTION = 4.0  # N on rails: the drawer stays where it is left; let go at 0.3 m/s it slides on by 6 mm
DRAWER_MASS = 0.5  # kg
DRAWER_TOP = 0.11  # m, of the cabinet and of the handle
HANDLE_OUT, HANDLE_HALF = 0.06, 0.006  # m from the drawer's front to the middle of the handle's bar, and half the bar's thickness
POCKET_FLOOR = 0.035  # m: a hand that reaches there passes over the drawer's front
BUTTON_TRAVEL = 0.03  # m
BUTTON_TOP = 0.08  # m of the cap when it is up
BUTTON_RADIUS = 0.035  # m, half the cap's side
LATCH = 0.6 * BUTTON_TRAVEL  # m of depth from which the button stays down
SPRING, CATCH = 2.0, 10.0  # N that lift the cap before that, and hold it afterwards

BODY = """<robot name="{name}">
  <link name="base">
    <inertial><mass value="1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>
    {base}
  </link>
  <link name="part">
    <inertial><origin xyz="{centre}"/><mass value="{mass}"/><inertia ixx="1e-3" ixy="0" ixz="0" iyy="1e-3" iyz="0" izz="1e-3"/></inertial>
    {part}
  </link>
  <joint name="slide" type="prismatic">
    <parent link="base"/><child link="part"/><axis xyz="{axis}"/>
    <limit lower="0" upper="{travel}" effort="100" velocity="10"/>
  </joint>
</robot>"""


def box_xml(kind: str, box: Box) -> str:
    """Return a URDF ``visual`` or ``collision`` element."""
    (x, y, z), (width, depth, height), colour = box
    shape = f'<origin xyz="{x} {y} {z}"/><geometry><box size="{width} {depth} {height}"/></geometry>'
    return f'<{kind}>{shape}<material name="{colour}"><color rgba="{colour}"/></material></{kind}>'


def boxes_xml(boxes: list[Box]) -> str:
    """Return the URDF elements that draw `boxes` and let them be touched."""
    return "".join(box_xml(kind, box) for box in boxes for kind in ("visual", "collision"))


class Slider:
    """A part on one prismatic joint of a fixed base."""

    def __init__(self, simulation: Simulation, name: str, urdf: str, position: Triple) -> None:
        self.client = simulation.client
        self.body = simulation.load(name, urdf, position=position)

    def place(self, position: float) -> None:
        """Put the part at `position` (m) along its joint, at rest."""
        bullet.resetJointState(self.body, 0, position, physicsClientId=self.client)

    def position(self) -> float:
        """Return how far (m) the part has moved along its joint."""
        return float(bullet.getJointState(self.body, 0, physicsClientId=self.client)[0])

    def velocity(self) -> float:
        """Return how fast (m/s) the part moves."""
        return float(bullet.getJointState(self.body, 0, physicsClientId=self.client)[1])


class Drawer(Slider):
    """A cabinet whose front stands at `position`, and a drawer that opens toward the robot by a handle which fingers enter from above.

    pocket: m behind the front, between which the floor is `POCKET_FLOOR` high between two low walls; None: a flat floor.
    width: m of the drawer; the cabinet is 2.4 cm wider.
    """

    def __init__(
        self,
        simulation: Simulation,
        position: Triple,
        *,
        name: str = "drawer",
        cabinet: str = "0.20 0.30 0.55 1",
        front: str = "0.97 0.80 0.08 1",
        pocket: tuple[float, float] | None = None,
        width: float = 0.24,
    ) -> None:
        handle, inside = "0.90 0.22 0.10 1", "0.45 0.30 0.16 1"
        length, bar, post = 0.20, round(width - 0.09, 6), round(width / 2 - 0.05, 6)  # m
        shell: list[Box] = [
            ((length / 2, side * (width / 2 + 0.006), DRAWER_TOP / 2), (length, 0.012, DRAWER_TOP), cabinet) for side in (-1, 1)
        ]
        shell.append(((length / 2, 0.0, DRAWER_TOP - 0.005), (length, width, 0.01), cabinet))
        tray: list[Box] = [
            ((-0.006, 0.0, 0.05), (0.012, width, 0.09), front),
            ((length / 2 - 0.01, 0.0, 0.012), (length - 0.02, width - 0.02, 0.006), inside),
            *(((length / 2 - 0.01, side * (width / 2 - 0.012), 0.045), (length - 0.02, 0.006, 0.06), front) for side in (-1, 1)),
            ((-0.012 - HANDLE_OUT, 0.0, DRAWER_TOP - 0.02), (2 * HANDLE_HALF, bar, 0.04), handle),
            *(((-0.012 - HANDLE_OUT / 2, side * post, DRAWER_TOP - 0.03), (HANDLE_OUT, 0.01, 0.02), handle) for side in (-1, 1)),
        ]
        if pocket is not None:
            first, last = pocket
            floor = POCKET_FLOOR - 0.015
            tray.append((((first + last) / 2, 0.0, 0.015 + floor / 2), (last - first, width - 0.036, floor), inside))
            tray += [((x, 0.0, 0.015 + floor), (0.006, width - 0.036, 2 * floor), inside) for x in (first - 0.003, last + 0.003)]
        urdf = BODY.format(
            name=name,
            base=boxes_xml(shell),
            part=boxes_xml(tray),
            centre="0 0 0.05",
            mass=DRAWER_MASS,
            axis="-1 0 0",
            travel=DRAWER_TRAVEL,
        )
        super().__init__(simulation, name, urdf, position)
        bullet.setJointMotorControl2(
            self.body, 0, bullet.VELOCITY_CONTROL, targetVelocity=0, force=DRAWER_FRICTION, physicsClientId=self.client
        )


class Button(Slider):
    """A cap on a spring that stays down once it has been pressed beyond `LATCH`.

    Whether it is latched is a function of its depth alone, so the simulator's state holds all of it.
    """

    def __init__(self, simulation: Simulation, position: Triple, *, name: str = "button", cap: str = RED) -> None:
        base, side = SLATE, 2 * BUTTON_RADIUS
        height = BUTTON_TOP - BUTTON_TRAVEL  # of the frame; a cap that is down ends there
        frame: list[Box] = [
            *(((sign * (BUTTON_RADIUS + 0.011), 0.0, height / 2), (0.02, side + 0.044, height), base) for sign in (-1, 1)),
            *(((0.0, sign * (BUTTON_RADIUS + 0.011), height / 2), (side + 0.004, 0.02, height), base) for sign in (-1, 1)),
        ]
        plunger: list[Box] = [((0.0, 0.0, BUTTON_TOP - 0.02), (side, side, 0.04), cap)]
        urdf = BODY.format(
            name=name, base=boxes_xml(frame), part=boxes_xml(plunger), centre="0 0 0.06", mass=0.1, axis="0 0 -1", travel=BUTTON_TRAVEL
        )
        super().__init__(simulation, name, urdf, position)

    def drive(self) -> None:
        """Let spring or catch act for one step."""
        down = self.position() > LATCH
        bullet.setJointMotorControl2(
            self.body,
            0,
            bullet.POSITION_CONTROL,
            targetPosition=BUTTON_TRAVEL if down else 0.0,
            force=CATCH if down else SPRING,
            maxVelocity=0.5,
            positionGain=0.2,
            physicsClientId=self.client,
        )
