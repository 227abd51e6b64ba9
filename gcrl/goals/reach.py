"""Goals that an expert reached: every goal is a function of the settings and its number alone.

Reachable means that an expert's rollout ended there: from a reset, at rest, and without bodies in each other on the way.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from envs.api import GoalSet, TaskEnv
from envs.errors import UserError, unknown
from gcrl.goals.file import Columns
from gcrl.goals.taken import inside, named

BLOCK = 8  # goals that are made and stored together
AT_REST = 1e-3  # change of the achieved goal in the last step
DRAWS = 2000  # goals of the task that are drawn for one within the bounds
TRIES_AT = 5  # resets from which a goal that a person named is tried


@dataclass(frozen=True)
class Wish:
    """Which goals to make; they depend on nothing else.

    cameras: names, () for the environment's own. rollout: whether the expert must reach each. tries: goals drawn for one that is kept.
    max_penetration: m, the deepest contact allowed on the way. rest_penetration: m, the deepest allowed in the goal itself.
    at: achieved goals that a person named, instead of the task's own. where: (factor, low, high), bounds that all goals lie within.
    """

    env_id: str
    env_arguments: dict[str, Any]
    n: int
    seed: int = 0
    cameras: tuple[str, ...] = ()
    rollout: bool = True
    tries: int = 20
    max_penetration: float = 3e-3
    rest_penetration: float = 5e-4
    at: tuple[tuple[float, ...], ...] = ()
    where: tuple[tuple[str, float, float], ...] = ()
    fixed: str = ""  # a split of the environment's committed goals, to be taken over as they are, with their starts


def bounds(where: Mapping[str, Any]) -> tuple[tuple[str, float, float], ...]:
    """Return ``where={factor: [low, high], ...}`` as (factor, low, high); raises `UserError` unless each is two numbers in order."""
    found = []
    for name, given in where.items():
        numbers = isinstance(given, list | tuple) and len(given) == 2 and all(isinstance(one, int | float) for one in given)
        if not numbers or not given[0] < given[1]:
            raise UserError(f"where.{name}={given}; expected [low, high], in the factor's units")
        found.append((str(name), float(given[0]), float(given[1])))
    return tuple(found)


class GoalMaker:
    """Makes goals block by block: ``maker(index) -> {dataset: (b, ...)}``. Raises `UserError` for what does not fit the environment."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.env: Any = envs.make(wish.env_id, **wish.env_arguments)
        self._by_camera: dict[str, TaskEnv] = {}
        try:
            self._check()
            self.cameras = self._cameras()
            if (wish.fixed or not wish.rollout) and wish.cameras:
                self._by_camera = {name: envs.make(wish.env_id, **{**wish.env_arguments, "camera": name}) for name in wish.cameras}
        except BaseException:
            self.close()
            raise

    def __call__(self, index: int) -> Columns:
        """Return goals ``index * BLOCK`` onward, as many as a block has (fewer at the end).

        Raises `UserError` where the expert reaches none of the goals tried.
        """
        numbers = range(index * BLOCK, min((index + 1) * BLOCK, self.wish.n))
        make = self._fixed if self.wish.fixed else self._reached if self.wish.rollout else self._sampled
        goals = [make(number) for number in numbers]
        return {name: np.stack([goal[name] for goal in goals]) for name in goals[0]}

    def close(self) -> None:
        """Close the simulators."""
        for env in (self.env, *self._by_camera.values()):
            env.close()

    def _check(self) -> None:
        wish, env = self.wish, self.env
        if wish.rollout and not wish.fixed and not env.capabilities.expert:
            raise UserError(f"{wish.env_id} has no expert to reach goals; rollout=false takes them from the task without a rollout")
        if (wish.fixed or not wish.rollout) and env.capabilities.images and not env.capabilities.render_state:
            other = "rollout=true, or " if env.capabilities.expert else ""
            raise UserError(f"{wish.env_id} cannot draw goals without a rollout; expected {other}env.image_size=0")
        if wish.at and not wish.rollout:
            raise UserError("at=... needs rollout=true: only the expert's rollout shows whether a goal can be reached")
        for name, _, _ in wish.where:
            if name not in env.factors:
                raise unknown("factor in where", name, env.factors)
        for index, goal in enumerate(wish.at):
            if len(goal) != len(env.factors) or not np.isfinite(goal).all():
                raise UserError(f"at[{index}]={list(goal)}; expected {len(env.factors)} finite numbers: {', '.join(env.factors)}")

    def _cameras(self) -> list[str]:
        """Return the names of the cameras whose pictures are kept."""
        if not self.env.capabilities.images:
            if self.wish.cameras:
                raise UserError("cameras=... needs pictures; expected env.image_size above 0")
            return []
        own = str(getattr(self.env, "camera", "camera"))
        there = list(getattr(self.env, "cameras", [own]))
        for name in self.wish.cameras:
            if name not in there:
                raise unknown("camera", name, there)
        if len(set(self.wish.cameras)) < len(self.wish.cameras):
            raise UserError(f"cameras={list(self.wish.cameras)} names one twice; expected each once")
        return list(self.wish.cameras) or [own]

    def _reached(self, number: int) -> Columns:
        """Return one goal in which the expert's rollout ended."""
        wish, env = self.wish, self.env
        asked = np.array(wish.at[number], np.float32) if wish.at else None
        failures: Counter[str] = Counter()
        nearest = np.inf
        for attempt in range(TRIES_AT if wish.at else wish.tries):
            seed = self._seed(number, attempt)
            # The task's own goal of that reset, which fits the scene that the reset laid out.
            options = self._within(number, attempt).options(0) if wish.where else {} if asked is None else {"goal": asked}
            observation, _ = env.reset(seed=seed, options=options)
            commanded, start = observation["desired_goal"].copy(), observation["achieved_goal"].copy()
            begun = self._place("starts", observation)
            if asked is None and (self._inside(start) if wish.where else env.success(start, commanded)):
                failures["were fulfilled at the start"] += 1
                continue
            end, deepest, resting = self._roll(observation)
            nearest = min(nearest, float(env.metrics(end["achieved_goal"], commanded)["distance"]))
            if not env.success(end["achieved_goal"], commanded):
                failures["were not reached"] += 1
            elif not self._inside(end["achieved_goal"]):
                failures["ended outside of where=..."] += 1
            elif deepest > wish.max_penetration or self._depth() > wish.rest_penetration:
                failures["were reached with bodies in each other"] += 1
            elif not resting:
                failures["were not at rest"] += 1
            elif asked is None and not wish.where and env.success(start, end["achieved_goal"]):
                failures["were fulfilled at the start"] += 1
            else:
                ended = self._place("goals", end)
                goal = GoalSet(ended["goals/state"][None], ended["goals/achieved"][None], starts=begun["starts/state"][None])
                return begun | ended | self._facts(commanded, seed, attempt + 1, deepest, goal)
        why = ", ".join(f"{count} {reason}" for reason, count in failures.most_common())
        if asked is not None:
            raise UserError(
                f"at[{number}]={[round(float(value), 4) for value in asked]} is outside of the workspace or cannot be reached: of "
                f"{TRIES_AT} rollouts of the expert {why}, the nearest by {nearest:.3g}; expected a goal that it reaches"
            )
        raise UserError(f"goal {number}: of {wish.tries} goals drawn {why}; expected an expert that reaches some, or rollout=false")

    def _roll(self, observation: dict[str, Any]) -> tuple[dict[str, Any], float, bool]:
        """Let the expert act to the end; return the last observation, the deepest contact (m), and whether nothing moves any more."""
        env, deepest, steps = self.env, self._depth(), 0
        ended = False
        while not ended:
            before = observation["achieved_goal"].copy()
            observation, _, terminated, truncated, _ = env.step(env.expert_action(observation))
            deepest, steps = max(deepest, self._depth()), steps + 1
            ended = terminated or truncated
        moved = float(np.abs(observation["achieved_goal"] - before).max())
        return observation, deepest, bool(terminated) or steps == 1 or moved <= AT_REST

    def _sampled(self, number: int) -> Columns:
        """Return one goal as the task draws it, which nobody has reached."""
        for attempt in range(self.wish.tries):
            seed = self._seed(number, attempt)
            drawn = self._within(number, attempt)
            observation, _ = self.env.reset(seed=seed, options=drawn.options(0))
            start = observation["achieved_goal"]
            if not (self._inside(start) if self.wish.where else self.env.success(start, drawn.achieved[0])):
                break
        else:
            raise UserError(
                f"goal {number}: all of {self.wish.tries} goals drawn were fulfilled at the start; expected a task that asks for more"
            )
        return self._drawn(observation, drawn, seed, attempt + 1)

    def _within(self, number: int, attempt: int) -> GoalSet:
        """Return a goal as the task draws it, the first that lies within the bounds."""
        generator = np.random.default_rng([self.wish.seed, 22, number, attempt])
        for _ in range(DRAWS):
            drawn: GoalSet = self.env.sample_goals(1, generator)
            if self._inside(drawn.achieved[0]):
                return drawn
        bounds_ = named({name: (low, high) for name, low, high in self.wish.where})
        raise UserError(f"where: none of {DRAWS} goals that {self.wish.env_id} drew has {bounds_}; expected bounds that its goals meet")

    def _inside(self, achieved: NDArray[Any]) -> bool:
        return bool(inside(self.env, {name: (low, high) for name, low, high in self.wish.where}, achieved))

    def _fixed(self, number: int) -> Columns:
        """Return one of the environment's committed goals."""
        goal = self.env.fixed_goals(self.wish.fixed).take([number])
        seed = self._seed(number, 0)
        observation, _ = self.env.reset(seed=seed, options=goal.options(0))
        return self._drawn(observation, goal, seed, 1)

    def _drawn(self, observation: dict[str, Any], goal: GoalSet, seed: int, tries: int) -> Columns:
        """Return what is stored of a goal (`GoalSet` of one) to which nothing was rolled out."""
        columns = self._place("starts", observation)
        columns |= {"goals/achieved": np.asarray(goal.achieved[0], np.float32), "goals/state": np.asarray(goal.states[0], np.float64)}
        for camera in self.cameras:
            columns[f"goals/images/{camera}"] = self._by_camera.get(camera, self.env).render_state(goal.states[0])
        if goal.starts is None:
            goal = dataclasses.replace(goal, starts=columns["starts/state"][None])
        else:
            columns["goals/start"] = np.asarray(goal.starts[0], np.float64)
        return columns | self._facts(goal.achieved[0], seed, tries, np.nan, goal)

    def _place(self, group: str, observation: dict[str, Any]) -> Columns:
        """Return where the environment stands: achieved goal, state and pictures, as datasets of `group`."""
        achieved = observation["achieved_goal"].astype(np.float32)
        state = self.env.goal_state() if hasattr(self.env, "goal_state") else achieved
        columns = {f"{group}/achieved": achieved, f"{group}/state": np.asarray(state, np.float64)}
        for camera in self.cameras:
            own = not self.wish.cameras
            picture = observation["image"].copy() if own else self.env.picture(observation["image"].shape[0], camera=camera)
            columns[f"{group}/images/{camera}"] = picture
        return columns

    def _facts(self, commanded: NDArray[Any], seed: int, tries: int, deepest: float, goal: GoalSet) -> Columns:
        task = self.env.goal_tasks(goal)[0] if hasattr(self.env, "goal_tasks") else getattr(self.env, "task", self.wish.env_id)
        objects = list(self.env.goal_objects(goal)[0]) if hasattr(self.env, "goal_objects") else []
        return {
            "goals/commanded": np.asarray(commanded, np.float32),
            "goals/seed": np.array(seed, np.int64),
            "goals/tries": np.array(tries, np.int32),
            "goals/penetration": np.array(deepest, np.float32),
            "goals/task": np.array(task),
            "goals/objects": np.array(json.dumps(objects)),
        }

    def _depth(self) -> float:
        return float(self.env.penetration()) if hasattr(self.env, "penetration") else 0.0

    def _seed(self, number: int, attempt: int) -> int:
        return int(np.random.SeedSequence([self.wish.seed, 21, number, attempt]).generate_state(1)[0] >> 1)
