"""Any Gymnasium goal environment as a gcrl task: Fetch, point mazes, panda-gym, used as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.api import Bools, Capabilities, Floats, GoalSet, Images
from envs.checked import LARGEST_IMAGE, whole
from envs.errors import UserError, unknown
from envs.foreign_goals import placer
from envs.foreign_inside import distance, first_line, set_inner_goal, success_test
from envs.foreign_pictures import draw, drawing_arguments, put_away
from envs.foreign_state import MujocoState
from envs.silence import descriptors_silenced
from envs.snapshot import generator_state, pack, unpack

_KEYS = ("observation", "achieved_goal", "desired_goal")
_SPLITS = {"test": 1, "tune": 2}
_GOALS_PER_SPLIT = 100


class ForeignEnv(gymnasium.Env[dict[str, Any], Any]):
    """A Gymnasium goal environment `env_id` (built with `kwargs`) with gcrl's contract around it.

    success_threshold: distance that counts as success; None asks the environment. horizon: steps; None reads the registration.
    image_size: pixels of a square ``image`` in the observation, drawn by the environment's own camera; 0 for none.
    proprioception: entries of ``observation`` that come with an image as ``proprioception``.

    Observations are float32. Reaching the goal ends an episode only where the environment's own ``compute_terminated`` says so;
    any other end that the environment declares is passed on. Raises `UserError` for an environment without goals, horizon,
    success test or (where images are asked for) a renderer.
    """

    observation_space: spaces.Dict
    action_space: spaces.Space[Any]

    def __init__(
        self,
        env_id: str,
        *,
        success_threshold: float | None = None,
        horizon: int | None = None,
        image_size: int = 0,
        proprioception: tuple[int, ...] = (),
        **kwargs: Any,
    ) -> None:
        self.env_id, self._kwargs = env_id, kwargs
        self._proprioception = list(proprioception)
        self.image_size = whole("image_size", image_size, 0, LARGEST_IMAGE)
        self._inner = self._build(render=self.image_size > 0)
        self._scratch: gymnasium.Env[Any, Any] | None = None
        self._easel: gymnasium.Env[Any, Any] | None = None  # the copy in which goals are drawn
        space = self._inner.observation_space
        if not isinstance(space, spaces.Dict) or not all(isinstance(space.spaces.get(key), spaces.Box) for key in _KEYS):
            parts = space.items() if isinstance(space, spaces.Dict) else [("a single", space)]
            found = ", ".join(f"{key} {type(part).__name__}" for key, part in parts)
            raise UserError(f"{env_id} is not a goal environment: expected the boxes {', '.join(_KEYS)} in its observation, got {found}")
        spec = gymnasium.spec(env_id)
        limit = horizon if horizon is not None else spec.max_episode_steps
        if not isinstance(limit, int) or limit < 1:
            raise UserError(f"{env_id} has horizon={limit!r}; expected a whole number of steps from 1: give horizon=, for example 50")
        self.horizon = limit
        entries = int(np.prod(space["observation"].shape or ()))
        if any(not 0 <= index < entries for index in self._proprioception):
            raise UserError(f"proprioception={proprioception} leaves the observation of {env_id}; expected indices from 0 to {entries - 1}")
        goal_dim = int(np.prod(space["achieved_goal"].shape or ()))
        self.factors = tuple(f"achieved_goal_{index}" for index in range(goal_dim))
        self.action_space = self._inner.action_space
        self._success = success_test(self._inner, env_id, success_threshold)
        self._snapshots = MujocoState.of(self._inner)
        images = self.image_size > 0
        draws_goals = images and placer(self._inner) is not None
        self.capabilities = Capabilities(state=self._snapshots is not None, render_state=draws_goals, images=images)
        boxes: dict[str, spaces.Space[Any]] = {key: _float32(space[key]) for key in _KEYS}
        self._commanded: Floats | None = None
        self._last: dict[str, Any] | None = None
        self._steps = 0
        if images:
            boxes["image"] = spaces.Box(0, 255, (self.image_size, self.image_size, 3), np.uint8)
            if self._proprioception:
                boxes["proprioception"] = spaces.Box(-np.inf, np.inf, (len(self._proprioception),), np.float32)
            self._inner.reset(seed=0)
            draw(self._inner, self.env_id, self.image_size)
        self.observation_space = spaces.Dict(boxes)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        options = dict(options or {})
        goal, keep = options.pop("goal", None), options.pop("keep_state", False)
        info: dict[str, Any] = {}
        if keep and self._last is not None:
            self._commanded = self.sample_goals(1, self.np_random).achieved[0].astype(np.float32)
            observation = self._last
        else:
            raw, info = self._inner.reset(seed=seed, options=options or None)
            self._commanded = None
            observation = raw
        if goal is not None:
            self._commanded = self._checked_goal(goal)
        if self._commanded is not None:
            set_inner_goal(self._inner, self._commanded)
        self._steps = 0
        return self._observe(observation), dict(info)

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        if self._last is None:
            raise UserError(f"step() of {self.env_id} before reset(); expected reset() first")
        raw, _, ended, truncated, info = self._inner.step(action)
        observation = self._observe(raw)
        achieved, desired = observation["achieved_goal"], observation["desired_goal"]
        self._steps += 1
        success = bool(self.success(achieved, desired))
        # The rule for goals is ours, so that step() and compute_terminated agree; an end with another cause is the environment's.
        terminated = bool(self.compute_terminated(achieved, desired, {})) or (bool(ended) and not success and not info.get("is_success"))
        truncated = not terminated and (bool(truncated) or self._steps >= self.horizon)
        return observation, float(self.compute_reward(achieved, desired, {})), terminated, truncated, {**info, "is_success": success}

    def compute_reward(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Floats:
        """Return the environment's own reward over the leading axes of (..., g)."""
        return self._rowwise(self._goal_env().compute_reward, achieved_goal, desired_goal).astype(np.float32)

    def compute_terminated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return the environment's own rule over the leading axes of (..., g); false where it has none."""
        rule = getattr(self._goal_env(), "compute_terminated", None)
        if rule is None:
            return np.zeros(np.shape(achieved_goal)[:-1], np.bool_)
        return self._rowwise(rule, achieved_goal, desired_goal).astype(np.bool_)

    def compute_truncated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return false over the leading axes of (..., g): only the clock truncates."""
        return np.zeros(np.shape(achieved_goal)[:-1], np.bool_)

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        """Return where the goal is reached, by the environment's test or `success_threshold`, over the leading axes of (..., g)."""
        achieved, desired = np.broadcast_arrays(np.asarray(achieved_goal, np.float64), np.asarray(desired_goal, np.float64))
        return np.asarray(self._success(achieved, desired), np.bool_)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``distance``: Euclidean, in the units of the environment's goals."""
        return {"distance": distance(achieved_goal, desired_goal).astype(np.float32)}

    def sample_goals(self, n: int, generator: np.random.Generator) -> GoalSet:
        """Return the `n` goals that seeded resets of a scratch copy come up with: the environment's own distribution."""
        if self._scratch is None:
            self._scratch = self._build(render=False)
        seeds = generator.integers(0, 2**31 - 1, size=n)
        found = [self._scratch.reset(seed=int(seed))[0]["desired_goal"] for seed in seeds]
        goals = np.asarray(found, np.float32).reshape(n, len(self.factors))
        return GoalSet(states=goals, achieved=goals.copy())

    def fixed_goals(self, split: str) -> GoalSet:
        """Return the 100 goals of `split`, from fixed reset seeds. Raises `UserError` for an unknown split."""
        if split not in _SPLITS:
            raise unknown("split", split, _SPLITS)
        return self.sample_goals(_GOALS_PER_SPLIT, np.random.default_rng(_SPLITS[split]))

    def render_state(self, state: Floats) -> Images:
        """Return the picture of a goal (g,): what the goal names is there, the rest as a reset leaves it.

        Raises `UserError` without the capability ``render_state``, and for a goal that cannot be put there.
        """
        if not self.capabilities.render_state:
            why = "it was made without image_size=" if not self.image_size else "nothing is known to bring it to a goal"
            raise UserError(f"{self.env_id} cannot draw goals ({why}); expected an environment whose capabilities.render_state is true")
        goal = self._checked_goal(state)
        if self._easel is None:
            self._easel = self._build(render=True)
        self._easel.reset(seed=0)
        place = placer(self._easel)
        assert place is not None
        set_inner_goal(self._easel, goal)
        achieved = place(np.asarray(goal, np.float64))
        if not self.success(np.asarray(achieved, np.float32), goal):
            raise UserError(
                f"{self.env_id} cannot draw the goal {goal.tolist()}: it came to {achieved.tolist()}; expected one within reach"
            )
        return draw(self._easel, self.env_id, self.image_size)

    def get_state(self) -> bytes:
        """Return the exact state: simulator, goals, clock and generators. Raises `UserError` where the simulator cannot say."""
        if self._snapshots is None:
            raise UserError(f"{self.env_id} has no exact state; expected an environment whose capabilities.state is true")
        if self._last is None:
            raise UserError(f"get_state() of {self.env_id} before reset(); expected reset() first")
        generators = {"generator": generator_state(self.np_random), "inner_generator": generator_state(self._goal_env().np_random)}
        values = {"steps": self._steps, "commanded": self._commanded is not None, **generators}
        last = {f"last_{key}": value for key, value in self._last.items()}
        return pack(self.env_id, values, {**last, **self._snapshots.save()})

    def set_state(self, state: bytes) -> None:
        """Go back to a state of `get_state`, of any process. Raises `UserError` for foreign bytes or without capability ``state``."""
        if self._snapshots is None:
            raise UserError(f"{self.env_id} has no exact state; expected an environment whose capabilities.state is true")
        values, arrays = unpack(self.env_id, state)
        if self._last is None:
            self.reset(seed=0)  # what an environment builds lazily must exist before it is overwritten
        self._snapshots.load(arrays)
        self._last = {key.removeprefix("last_"): value for key, value in arrays.items() if key.startswith("last_")}
        self._commanded = self._last["desired_goal"].copy() if values["commanded"] else None
        self._steps = int(values["steps"])
        self.np_random.bit_generator.state = values["generator"]
        self._goal_env().np_random.bit_generator.state = values["inner_generator"]

    def close(self) -> None:
        """Close the environment and its copies."""
        for env in (self._inner, self._scratch, self._easel):
            if env is not None:
                put_away(env)

    def _build(self, *, render: bool) -> gymnasium.Env[Any, Any]:
        drawing = drawing_arguments(self.env_id, self.image_size, self._kwargs) if render else {}
        try:
            # -1: no time limit inside; the clock is ours, so that it can be saved and the horizon overridden.
            with descriptors_silenced(1):  # PyBullet prints its arguments, in the midst of output that programs read
                env = gymnasium.make(self.env_id, max_episode_steps=-1, disable_env_checker=True, **drawing, **self._kwargs)
        except (gymnasium.error.Error, TypeError) as error:
            raise UserError(f"{self.env_id} cannot be built: {first_line(error)}") from error
        if model := getattr(env.unwrapped, "tmp_xml_file_path", None):  # which a maze writes, reads once and leaves behind
            Path(model).unlink(missing_ok=True)
        return env

    def _goal_env(self) -> Any:
        return self._inner.unwrapped

    def _rowwise(self, rule: Callable[..., Any], achieved_goal: Floats, desired_goal: Floats) -> Floats:
        achieved, desired = np.broadcast_arrays(np.asarray(achieved_goal, np.float64), np.asarray(desired_goal, np.float64))
        shape = achieved.shape[:-1]
        rows, goals = achieved.reshape(-1, achieved.shape[-1]), desired.reshape(-1, desired.shape[-1])
        values = np.asarray(rule(rows, goals, {}))
        if values.shape != (len(rows),):  # written for one goal at a time, like the mazes' compute_terminated
            values = np.asarray([rule(row, goal, {}) for row, goal in zip(rows, goals)]).reshape(len(rows))
        return values.reshape(shape)

    def _checked_goal(self, goal: Any) -> Floats:
        vector = np.asarray(goal, np.float32)
        if vector.shape != (len(self.factors),) or not np.isfinite(vector).all():
            raise UserError(f"goal {goal!r} does not fit {self.env_id}; expected {len(self.factors)} finite numbers")
        return vector.copy()

    def _observe(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        observation: dict[str, Any] = {key: np.array(raw[key], np.float32) for key in _KEYS}
        if self._commanded is not None:
            observation["desired_goal"] = self._commanded.copy()
        if self.image_size:
            observation["image"] = draw(self._inner, self.env_id, self.image_size)
            if self._proprioception:
                observation["proprioception"] = observation["observation"][self._proprioception]
        self._last = {key: observation[key].copy() for key in _KEYS}
        return observation


def _float32(space: spaces.Space[Any]) -> spaces.Box:
    assert isinstance(space, spaces.Box)
    return spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), space.shape, np.float32)
