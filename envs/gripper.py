"""The arm with a gripper that opens and closes: two parallel fingers that hold what they hold by friction alone."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from envs.meshes import DARK, TAIL, add_shape, arm_model, visual_path
from envs.quiet import bullet

MAX_OPENING = 0.08  # m between the fingers
FINGERS = (7, 8)  # joint indices
# N of each finger: with friction 1.1 enough to lift three blocks. The real hand presses with up to 70 N, but the more the fingers
# press against each other, the more iterations the solver needs until nothing sinks in.
GRIP = 5.0
GAIN = 0.15  # share of the missing opening that a finger's motor makes up in a substep ...
SPEED = 0.15  # m/s ... but no faster than this
FINGER_FRICTION = 1.6  # multiplied by that of what is held (0.7 for a block)
FINGER_MASS = 0.2  # kg; lighter ones sink deeper into what they hold
# The finger as a box (m): flat pads meet a block's flat sides in four points, where the shipped hull touches in one or two.
PAD_HALF, PAD_CENTRE = (0.0095, 0.007, 0.0268), (0.0, 0.007, 0.027)

FINGER = """<robot><link name="{name}">
  <inertial><origin xyz="{centre}"/><mass value="{mass}"/><inertia ixx="2e-5" ixy="0" ixz="0" iyy="2e-5" iyz="0" izz="5e-6"/></inertial>
  <collision><origin xyz="{centre}" rpy="0 0 {turn}"/><geometry><box size="{size}"/></geometry></collision>
</link>
<joint name="{name}_joint" type="prismatic">
  <parent link="panda_link7"/><child link="{name}"/><origin xyz="{offset}" rpy="0 0 {yaw}"/><axis xyz="0 {side} 0"/>
  <limit lower="0" upper="{upper}" effort="40" velocity="0.3"/>
</joint></robot>"""


def gripper_urdf(visuals: str = "light") -> str:
    """Return a URDF of the arm whose last two joints move the fingers apart. Raises `UserError` for unknown `visuals`."""
    robot = arm_model(visuals, ("link7", "hand"))
    offset, yaw = TAIL["finger"]
    for name, side, turn in (("left_finger", 1, 0.0), ("right_finger", -1, 3.141592654)):
        x, y, z = PAD_CENTRE
        parts = FINGER.format(
            name=name,
            mass=FINGER_MASS,
            centre=f"{x} {side * y} {z}",
            turn=turn,
            size=" ".join(str(2 * half) for half in PAD_HALF),
            offset=" ".join(str(value) for value in offset),
            yaw=yaw,
            side=side,
            upper=MAX_OPENING / 2,
        )
        link, joint = ElementTree.fromstring(parts)
        add_shape(link, "visual", visual_path("finger", visuals), (0.0, 0.0, 0.0), turn, DARK)
        robot.extend([link, joint])
    return ElementTree.tostring(robot, encoding="unicode")


class Gripper:
    """The fingers of one arm. Nothing but friction ties them to what they hold; a gear ties them to each other, as in the real hand."""

    def __init__(self, client: int, body: int) -> None:
        self.client, self.body = client, body
        for finger in FINGERS:
            bullet.changeDynamics(body, finger, lateralFriction=FINGER_FRICTION, spinningFriction=0.01, physicsClientId=client)
        gear: int = bullet.createConstraint(
            body, FINGERS[0], body, FINGERS[1], bullet.JOINT_GEAR, (0, 1, 0), (0, 0, 0), (0, 0, 0), physicsClientId=client
        )
        bullet.changeConstraint(gear, gearRatio=-1, erp=0.2, maxForce=100, physicsClientId=client)

    def place(self, opening: float) -> None:
        """Put the fingers `opening` m apart, at rest."""
        for finger in FINGERS:
            bullet.resetJointState(self.body, finger, opening / 2, physicsClientId=self.client)

    def opening(self) -> float:
        """Return how far (m) the fingers are apart."""
        left, right = bullet.getJointStates(self.body, FINGERS, physicsClientId=self.client)
        return float(left[0] + right[0])

    def command(self, opening: float) -> None:
        """Drive the fingers toward `opening` m, with a force of `GRIP` at most."""
        for finger in FINGERS:
            bullet.setJointMotorControl2(
                self.body,
                finger,
                bullet.POSITION_CONTROL,
                targetPosition=opening / 2,
                positionGain=GAIN,
                maxVelocity=SPEED,
                force=GRIP,
                physicsClientId=self.client,
            )
