"""A robot as a goal environment: no state to save or set, no reset but driving the hand home, a clock, a stop button, a box.

Write a class with `envs.hardware.Hardware`'s methods for your arm, derive from `RealRobotEnv` as `envs.stand_in` does, and practise.
"""

from __future__ import annotations

import sys
import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from envs.api import Bools, Capabilities, Floats, GoalSet, Images
from envs.checked import LARGEST_IMAGE, as_goal, whole
from envs.errors import UserError, unknown
from envs.hardware import Hardware, Pacer, Workspace
from envs.recorded_goals import load_recorded, save_recorded

SPLITS = ("test", "tune")
GOALS, HOLD, WALKS = 100, 5, 4  # goals a split, steps that a random action is held, goals between drives home
HOME_STEPS, ARRIVED = 80, 0.01  # steps that a stretch of the way home may take, and m that count as there
ASTRAY = 0.03  # m outside the box at which something is wrong with the robot


class RealRobotEnv(gymnasium.Env[dict[str, Any], np.ndarray[Any, Any]]):
    """One robot. Actions in [-1, 1] are displacements of the fingertips by at most ``max_step`` m an axis.

    image_size: side of ``image`` in pixels. rate_hz: control steps a second of wall-clock time; None does not wait. limits: "clip" or
    "refuse" commands that leave the box. goals: a file of the pictures that the robot is judged by; recorded on first need where it is
    not there, and kept in memory where it is None. patience_s: how long a reset waits for a stopped robot to be released.
    horizon: steps until truncation.

    The hardware is connected to on the first reset, not before: the learner's process holds an environment too, for its spaces.
    `step` ends an aborted episode with ``truncated`` and ``info["aborted"]``, the reason; ``info["limited"]`` says whether the box
    changed the action and ``info["late_s"]`` by how much the control period was missed.
    """

    spec = EnvSpec("gcrl/RealRobot-v0", nondeterministic=True)  # no seed puts a world back
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium's own declaration)
    capabilities = Capabilities(reset=False, copies=False, images=True)
    factors: tuple[str, ...]
    low: ClassVar[tuple[float, float, float]]
    high: ClassVar[tuple[float, float, float]]
    home: ClassVar[tuple[float, float, float]]
    max_step: ClassVar[float] = 0.03  # m
    default_horizon: ClassVar[int] = 50

    def __init__(
        self,
        *,
        image_size: int = 48,
        rate_hz: float | None = None,
        limits: str = "clip",
        goals: str | None = None,
        patience_s: float = 600.0,
        horizon: int | None = None,
    ) -> None:
        self.image_size = whole("image_size", image_size, 1, LARGEST_IMAGE)
        self.horizon = whole("horizon", self.default_horizon if horizon is None else horizon, 1)
        if limits not in ("clip", "refuse"):
            raise unknown("limits", limits, ("clip", "refuse"))
        self.workspace, self.pacer = Workspace(self.low, self.high, limits), Pacer(rate_hz)
        self.patience_s = patience_s
        self.render_mode = None
        self._path = None if goals is None else Path(goals)
        self._goals: dict[str, GoalSet] = {}
        self._hardware: Hardware | None = None
        self._target: Floats = np.array(self.home, np.float64)
        self._desired: Floats | None = None
        self._steps = 0
        goal = spaces.Box(-np.inf, np.inf, (len(self.factors),), np.float32)
        hand = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        picture = spaces.Box(0, 255, (self.image_size, self.image_size, 3), np.uint8)
        parts: dict[str, spaces.Space[Any]] = {"observation": hand, "achieved_goal": goal, "desired_goal": goal}
        parts |= {"image": picture, "proprioception": hand}
        self.observation_space = spaces.Dict(parts)
        self.action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    # What a robot adds.

    @abstractmethod
    def connect(self) -> Hardware:
        """Take hold of the robot."""

    @abstractmethod
    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        """Return (...,) whether what was measured (..., g) fulfils the desired goal."""

    @abstractmethod
    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return figures per row, units in their names, and ``distance``."""

    # Gymnasium.

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Drive the hand home (``keep_state``: leave it where it is); the world stays as the robot left it. Option ``goal`` (g,).

        Raises:
            UserError: a bad option, or a robot that was not released within ``patience_s``.
        """
        super().reset(seed=seed)
        options = options or {}
        for key in options:
            if key not in ("goal", "keep_state"):
                raise unknown("reset option", key, ("goal", "keep_state"))
        self._wait_for_release()
        if not options.get("keep_state", False):
            self._drive_home()
        goal = options.get("goal")
        self._desired = np.asarray(self.robot.measure() if goal is None else as_goal(goal, self.factors), np.float32)
        self._steps = 0
        self.pacer.begin()
        return self._observe(), {"step": 0}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Move for one control period. Raises `UserError` for a bad action, and before the reset that an abort asks for."""
        if self._desired is None:
            raise UserError("step() of a robot that was not reset, or was stopped; expected reset() first")
        values = np.asarray(action, np.float64).reshape(-1)
        if values.shape != (3,) or not np.isfinite(values).all():
            raise UserError(f"action {values.tolist()}; expected 3 finite numbers in [-1, 1]")
        limited, late = self._move(self.max_step * np.clip(values, -1.0, 1.0))
        self._steps += 1
        observation, desired = self._observe(), self._desired
        aborted = self._why_not()
        info: dict[str, Any] = {"step": self._steps, "limited": limited, "late_s": late}
        if aborted:
            self.robot.hold()
            self._desired = None
            info["aborted"] = aborted
        achieved = observation["achieved_goal"]
        info["is_success"] = bool(self.success(achieved, desired))
        reward = float(self.compute_reward(achieved, desired, info))
        return observation, reward, False, bool(aborted) or self._steps >= self.horizon, info

    def render(self) -> Images:
        """Return the camera's newest picture."""
        return self.robot.picture(self.image_size)

    def close(self) -> None:
        """Let go of the robot."""
        if self._hardware is not None:
            self._hardware.close()
            self._hardware = None

    # Goals.

    def compute_reward(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Floats:
        """Return (...,) 0 on success and -1 otherwise."""
        return np.asarray(self.success(achieved_goal, desired_goal), np.float32) - np.float32(1)

    def compute_terminated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return (...,) false: staying at a goal is part of reaching it."""
        return np.zeros(np.shape(achieved_goal)[:-1], np.bool_)

    def compute_truncated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return (...,) whether ``info["step"]`` has come to the horizon, or ``info["aborted"]`` says why it was cut short."""
        given = info if isinstance(info, Mapping) else {}
        ended = given.get("step", 0) >= self.horizon or bool(given.get("aborted"))
        return np.full(np.shape(achieved_goal)[:-1], ended, np.bool_)

    def sample_goals(self, n: int, generator: np.random.Generator) -> GoalSet:
        """Return `n` of the recorded tuning goals: a robot knows no others."""
        goals = self.fixed_goals("tune")
        return goals.take(generator.integers(len(goals), size=n))

    def fixed_goals(self, split: str) -> GoalSet:
        """Return the recorded goals of "test" or "tune" with their pictures, recorded now by a walk of the robot if need be."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if not self._goals and self._path is not None and self._path.exists():
            self._goals = load_recorded(self._path, SPLITS, len(self.factors), self.image_size)
        if not self._goals:
            recorded = self._record(np.random.default_rng(0), len(SPLITS) * GOALS)
            self._goals = {name: recorded.take(np.s_[index :: len(SPLITS)]) for index, name in enumerate(SPLITS)}  # alike, not one late
            if self._path is not None:
                save_recorded(self._path, self._goals)
        return self._goals[split]

    def _record(self, generator: np.random.Generator, n: int) -> GoalSet:
        """Walk at random, each action held for a while, and return what was measured and seen at each of `n` stops."""
        achieved, images = [], []
        for index in range(n):
            if index % WALKS == 0:
                self._wait_for_release()
                self._drive_home()
            for _ in range(4):
                displacement = generator.uniform(-self.max_step, self.max_step, 3)
                for _ in range(HOLD):
                    self._move_when_free(displacement)
            for _ in range(HOLD):
                self._move_when_free(np.zeros(3))  # pictures are taken at rest
            achieved.append(self.robot.measure())
            images.append(self.robot.picture(self.image_size))
        self._desired = None  # whatever episode was going on is over
        rows = np.asarray(achieved, np.float32)
        return GoalSet(rows, rows.copy(), np.stack(images))

    # What it cannot do.

    def render_state(self, state: Floats) -> Images:
        """Raise `UserError`: a robot has no picture of where it has not been."""
        raise UserError("a robot cannot draw goals; expected an environment whose capabilities.render_state is true, or recorded pictures")

    def get_state(self) -> bytes:
        """Raise `UserError`: the world has no state that could be read."""
        raise UserError("a robot has no exact state; expected an environment whose capabilities.state is true")

    def set_state(self, state: bytes) -> None:
        """Raise `UserError`: the world cannot be put anywhere."""
        raise UserError("a robot has no exact state; expected an environment whose capabilities.state is true")

    # Inside.

    @property
    def robot(self) -> Hardware:
        """The hardware, connected to on first use."""
        if self._hardware is None:
            self._hardware = self.connect()
            self._target = np.asarray(self._hardware.hand(), np.float64)
        return self._hardware

    def _move(self, displacement: Floats) -> tuple[bool, float]:
        """Command one displacement (m), wait for the control period's end; return whether the box limited it, and lateness (s)."""
        self._target, limited = self.workspace.next_point(self._target, displacement, self.robot.hand())
        self.robot.move(self._target)
        return limited, self.pacer.wait()

    def _move_when_free(self, displacement: Floats) -> None:
        if self._why_not():
            self.robot.hold()
            self._wait_for_release()
        self._move(displacement)

    def _why_not(self) -> str:
        """Return why the robot must not go on, or ""."""
        astray = self.workspace.outside(self.robot.hand())
        return self.robot.stopped() or (f"the hand is {astray:.3f} m outside its workspace" if astray > ASTRAY else "")

    def _wait_for_release(self) -> None:
        """Return once the stop is released; the commanded point begins where the hand then is."""
        waited, reason = 0.0, self.robot.stopped()
        if reason:
            print(f"the robot is stopped ({reason}); waiting for it to be released", file=sys.stderr, flush=True)
        while self.robot.stopped():
            if waited >= self.patience_s:
                raise UserError(f"the robot was not released in {self.patience_s:g} s ({reason}); expected that; then resume the run")
            time.sleep(0.1)
            waited += 0.1
        self._target = np.asarray(self.robot.hand(), np.float64)

    def _drive_home(self) -> None:
        """Up to the box's top, over, and down: a straight line could go through what the hand has moved."""
        self.pacer.begin()
        over = (self.home[0], self.home[1], self.high[2])
        for point in ((*self.robot.hand()[:2], self.high[2]), over, self.home):
            for _ in range(HOME_STEPS):
                way = np.asarray(point) - self.robot.hand()
                if np.abs(way).max() < ARRIVED:
                    break
                self._move_when_free(np.clip(way, -self.max_step, self.max_step))

    def _observe(self) -> dict[str, Any]:
        hand = np.asarray(self.robot.hand(), np.float32)
        return {
            "observation": hand,
            "achieved_goal": np.asarray(self.robot.measure(), np.float32),
            "desired_goal": np.asarray(self._desired, np.float32).copy(),
            "image": self.robot.picture(self.image_size),
            "proprioception": hand.copy(),
        }
