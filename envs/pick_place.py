"""PickPlace: grasp a block and bring it to a commanded place, on the table or in the air."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.api import Bools, Floats
from envs.bodies import COLOURS, box, turned
from envs.camera import Camera
from envs.coverage import grid_coverage
from envs.grasping import BLOCK_HALF, BLOCK_MASS, HELD_OPENING, PLACED, SHUT, GraspingEnv, grips, move, pick_and_place, retreat
from envs.gripper import MAX_OPENING
from envs.robot import Point, inverse_kinematics
from envs.scene import Scene

LOW, HIGH = (0.32, -0.22, BLOCK_HALF), (0.66, 0.22, 0.32)
BLOCK_LOW, BLOCK_HIGH = (0.40, -0.15), (0.60, 0.15)  # m, where starts and goals put the block
AIR_LOW, AIR_HIGH = 0.08, 0.24  # m, height of the block's centre in goals in the air
START = (0.46, 0.0, 0.18)  # m of the hand
START_SPREAD, START_TURN = 0.02, 0.15  # m, rad of the block about the vertical
LIFTED = 0.05  # m of the centre above which a block is off the table
TRAVEL = 0.08  # m, height at which the expert carries
SUCCESS_DISTANCE = 0.03  # m


class BlockScene(Scene):
    """The arm and a block of 4 cm; the task's own state is the block's pose."""

    def __init__(self, visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals, outline=(LOW[:2], HIGH[:2]), gripper=True)
        self.block = box(self.simulation, (BLOCK_HALF, BLOCK_HALF, BLOCK_HALF), BLOCK_MASS, COLOURS["red"])
        self.block.place((0.5, 0.0, BLOCK_HALF))
        self.robot.place(START, MAX_OPENING)

    def randomise(self, generator: np.random.Generator) -> None:
        x, y, z = (START + generator.uniform(-START_SPREAD, START_SPREAD, 3)).tolist()
        self.robot.place((x, y, z), MAX_OPENING)
        x, y = generator.uniform(BLOCK_LOW, BLOCK_HIGH).tolist()
        self.block.place((x, y, BLOCK_HALF), turned(float(generator.uniform(-START_TURN, START_TURN))))

    def place_task(self, task_state: list[float]) -> None:
        self.block.place(task_state[:3], task_state[3:])

    def task_state(self) -> list[float]:
        return self.block.pose()

    def measure(self) -> tuple[list[float], list[float], Point]:
        hand, block = self.robot.hand(), self.block.position()
        return [*self.proprioception(hand), *block, *self.block.velocity()], [*hand, *block], hand


class PickPlaceEnv(GraspingEnv):
    """Bring a block to a place, on the table or held in the air; goals are (hand x, y, z, block x, y, z m).

    Success is the block within 3 cm. Half of the sampled goals lie on the table, the hand away; in the others the hand holds the
    block. Sources of the task: Plappert et al. 2018, "Multi-Goal Reinforcement Learning" (FetchPickAndPlace); Pong et al. 2020,
    "Skew-Fit", section 6 (Visual Pickup); here with a Franka arm.
    """

    task = "pick_place"
    factors = ("hand_x_m", "hand_y_m", "hand_z_m", "block_x_m", "block_y_m", "block_z_m")
    observation_dim = 10  # hand, finger opening, block, its velocity
    default_horizon = 50
    cameras: ClassVar[dict[str, Camera]] = {
        "front": Camera((1.20, -0.42, 0.52), (0.50, 0.0, 0.12), 30.0),
        "top": Camera((0.50, 0.0, 1.40), (0.501, 0.0, 0.0), 24.0),
        "side": Camera((0.75, 0.85, 0.50), (0.50, 0.0, 0.12), 30.0),
        "film": Camera((0.55, 1.2, 0.70), (0.38, 0.0, 0.20), 40.0),  # the whole arm, for people
    }

    def build_scene(self) -> BlockScene:
        return BlockScene(self.visuals)

    def propose_goal(self, generator: np.random.Generator) -> Floats:
        x, y = generator.uniform(BLOCK_LOW, BLOCK_HIGH).tolist()
        if generator.random() < 0.5:
            height, opening = BLOCK_HALF, MAX_OPENING
            hand = (x, y, float(generator.uniform(0.12, 0.20)))
        else:
            height, opening = float(generator.uniform(AIR_LOW, AIR_HIGH)), HELD_OPENING
            hand = (x, y, height)
        return np.array([*inverse_kinematics(*hand), opening, x, y, height, *turned(0.0)])

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        return np.asarray(self.metrics(achieved_goal, desired_goal)["distance"] < SUCCESS_DISTANCE)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``block_distance_m`` (also as ``distance``) and ``hand_distance_m``."""
        difference = np.asarray(achieved_goal) - np.asarray(desired_goal)
        block = np.linalg.norm(difference[..., 3:], axis=-1)
        return {"block_distance_m": block, "hand_distance_m": np.linalg.norm(difference[..., :3], axis=-1), "distance": block}

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return entropy and coverage of the block's position over 5 x 6 x 5 cells, and ``lifted``: the share off the table, of (n, 6)."""
        blocks = np.asarray(achieved_goals)[:, 3:]
        covered = grid_coverage(blocks, [*BLOCK_LOW, 0.0], [*BLOCK_HIGH, AIR_HIGH], [5, 6, 5])
        return {**covered, "lifted": float(np.mean(blocks[:, 2] > LIFTED)) if len(blocks) else 0.0}

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Grasp the block from above, carry it to its goal; on the table let go of it and take the hand to its goal."""
        values = np.asarray(observation["observation"], np.float64)
        hand, opening, block = values[:3], float(values[3]), values[4:7]
        goal_hand, goal_block = (np.asarray(observation["desired_goal"][first : first + 3], np.float64) for first in (0, 3))
        in_air = bool(goal_block[2] > LIFTED)
        if not in_air and np.abs(goal_block - block).max() < PLACED + 0.004 and not grips(hand, opening, block):
            return retreat(hand, block, goal_hand)
        if in_air and grips(hand, opening, block):
            return move(hand, hand + (goal_block - block), SHUT, 0.8)
        return pick_and_place(hand, opening, block, goal_block, travel=TRAVEL, let_go=not in_air)
