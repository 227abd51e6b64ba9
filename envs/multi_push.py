"""MultiPush: push one to three objects, different in every episode, to commanded places."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from envs.api import Bools, Floats, GoalSet
from envs.bodies import COLOURS, turned
from envs.camera import Camera
from envs.coverage import grid_coverage
from envs.errors import UserError
from envs.manipulation import ManipulationEnv
from envs.objects import HEIGHT, NOTHING, RADIUS, SHAPES, flat_object, kind, object_set, shape_and_colour
from envs.push import FINGER_RADIUS, HAND_HEIGHT, push, toward
from envs.quiet import bullet
from envs.robot import MAX_STEP, Point, inverse_kinematics
from envs.scene import Scene

LOW, HIGH = (0.32, -0.26, HAND_HEIGHT), (0.68, 0.26, HAND_HEIGHT)
LANES = (-0.15, 0.0, 0.15)  # m, y of the places where objects start; goals lie beyond, each object's in its own lane
START_X, START_SPREAD = 0.45, 0.015  # m
HAND_START = (0.36, 0.0)
GOAL_LOW, GOAL_HIGH, GOAL_SIDE = 0.46, 0.60, 0.03  # m of x, and to either side of the lane
SUCCESS_DISTANCE = 0.04  # m
STRANGER = 1.0  # m that an object of another kind than the goal's counts as away
PARKED = 50.0  # m above the table, out of sight, where what an episode does not use is kept
BEHIND, CIRCLE, DONE = 0.355, RADIUS + FINGER_RADIUS + 0.006, 0.02  # m: the expert's


class ObjectsScene(Scene):
    """The arm and one body per shape, up to three of which lie on the table; the task's own state is (kind, x, y, yaw) of each place.

    kinds: what lies in each lane, `NOTHING` or a number of `envs.objects.kind`.
    """

    def __init__(self, shapes: Sequence[str], visuals: str) -> None:
        super().__init__(LOW, HIGH, visuals, outline=(LOW[:2], HIGH[:2]))
        self.client = self.simulation.client
        self.bodies = {shape: flat_object(self.simulation, shape) for shape in shapes}
        self.kinds: list[int] = [NOTHING] * len(LANES)
        self._starts: list[list[float]] = []
        self.drive()
        self.robot.place((*HAND_START, HAND_HEIGHT))

    def randomise(self, generator: np.random.Generator) -> None:
        x, y = (HAND_START + generator.uniform(-START_SPREAD, START_SPREAD, 2)).tolist()
        self.robot.place((x, y, HAND_HEIGHT))
        spread = generator.uniform(-1.0, 1.0, (len(LANES), 3)) * (START_SPREAD, START_SPREAD, math.pi)
        self._starts = [[START_X + x, lane + y, yaw] for lane, (x, y, yaw) in zip(LANES, spread.tolist())]

    def lay(self, goal: Floats) -> None:
        kinds = [round(float(value)) for value in goal[2::3]]
        self.place_task([value for number, start in zip(kinds, self._starts) for value in (number, *start)])

    def recall(self, memory: list[int]) -> None:
        """Take over which kinds lie on the table, and paint them. Raises `UserError` for what this set of objects lacks."""
        shapes = [shape_and_colour(number)[0] for number in memory if number != NOTHING]
        if len(set(shapes)) < len(shapes) or not set(shapes) <= self.bodies.keys():
            raise UserError(f"objects {', '.join(shapes)}; expected different ones of: {', '.join(self.bodies)}")
        self.kinds = list(memory)
        for number in memory:
            if number != NOTHING:
                shape, colour = shape_and_colour(number)
                bullet.changeVisualShape(self.bodies[shape].body, -1, rgbaColor=(*COLOURS[colour], 1), physicsClientId=self.client)

    def memory(self) -> list[int]:
        return self.kinds

    def drive(self) -> None:
        """Keep what is not used where it is: it would fall."""
        used = {shape_and_colour(number)[0] for number in self.kinds if number != NOTHING}
        for index, (shape, body) in enumerate(self.bodies.items()):
            if shape not in used:
                body.place((0.2 * index, 0.0, PARKED))

    def place_task(self, task_state: list[float]) -> None:
        self.recall([round(value) for value in task_state[::4]])
        self.drive()
        for index, number in enumerate(self.kinds):
            if number != NOTHING:
                _, x, y, yaw = task_state[4 * index : 4 * index + 4]
                self.bodies[shape_and_colour(number)[0]].place((x, y, HEIGHT / 2), turned(yaw))

    def task_state(self) -> list[float]:
        return [value for number in self.kinds for value in (number, *self._planar(number)[:3])]

    def _planar(self, number: int) -> list[float]:
        """Return x, y m, yaw rad and velocity x, y m/s of an object on the table; zeros for none."""
        if number == NOTHING:
            return [0.0] * 5
        body = self.bodies[shape_and_colour(number)[0]]
        x, y, _, a, b, c, d = body.pose()
        return [x, y, math.atan2(2 * (d * c + a * b), 1 - 2 * (b * b + c * c)), *body.velocity()[:2]]

    def measure(self) -> tuple[list[float], list[float], Point]:
        hand = self.robot.hand()
        observation, achieved = list(hand[:2]), list(hand[:2])
        for number in self.kinds:
            x, y, yaw, vx, vy = self._planar(number)
            shape, colour = ("", "") if number == NOTHING else shape_and_colour(number)
            look = [float(shape == name) for name in SHAPES] + list(COLOURS.get(colour, (0.0, 0.0, 0.0)))
            observation += [x, y, vx, vy, math.cos(yaw), math.sin(yaw), *look]
            achieved += [float(number), x, y]
        return observation, achieved, hand


class MultiPushEnv(ManipulationEnv):
    """Push every object on the table to its place; goals are (hand x, y m, then kind, x m, y m for each of three lanes).

    How many objects there are (one to three), their shapes and colours differ per episode; no two have one shape. A goal names
    them: ``reset(options={"goal": g})`` lays the table with its objects, whose starts do not depend on the rest of the goal.
    An empty lane has kind -1 and zeros. Success is every object of the goal within 4 cm of its place; a goal that names other
    objects than those on the table cannot be reached.

    objects: "train", "held_out" (shapes and colours), "held_out_shapes" or "held_out_colours" (`envs.objects.SETS`). The hand
    moves in the plane: actions are two-dimensional. Source of the task: Nair et al. 2019, "Contextual Imagined Goals for
    Self-Supervised Robotic Learning" (CC-RIG), here with a Franka arm. Raises `UserError` for another set.
    """

    task = "multi_push"
    factors = (
        *("hand_x_m", "hand_y_m"),
        *(f"object_{index}_{part}" for index in range(len(LANES)) for part in ("kind", "x_m", "y_m")),
    )
    action_axes = 2
    observation_dim = 2 + len(LANES) * (6 + len(SHAPES) + 3)  # hand; place, velocity, heading, shape and colour of each object
    default_horizon = 100
    cameras: ClassVar[dict[str, Camera]] = {
        "front": Camera((1.10, 0.0, 0.75), (0.505, 0.0, 0.0), 31.0),
        "top": Camera((0.50, 0.0, 1.40), (0.501, 0.0, 0.0), 24.0),
        "side": Camera((0.75, 0.75, 0.65), (0.50, 0.0, 0.02), 32.0),
        "film": Camera((0.45, 1.1, 0.75), (0.37, 0.0, 0.16), 38.0),  # the whole arm, for people
    }

    def __init__(self, *, objects: str = "train", **arguments: Any) -> None:
        self.objects = objects
        self.shapes, self.colours = object_set(objects)
        self.task = "multi_push" if objects == "train" else f"multi_push_{objects}"
        super().__init__(**arguments)

    def build_scene(self) -> ObjectsScene:
        return ObjectsScene(self.shapes, self.visuals)

    def displacement(self, action: list[float]) -> list[float]:
        return [MAX_STEP * action[0], MAX_STEP * action[1], 0.0]

    def draw_kinds(self, generator: np.random.Generator) -> list[int]:
        """Draw what lies in each lane: one to three objects, no shape twice, in lanes at random."""
        count = int(generator.integers(1, min(len(LANES), len(self.shapes)) + 1))
        shapes = generator.permutation(len(self.shapes))[:count]
        kinds = [kind(self.shapes[shape], self.colours[int(generator.integers(len(self.colours)))]) for shape in shapes]
        filled = [*kinds, *[NOTHING] * (len(LANES) - count)]
        return [filled[index] for index in generator.permutation(len(LANES))]

    def propose_goal(self, generator: np.random.Generator) -> Floats:
        return self._propose_with(self.draw_kinds(generator), generator)

    def _propose_with(self, kinds: list[int], generator: np.random.Generator) -> Floats:
        x = generator.uniform(GOAL_LOW, GOAL_HIGH, len(LANES))
        y = LANES + generator.uniform(-GOAL_SIDE, GOAL_SIDE, len(LANES))
        yaw = generator.uniform(-math.pi, math.pi, len(LANES))
        # Behind one of the objects, where the hand is when it has just pushed it there.
        there = [index for index, number in enumerate(kinds) if number != NOTHING]
        behind = int(generator.choice(there)) if there else 0
        gap = RADIUS + FINGER_RADIUS + float(generator.uniform(0.0, 0.03))
        joints = inverse_kinematics(float(x[behind]) - gap, float(y[behind]), HAND_HEIGHT)
        slots = [(number, *(place if number != NOTHING else (0.0, 0.0, 0.0))) for number, place in zip(kinds, zip(x, y, yaw))]
        return np.array([*joints, *(float(value) for slot in slots for value in slot)])

    def next_goal(self, state: Floats, generator: np.random.Generator) -> GoalSet:
        """Return one goal for the objects that lie on the table in a goal state (19,)."""
        kinds = [round(float(number)) for number in state[7::4]]
        return self._second_world().sample(1, lambda: self._propose_with(kinds, generator))

    def draw_goal(self, keep_state: bool) -> Floats:
        if not keep_state:
            return super().draw_goal(keep_state)
        return np.asarray(self.next_goal(self.goal_state(), self.np_random).achieved[0])

    def analogous(self, goals: GoalSet, generator: np.random.Generator) -> GoalSet:
        """Return the same places as `goals` with other things in them: no object keeps its shape or its colour."""
        states, achieved, starts = goals.states.copy(), goals.achieved.copy(), None if goals.starts is None else goals.starts.copy()
        for index in range(len(goals)):
            kinds = self._other_kinds([round(float(number)) for number in achieved[index, 2::3]], generator)
            states[index, 7::4], achieved[index, 2::3] = kinds, kinds
            if starts is not None:
                starts[index, 7::4] = kinds
        return GoalSet(states, achieved, None, starts)

    def _other_kinds(self, kinds: list[int], generator: np.random.Generator) -> list[int]:
        """Draw other objects for the lanes that are not empty, no shape twice."""
        filled = [index for index, number in enumerate(kinds) if number != NOTHING]
        old = [shape_and_colour(kinds[index]) for index in filled]
        while True:
            shapes = [self.shapes[at] for at in generator.permutation(len(self.shapes))[: len(filled)]]
            if all(shape != had for shape, (had, _) in zip(shapes, old)):
                break
        others = list(kinds)
        for index, shape, (_, had) in zip(filled, shapes, old):
            left = [colour for colour in self.colours if colour != had]
            others[index] = kind(shape, left[int(generator.integers(len(left)))])
        return others

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        return np.asarray(self.metrics(achieved_goal, desired_goal)["distance"] < SUCCESS_DISTANCE)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``object_distance_m`` of the worst object (also as ``distance``), ``hand_distance_m`` and ``objects``.

        An object of another kind than the goal's counts as a metre farther away.
        """
        achieved, desired = np.broadcast_arrays(np.asarray(achieved_goal), np.asarray(desired_goal))
        shape = (*achieved.shape[:-1], len(LANES), 3)
        here, there = achieved[..., 2:].reshape(shape), desired[..., 2:].reshape(shape)
        named = np.round(there[..., 0]) != NOTHING
        stranger = np.round(here[..., 0]) != np.round(there[..., 0])
        away = np.where(named, np.linalg.norm(here[..., 1:] - there[..., 1:], axis=-1), 0.0) + STRANGER * stranger
        worst = away.max(axis=-1)
        hand = np.linalg.norm(achieved[..., :2] - desired[..., :2], axis=-1)
        return {"object_distance_m": worst, "hand_distance_m": hand, "objects": named.sum(axis=-1), "distance": worst}

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return entropy and coverage of where objects were, over 9 x 18 cells of 2 cm, of (n, 11)."""
        slots = np.asarray(achieved_goals)[:, 2:].reshape(-1, 3)
        return grid_coverage(slots[slots[:, 0] >= 0, 1:], [0.44, -0.18], [0.62, 0.18], [9, 18])

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Push one object after the other to its place, passing from one to the next behind them all; then take the hand to its goal."""
        hand = np.asarray(observation["observation"][:2], np.float64)
        achieved, goal = (np.asarray(observation[key], np.float64) for key in ("achieved_goal", "desired_goal"))
        here, there = achieved[2:].reshape(-1, 3), goal[2:].reshape(-1, 3)
        missing = (here[:, 0] >= 0) & (np.round(here[:, 0]) == np.round(there[:, 0]))
        missing &= np.linalg.norm(here[:, 1:] - there[:, 1:], axis=1) > DONE
        if not missing.any():
            return _pass(hand, goal[:2])
        index = int(missing.argmax())  # never the nearest: which one that is may change with every step
        place = here[index, 1:]
        if abs(hand[1] - place[1]) > 0.09:
            return _pass(hand, np.array([BEHIND, place[1]]))
        return push(hand, place, there[index, 1:], CIRCLE)


def _pass(hand: Floats, target: Floats) -> Floats:
    """Return the action (2,) toward a point (m) by the free strip behind all objects."""
    if abs(hand[1] - target[1]) > 0.03 and hand[0] > BEHIND + 0.01:
        return toward(hand, np.array([BEHIND, hand[1]]), 1.0)
    return toward(hand, np.array([BEHIND, target[1]]) if abs(hand[1] - target[1]) > 0.015 else target, 1.0)
