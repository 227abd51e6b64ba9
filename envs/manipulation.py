"""The part that all PyBullet tasks share: the Gymnasium goal environment around a scene."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.api import Bools, Capabilities, Floats, GoalSet, Images
from envs.appearance import Appearance
from envs.camera import WRIST, Camera, Renderer
from envs.checked import LARGEST_IMAGE, as_action, as_goal, as_start, whole
from envs.distractors import MOST
from envs.errors import UserError, unknown
from envs.fixed_goals import load_goals
from envs.ghost import TOUCH, Ghost
from envs.robot import MAX_STEP, Point
from envs.saved_state import read_state, write_state
from envs.scene import Scene

__all__ = ["TOUCH", "ManipulationEnv"]

REWARDS = ("sparse", "dense")
OPTIONS = ("goal", "keep_state", "start")


class ManipulationEnv(gymnasium.Env[dict[str, Any], np.ndarray[Any, Any]]):
    """A task for the arm: actions in [-1, 1] are hand displacements of at most 3 cm an axis, at 20 Hz.

    image_size: side of the square ``image`` in pixels; 0 means no images and no rendering. camera: one of ``cameras``; every task has
    "wrist". distractors: how many of `envs.distractors` move in the picture. randomise: what every episode draws anew, of "colours",
    "light" and "camera" (`envs.appearance`).
    visuals: "light" or "full" arm meshes. reward_type: "sparse" (0 on success, else -1) or "dense" (minus ``distance``).
    horizon: steps until truncation. Raises `UserError` for anything else.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (Gymnasium's own declaration)
    task: str
    factors: tuple[str, ...]
    cameras: ClassVar[dict[str, Camera]]
    action_axes: ClassVar[int] = 3
    proprioception_dim: ClassVar[int] = 3
    observation_dim: int
    default_horizon: int = 50

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "cameras" in vars(cls):
            cls.cameras = {**cls.cameras, "wrist": WRIST}

    def __init__(
        self,
        *,
        image_size: int = 0,
        camera: str | None = None,
        visuals: str = "light",
        reward_type: str = "sparse",
        horizon: int | None = None,
        render_mode: str | None = None,
        distractors: int = 0,
        randomise: Sequence[str] = (),
    ) -> None:
        camera = next(iter(self.cameras)) if camera is None else camera
        if camera not in self.cameras:
            raise unknown("camera", camera, self.cameras)
        if reward_type not in REWARDS:
            raise unknown("reward_type", reward_type, REWARDS)
        if render_mode not in (None, "rgb_array"):
            raise unknown("render_mode", str(render_mode), ["rgb_array"])
        self.image_size = whole("image_size", image_size, 0, LARGEST_IMAGE)
        self.horizon = whole("horizon", self.default_horizon if horizon is None else horizon, 1)
        self.camera, self.visuals, self.reward_type, self.render_mode = camera, visuals, reward_type, render_mode
        self.capabilities = Capabilities(
            state=True, render_state=True, reset=True, goal_states=True, expert=True, images=self.image_size > 0
        )
        self.action_space = spaces.Box(-1.0, 1.0, (self.action_axes,), np.float32)
        self.observation_space = self._observation_space()
        self._scene = self.build_scene()
        self._appearance = Appearance(self._scene, whole("distractors", distractors, 0, MOST), randomise)
        self._scene.simulation.keep_start()
        self._renderer = Renderer(self._scene.robot, self.cameras[camera])
        self._ghost: Ghost | None = None
        self._goal = np.zeros(len(self.factors), np.float32)
        self._hand: Point = (0.0, 0.0, 0.0)
        self._steps = 0
        self._closed = False

    # What a task adds.

    @abstractmethod
    def build_scene(self) -> Scene:
        """Make a world of this task."""

    @abstractmethod
    def propose_goal(self, generator: np.random.Generator) -> Floats:
        """Draw a goal state that may yet turn out to penetrate or to lie out of reach."""

    @abstractmethod
    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        """Return (...,) whether each achieved goal (..., g) fulfils the desired one."""

    @abstractmethod
    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return the task's figures per row, units in their names, and ``distance``, which success is a threshold on."""

    @abstractmethod
    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Return the scripted expert's action toward ``desired_goal``, from ``observation`` alone (no memory)."""

    # Gymnasium.

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode; options ``goal`` (g,), ``keep_state`` (stay where the last episode ended), ``start`` (m,) (a goal state).

        With a seed, what follows does not depend on what went before, bit for bit. Raises `UserError` for a bad option.
        """
        super().reset(seed=seed)
        options = options or {}
        for key in options:
            if key not in OPTIONS:
                raise unknown("reset option", key, OPTIONS)
        keep = bool(options.get("keep_state", False))
        if not keep:
            self._scene.simulation.restore_start()
            self._appearance.begin(self.np_random)
            self._scene.randomise(self.np_random)
        start = options.get("start")
        if start is not None and not keep:
            self._scene.begin(as_start(start, len(self._scene.state()), self._scene.rest))
        goal = options.get("goal")
        self._goal = as_goal(self.draw_goal(keep or start is not None) if goal is None else goal, self.factors)
        if not keep:
            if start is None:  # a start says what lies where
                self._scene.lay(self._goal)
            self._appearance.show()
        self._steps = 0
        observation = self._observe()
        return observation, self._info(observation)

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Move for one control step of 50 ms. Raises `UserError` for an action of the wrong shape or not finite."""
        self.actuate(as_action(action, self.action_axes))
        self._scene.drive()
        self._scene.simulation.step()
        self._appearance.advance()
        self._steps += 1
        observation = self._observe()
        info = self._info(observation)
        reward = float(self.compute_reward(observation["achieved_goal"], self._goal, info))
        return observation, reward, False, self._steps >= self.horizon, info

    def render(self) -> Images:
        """Return a picture of the present state: ``image_size`` pixels, 256 where that is 0."""
        return self._renderer.render(self.image_size or 256, self._appearance.look)

    def picture(self, size: int, camera: str | None = None) -> Images:
        """Return a (size, size, 3) picture of the present state from any of the task's cameras, for films and figures."""
        name = self.camera if camera is None else camera
        if name not in self.cameras:
            raise unknown("camera", name, self.cameras)
        return Renderer(self._scene.robot, self.cameras[name]).render(whole("size", size, 1), self._appearance.look)

    def close(self) -> None:
        """Free both worlds; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._scene.close()
            if self._ghost is not None:
                self._ghost.scene.close()

    # Goals.

    def compute_reward(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Floats:
        """Return (...,) float32 rewards of achieved goals (..., g) for desired ones."""
        if self.reward_type == "sparse":
            return np.asarray(self.success(achieved_goal, desired_goal), np.float32) - np.float32(1)
        return -np.asarray(self.metrics(achieved_goal, desired_goal)["distance"], np.float32)

    def compute_terminated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return (...,) false: reaching a goal does not end an episode, staying there is part of the task."""
        return np.zeros(np.shape(achieved_goal)[:-1], np.bool_)

    def compute_truncated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return (...,) whether ``info["step"]`` (or each info of a sequence) has come to the horizon; false without it."""
        infos = info if isinstance(info, Mapping) else {"step": [one.get("step", 0) for one in info]} if info is not None else {}
        ended = np.asarray(infos.get("step", 0)) >= self.horizon
        return np.broadcast_to(ended, np.shape(achieved_goal)[:-1]).copy()

    def sample_goals(self, n: int, generator: np.random.Generator) -> GoalSet:
        """Return `n` goal states without penetration from the task's goal distribution."""
        return self._second_world().sample(n, lambda: self.propose_goal(generator))

    def draw_goal(self, keep_state: bool) -> Floats:
        """Return the achieved goal (g,) to command where none is given; with `keep_state` what lies there is given, by a start too."""
        return np.asarray(self.sample_goals(1, self.np_random).achieved[0])

    def fixed_goals(self, split: str) -> GoalSet:
        """Return the committed goals of "test", "tune" or a split of the task's own; an expert's rollout reached each of them."""
        return load_goals(self.task, split)

    def analogous(self, goals: GoalSet, generator: np.random.Generator) -> GoalSet:
        """Return goals that ask for the same in scenes that look otherwise: `goals` themselves, since each episode's look is drawn.

        Raises `UserError` where none is.
        """
        if not self._appearance.randomise:
            raise UserError(f"all episodes of {self.task} look alike, so there are no analogies; expected env.randomise=[colours,light]")
        return goals

    def goal_state(self) -> Floats:
        """Return the present configuration as a goal state (m,)."""
        return self._scene.state()

    def penetration(self) -> float:
        """Return how deep (m) the deepest contact goes right now."""
        return self._scene.simulation.contact_depth()

    def render_state(self, state: Floats) -> Images:
        """Return the picture of a goal state (m,) at ``image_size`` (256 where that is 0); the episode is not disturbed.

        It is a function of the state alone: in the plain look whatever `randomise` says, distractors where they need not be now.
        """
        return self._second_world().render(state, self.image_size or 256)

    def ghost(self) -> Scene:
        """Return the scene in which goals are tried and drawn."""
        return self._second_world().scene

    def _second_world(self) -> Ghost:
        """Return the second world, made on first use."""
        if self._ghost is None:
            self._ghost = Ghost(self.build_scene(), self.cameras[self.camera], len(self._appearance.distractors.bodies))
        return self._ghost

    # Exact state.

    def get_state(self) -> bytes:
        """Return the exact state of the episode; what follows `set_state` of it is the same here and in any other process."""
        variables = {
            "task": self.task,
            "target": self._scene.robot.target,
            "hand": self._hand,
            "goal": [float(value) for value in self._goal],
            "steps": self._steps,
            "generator": self.np_random.bit_generator.state,
        }
        memories = {"scene": self._scene.memory(), "appearance": self._appearance.memory()}
        return write_state(variables | {name: memory for name, memory in memories.items() if memory}, self._scene.simulation.save())

    def set_state(self, state: bytes) -> None:
        """Restore what `get_state` returned. Raises `UserError` for anything else."""
        variables, world = read_state(self.task, state)
        appearance = variables.get("appearance", {})
        self._appearance.check(appearance)
        self._scene.simulation.restore(world)
        self._scene.recall(variables.get("scene", []))
        self._appearance.recall(appearance)
        self._scene.robot.target = variables["target"]
        self._hand = tuple(variables["hand"])
        self._goal = np.array(variables["goal"], np.float32)
        self._steps = variables["steps"]
        self.np_random.bit_generator.state = variables["generator"]

    # Inside.

    def displacement(self, action: list[float]) -> list[float]:
        """Return the hand displacement (m, three axes) that an action means."""
        return [MAX_STEP * value for value in action]

    def actuate(self, action: list[float]) -> None:
        """Command the arm for one step with an action in [-1, 1]."""
        self._scene.robot.command(self.displacement(action), self._hand)

    def _observe(self) -> dict[str, Any]:
        observation, achieved, self._hand = self._scene.measure()
        result: dict[str, Any] = {
            "observation": np.array(observation, np.float32),
            "achieved_goal": np.array(achieved, np.float32),
            "desired_goal": self._goal.copy(),
        }
        if self.image_size:
            result["image"] = self._renderer.render(self.image_size, self._appearance.look)
            result["proprioception"] = np.array(self._scene.proprioception(self._hand), np.float32)
        return result

    def _info(self, observation: dict[str, Any]) -> dict[str, Any]:
        return {"is_success": bool(self.success(observation["achieved_goal"], self._goal)), "step": self._steps}

    def _observation_space(self) -> spaces.Dict:
        goal = spaces.Box(-np.inf, np.inf, (len(self.factors),), np.float32)
        parts: dict[str, spaces.Space[Any]] = {
            "observation": spaces.Box(-np.inf, np.inf, (self.observation_dim,), np.float32),
            "achieved_goal": goal,
            "desired_goal": goal,
        }
        if self.image_size:
            parts["image"] = spaces.Box(0, 255, (self.image_size, self.image_size, 3), np.uint8)
            parts["proprioception"] = spaces.Box(-np.inf, np.inf, (self.proprioception_dim,), np.float32)
        return spaces.Dict(parts)
