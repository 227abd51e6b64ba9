"""Stack: build a tower of two to four blocks in a commanded order and place, then take the hand away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.api import Bools, Floats
from envs.bodies import COLOURS, POSE, box, turned
from envs.camera import Camera
from envs.errors import UserError
from envs.grasping import BLOCK_HALF, BLOCK_MASS, HOVER, OPEN, GraspingEnv, grips, move, pick_and_place, raised, retreat
from envs.gripper import MAX_OPENING
from envs.robot import MAX_STEP, Point, inverse_kinematics
from envs.scene import Scene

LOW, HIGH = (0.32, -0.22, BLOCK_HALF), (0.66, 0.22, 0.34)
SIDE = 2 * BLOCK_HALF  # m of a block
# Blocks start on either side, one a place; the tower stands in the middle, where the hand reaches past it to all of them.
PLACES = [(x, y) for x in (0.43, 0.57) for y in (-0.17, 0.17)]
PLACE_SPREAD, START_TURN = 0.015, 0.1  # m, rad
TOWER_LOW, TOWER_HIGH = (0.43, -0.025), (0.57, 0.025)  # m
START, START_SPREAD = (0.50, 0.0, 0.25), 0.02  # m of the hand
BLOCKS = (2, 3, 4)
NAMES = ("red", "blue", "green", "yellow")  # from the bottom to the top
SUCCESS_DISTANCE = 0.02  # m, half a block: beside its place, or one storey too low, is no success
AWAY = 0.08  # m from the fingertips to the middle of every block
STANDING = 0.011  # m: the expert takes up again what is farther from its goal


class StackScene(Scene):
    """The arm and `n` blocks; the task's own state is their poses, the bottom one first."""

    def __init__(self, n: int, visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals, outline=(LOW[:2], HIGH[:2]), gripper=True)
        half = (BLOCK_HALF, BLOCK_HALF, BLOCK_HALF)
        self.blocks = [box(self.simulation, half, BLOCK_MASS, COLOURS[name]) for name in NAMES[:n]]
        for block, place in zip(self.blocks, PLACES):
            block.place((*place, BLOCK_HALF))
        self.robot.place(START, MAX_OPENING)

    def randomise(self, generator: np.random.Generator) -> None:
        x, y, z = (START + generator.uniform(-START_SPREAD, START_SPREAD, 3)).tolist()
        self.robot.place((x, y, z), MAX_OPENING)
        for block, index in zip(self.blocks, generator.permutation(len(PLACES))):
            x, y = (PLACES[index] + generator.uniform(-PLACE_SPREAD, PLACE_SPREAD, 2)).tolist()
            block.place((x, y, BLOCK_HALF), turned(float(generator.uniform(-START_TURN, START_TURN))))

    def place_task(self, task_state: list[float]) -> None:
        for index, block in enumerate(self.blocks):
            pose = task_state[POSE * index : POSE * (index + 1)]
            block.place(pose[:3], pose[3:])

    def task_state(self) -> list[float]:
        return [value for block in self.blocks for value in block.pose()]

    def measure(self) -> tuple[list[float], list[float], Point]:
        hand = self.robot.hand()
        blocks = [value for block in self.blocks for value in block.position()]
        return [*self.proprioception(hand), *blocks], [*hand, *blocks], hand


class StackEnv(GraspingEnv):
    """Build a tower; goals are (hand x, y, z, then x, y, z m of every block, the bottom one first).

    n_blocks: 2, 3 or 4. Success is sparse as published: every block within 2 cm of its place *and* the hand at least 8 cm from
    every block; ``distance`` folds the second condition into the first. Source of the task: Nair et al. 2018, "Overcoming
    Exploration in Reinforcement Learning with Demonstrations" (block stacking, sparse reward), here with a Franka arm.
    Raises `UserError` for another number of blocks.
    """

    task = "stack"
    cameras: ClassVar[dict[str, Camera]] = {
        "front": Camera((1.20, -0.42, 0.52), (0.50, 0.0, 0.13), 31.0),
        "top": Camera((0.50, 0.0, 1.40), (0.501, 0.0, 0.0), 22.0),
        "side": Camera((0.75, 0.85, 0.50), (0.50, 0.0, 0.10), 30.0),
        "film": Camera((0.55, 1.2, 0.70), (0.38, 0.0, 0.20), 40.0),  # the whole arm, for people
    }

    def __init__(self, *, n_blocks: int = 2, **arguments: Any) -> None:
        if isinstance(n_blocks, bool) or n_blocks not in BLOCKS:
            raise UserError(f"n_blocks={n_blocks!r}; expected one of: {', '.join(map(str, BLOCKS))}")
        self.n_blocks = int(n_blocks)
        self.task = "stack" if n_blocks == BLOCKS[0] else f"stack_{n_blocks}"
        self.factors = (
            *("hand_x_m", "hand_y_m", "hand_z_m"),
            *(f"block_{name}_{axis}_m" for name in NAMES[:n_blocks] for axis in "xyz"),
        )
        self.observation_dim = 4 + 3 * self.n_blocks  # hand, finger opening, blocks
        self.default_horizon = 50 * self.n_blocks
        super().__init__(**arguments)

    def build_scene(self) -> StackScene:
        return StackScene(self.n_blocks, self.visuals)

    def propose_goal(self, generator: np.random.Generator) -> Floats:
        x, y = generator.uniform(TOWER_LOW, TOWER_HIGH).tolist()
        top = BLOCK_HALF + SIDE * (self.n_blocks - 1)
        joints = inverse_kinematics(x, y, top + float(generator.uniform(AWAY + 0.02, AWAY + 0.06)))
        poses = [(x, y, BLOCK_HALF + SIDE * index, *turned(0.0)) for index in range(self.n_blocks)]
        return np.array([*joints, MAX_OPENING, *(value for pose in poses for value in pose)])

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        return np.asarray(self.metrics(achieved_goal, desired_goal)["distance"] < SUCCESS_DISTANCE)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``block_distance_m`` of the worst block, ``hand_gap_m`` to the nearest one, ``placed`` blocks and ``distance``.

        ``distance`` is that of the worst block; with the hand too near, at least 2 cm and what the hand lacks to 8 cm.
        """
        achieved, desired = np.asarray(achieved_goal), np.asarray(desired_goal)
        shape = (*np.broadcast_shapes(achieved.shape, desired.shape)[:-1], self.n_blocks, 3)
        each = np.linalg.norm((achieved - desired)[..., 3:].reshape(shape), axis=-1)
        blocks = achieved[..., 3:].reshape(*achieved.shape[:-1], self.n_blocks, 3)
        gap = np.linalg.norm(blocks - achieved[..., None, :3], axis=-1).min(axis=-1)
        worst = each.max(axis=-1)
        distance = np.where(gap < AWAY, np.maximum(worst, SUCCESS_DISTANCE + AWAY - gap), worst)
        placed = (each < SUCCESS_DISTANCE).sum(axis=-1)
        return {"block_distance_m": worst, "hand_gap_m": gap, "placed": placed, "distance": distance}

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return ``storeys_<k>``: the share of (n, g) in which a block's middle is at the height of storey k (2 to ``n_blocks``)."""
        heights = np.asarray(achieved_goals)[:, 5::3]
        storeys = {k: np.abs(heights - BLOCK_HALF - SIDE * (k - 1)).min(axis=1) < BLOCK_HALF / 2 for k in range(2, self.n_blocks + 1)}
        return {f"storeys_{k}": float(np.mean(there)) if len(there) else 0.0 for k, there in storeys.items()}

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Put the lowest block that is not in its place there, from above; at last take the hand to its goal."""
        values = np.asarray(observation["observation"], np.float64)
        goal = np.asarray(observation["desired_goal"], np.float64)
        hand, opening = values[:3], float(values[3])
        blocks, places = values[4:].reshape(-1, 3), goal[3:].reshape(-1, 3)
        held = [grips(hand, opening, block) for block in blocks]
        missing = np.abs(blocks - places).max(axis=1) > STANDING
        if not any(held) and not missing.any():
            return retreat(hand, blocks[-1], goal[:3])
        index = held.index(True) if any(held) else int(missing.argmax())
        for other, block in enumerate(blocks):
            beside = float(np.hypot(*(hand - block)[:2]))
            if other != index and not any(held) and beside < 0.05 and hand[2] < block[2] + HOVER - 0.01:
                return move(hand, raised(hand, MAX_STEP), OPEN, 0.5)  # up, before the fingers drag along what they let go
        travel = max(0.08, float(places[index][2]) + 0.04)
        return pick_and_place(hand, opening, blocks[index], places[index], travel=travel, let_go=True)
