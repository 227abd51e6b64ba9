"""Bit-flip: n bits, an action flips one of them, and only the exact goal pays (HER, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.api import Bools, Capabilities, Floats, GoalSet, Images
from envs.errors import UserError, unknown
from envs.snapshot import generator_state, pack, unpack

_SPLITS = {"test": 1, "tune": 2}
_GOALS_PER_SPLIT = 100


class BitFlipEnv(gymnasium.Env[dict[str, Any], Any]):
    """Flip n bits into a goal pattern: reward 0 at the goal and -1 elsewhere, ends at the goal or after n steps.

    Observations are (n,) float32 of zeros and ones; actions are integers in [0, n). Start and goal are uniform.
    Raises `UserError` for fewer than one bit, actions and goals out of range. Source: HER, section 3.1.
    """

    observation_space: spaces.Dict
    action_space: spaces.Space[Any]
    capabilities = Capabilities(state=True)

    def __init__(self, n: int = 20) -> None:
        if not isinstance(n, int) or n < 1:
            raise UserError(f"n={n!r} is not a number of bits; expected an integer of at least 1 (nearest: 1)")
        self.n = self.horizon = n
        self.factors = tuple(f"bit_{index}" for index in range(self.n))
        bits = spaces.Box(0.0, 1.0, (self.n,), np.float32)
        self.observation_space = spaces.Dict({"observation": bits, "achieved_goal": bits, "desired_goal": bits})
        self.action_space = spaces.Discrete(self.n)
        self._bits: Floats | None = None
        self._goal: Floats = np.zeros(self.n, np.float32)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        options = options or {}
        if self._bits is None or not options.get("keep_state"):
            self._bits = self._random_bits(1, self.np_random)[0]
        # The goal is drawn even where one is given, so that commanding a goal does not shift the stream of later starts.
        drawn = self._random_bits(1, self.np_random)[0]
        self._goal = drawn if options.get("goal") is None else self._checked_goal(options["goal"])
        self._steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        if self._bits is None:
            raise UserError("step() before reset(); expected reset() first")
        index = np.asarray(action)
        if index.size != 1 or not 0 <= index.item() < self.n or index.item() != int(index.item()):
            raise UserError(f"action {action!r} is not a bit; expected an integer from 0 to {self.n - 1}")
        self._bits = self._bits.copy()
        self._bits[int(index.item())] = 1.0 - self._bits[int(index.item())]
        self._steps += 1
        reward = float(self.compute_reward(self._bits, self._goal, {}))
        terminated = bool(self.compute_terminated(self._bits, self._goal, {}))
        return self._observe(), reward, terminated, not terminated and self._steps >= self.horizon, {"is_success": terminated}

    def compute_reward(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Floats:
        """Return 0 where all bits agree, otherwise -1, over the leading axes of (..., n)."""
        return np.asarray(self.success(achieved_goal, desired_goal), np.float32) - np.float32(1.0)

    def compute_terminated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return where all bits agree, over the leading axes of (..., n)."""
        return self.success(achieved_goal, desired_goal)

    def compute_truncated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return false: only the clock truncates."""
        return np.zeros(np.shape(achieved_goal)[:-1], np.bool_)

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        """Return where all bits agree, over the leading axes of (..., n)."""
        return np.asarray(self.metrics(achieved_goal, desired_goal)["distance"] == 0)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``distance``: the Hamming distance in bits. Values are rounded, so that a decoded goal counts too."""
        return {"distance": np.asarray(np.sum(np.rint(achieved_goal) != np.rint(desired_goal), axis=-1), np.float32)}

    def sample_goals(self, n: int, generator: np.random.Generator) -> GoalSet:
        """Return `n` uniform bit patterns."""
        bits = self._random_bits(n, generator)
        return GoalSet(states=bits, achieved=bits.copy())

    def fixed_goals(self, split: str) -> GoalSet:
        """Return the 100 goals of `split`, always the same for a given n. Raises `UserError` for an unknown split."""
        if split not in _SPLITS:
            raise unknown("split", split, _SPLITS)
        return self.sample_goals(_GOALS_PER_SPLIT, np.random.default_rng([_SPLITS[split], self.n]))

    def render_state(self, state: Floats) -> Images:
        """Raise `UserError`: bits have no picture."""
        raise UserError("gcrl/BitFlip-v0 has no pictures; expected an environment whose capabilities.render_state is true")

    def get_state(self) -> bytes:
        """Return the exact state: bits, goal, clock and generator."""
        if self._bits is None:
            raise UserError("get_state() before reset(); expected reset() first")
        values = {"n": self.n, "steps": self._steps, "generator": generator_state(self.np_random)}
        return pack("gcrl/BitFlip-v0", values, {"bits": self._bits, "goal": self._goal})

    def set_state(self, state: bytes) -> None:
        """Go back to a state of `get_state`. Raises `UserError` for foreign bytes or another number of bits."""
        values, arrays = unpack("gcrl/BitFlip-v0", state)
        if values["n"] != self.n:
            raise UserError(f"state has {values['n']} bits; expected {self.n}")
        self._bits, self._goal, self._steps = arrays["bits"], arrays["goal"], int(values["steps"])
        self.np_random.bit_generator.state = values["generator"]

    def _random_bits(self, n: int, generator: np.random.Generator) -> Floats:
        return generator.integers(0, 2, size=(n, self.n)).astype(np.float32)

    def _checked_goal(self, goal: Any) -> Floats:
        bits = np.asarray(goal, np.float32)
        if bits.shape != (self.n,) or not np.isin(bits, (0.0, 1.0)).all():
            raise UserError(f"goal of shape {bits.shape} is not a bit pattern; expected ({self.n},) zeros and ones")
        return bits.copy()

    def _observe(self) -> dict[str, Any]:
        assert self._bits is not None
        return {"observation": self._bits.copy(), "achieved_goal": self._bits.copy(), "desired_goal": self._goal.copy()}
