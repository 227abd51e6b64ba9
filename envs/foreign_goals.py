"""Foreign simulators put where a goal is reached, so that it can be drawn: its part of the scene, the rest as a reset leaves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.api import Floats
from envs.foreign_inside import runs_on_mujoco

Place = Callable[[Floats], NDArray[Any]]
_OBJECTS = ("object0:joint", "object:joint")  # free joints of Fetch's and the hands' objects
_MOCAP = "robot0:mocap"  # what Fetch's arm is drawn along by
_ROUNDS = 40  # of approaching a point by mocap or inverse kinematics; a centimetre is reached in far fewer


def placer(env: gymnasium.Env[Any, Any]) -> Place | None:
    """Return `place(goal (g,)) -> achieved (g,)` for a copy `env` that was just reset, or None where goals cannot be placed.

    Mazes: the body stands at the goal. Fetch, hands, panda-gym: the object lies there, or, without one, the gripper is there. Not:
    the hand's fingertips (HandReach), which no joint angles are known for.
    """
    inner: Any = env.unwrapped
    module = type(inner).__module__
    if runs_on_mujoco(env) and "gymnasium_robotics.envs.maze" in module:
        return lambda goal: _in_maze(inner, goal)
    if runs_on_mujoco(env) and module.startswith("gymnasium_robotics."):
        joints = _names(inner, "jnt", inner.model.njnt)
        for joint in _OBJECTS:
            if joint in joints:
                return lambda goal: _object(inner, joint, goal)
        if _MOCAP in _names(inner, "body", inner.model.nbody):
            return lambda goal: _gripper(inner, goal)
    if module.startswith("panda_gym."):
        return lambda goal: _panda(inner, goal)
    return None


def _names(inner: Any, kind: str, count: int) -> set[str]:
    return {getattr(inner.model, kind)(index).name for index in range(count)}


def _in_maze(inner: Any, goal: Floats) -> NDArray[Any]:
    import mujoco

    inner.data.qpos[:2] = goal
    mujoco.mj_forward(inner.model, inner.data)
    return np.array(inner.data.qpos[:2])


def _object(inner: Any, joint: str, goal: Floats) -> NDArray[Any]:
    import mujoco

    begin = inner.model.jnt_qposadr[mujoco.mj_name2id(inner.model, mujoco.mjtObj.mjOBJ_JOINT, joint)]
    inner.data.qpos[begin : begin + len(goal)] = goal  # a place, or a place and a quaternion
    mujoco.mj_forward(inner.model, inner.data)
    return np.array(inner.data.qpos[begin : begin + len(goal)])


def _gripper(inner: Any, goal: Floats) -> NDArray[Any]:
    import mujoco

    def hand() -> NDArray[Any]:
        return np.array(inner.data.site("robot0:grip").xpos)

    mocap = inner.model.body(_MOCAP).mocapid[0]
    for _ in range(_ROUNDS):
        inner.data.mocap_pos[mocap] += goal - hand()
        mujoco.mj_step(inner.model, inner.data, nstep=inner.n_substeps)
    return hand()


def _panda(inner: Any, goal: Floats) -> NDArray[Any]:
    upright = np.array([0.0, 0.0, 0.0, 1.0])
    bodies = [name for name in inner.sim._bodies_idx if name.startswith("object")]
    if not bodies:
        for _ in range(_ROUNDS):
            angles = inner.robot.inverse_kinematics(inner.robot.ee_link, np.asarray(goal, np.float64), np.array([1.0, 0.0, 0.0, 0.0]))
            inner.robot.set_joint_angles(np.concatenate([angles[:7], inner.robot.neutral_joint_values[7:]]))
    elif len(goal) == 4:  # PandaFlip: the object's orientation
        inner.sim.set_base_pose(bodies[0], inner.sim.get_base_position(bodies[0]), np.asarray(goal, np.float64))
    else:
        for name, place in zip(sorted(bodies), np.asarray(goal, np.float64).reshape(-1, 3)):
            inner.sim.set_base_pose(name, place, upright)
    return np.array(inner.task.get_achieved_goal())
