"""The dataset format, version 1: what a file says about itself, and spaces as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import h5py
import numpy as np
from gymnasium import spaces

from envs.errors import UserError

FORMAT = "gcrl-dataset"
VERSION = 1
PROVENANCES = {"practice": 0, "random": 1, "scripted": 2, "real": 3, "imagined": 4}
NOT_STORED = ("desired_goal", "goal_image")  # what an episode is after stands once in /goals
STEP_COLUMNS = {"reward": np.float32, "terminated": np.bool_, "truncated": np.bool_, "valid": np.bool_}
EPISODE_COLUMNS = {"length": np.int64, "seed": np.int64, "task_id": np.int32, "epoch": np.int32}


@dataclass
class Header:
    """What a dataset says about itself in its root attributes.

    goal_dim: k of ``/goals/params``. image_goal: whether ``/goals/image`` holds a picture an episode.
    aliases: observation keys that equal another one, stored once: ``{"achieved_goal": "observation"}``.
    factors: a name with its unit per entry of ``achieved_goal``. config: the run's settings.
    state_dim: m of ``/steps/state``, the environment's goal state at every row; 0 where states were not recorded.
    git_revision, sampler, provenance: where the data come from.
    """

    env_id: str
    env_arguments: dict[str, Any]
    observation_space: spaces.Dict
    action_space: spaces.Space[Any]
    goal_dim: int
    image_goal: bool = False
    aliases: dict[str, str] = field(default_factory=dict)
    factors: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    git_revision: str = ""
    sampler: str = ""
    provenance: str = "practice"
    state_dim: int = 0

    def stored_keys(self) -> list[str]:
        """Return the observation keys that have a dataset of their own."""
        return [key for key in self.observation_space.spaces if key not in NOT_STORED and key not in self.aliases]

    def step_columns(self) -> list[str]:
        """Return the names of what is stored once a row, below ``/steps``."""
        return [*(f"observation/{key}" for key in self.stored_keys()), "action", *STEP_COLUMNS, *["state"] * bool(self.state_dim)]

    def attributes(self) -> dict[str, Any]:
        """Return the root attributes: strings, numbers and JSON."""
        numbers = {"format_version": VERSION, "goal_dim": self.goal_dim, "image_goal": self.image_goal}
        numbers |= {"state_dim": self.state_dim} if self.state_dim else {}
        texts = {"env_id": self.env_id, "git_revision": self.git_revision, "sampler": self.sampler, "provenance": self.provenance}
        described = {"observation_space": space_to_dict(self.observation_space), "action_space": space_to_dict(self.action_space)}
        nested = described | {"env_arguments": self.env_arguments, "aliases": self.aliases, "config": self.config}
        names = {"factors": np.array(self.factors, dtype=h5py.string_dtype())}
        return {"format": FORMAT} | numbers | texts | names | {key: json.dumps(value) for key, value in nested.items()}

    def as_json(self) -> dict[str, Any]:
        """Return the attributes as plain JSON values, which `from_attributes` takes too: what other formats carry along (no states)."""
        return {**replace(self, state_dim=0).attributes(), "factors": self.factors}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Header:
        """Read back `attributes`; raises KeyError or ValueError where they are not a header's."""
        values = {key: attributes[key] for key in cls.__dataclass_fields__ if key != "state_dim"}
        for key in ("env_arguments", "aliases", "config"):
            values[key] = json.loads(values[key])
        for key in ("observation_space", "action_space"):
            values[key] = space_from_dict(json.loads(values[key]))
        values["factors"] = [name.decode() if isinstance(name, bytes) else str(name) for name in values["factors"]]
        values["goal_dim"], values["image_goal"] = int(values["goal_dim"]), bool(values["image_goal"])
        return cls(**values, state_dim=int(attributes.get("state_dim", 0)))


def stored_dtype(space: spaces.Space[Any]) -> np.dtype[Any]:
    """Return the type in which values of `space` are stored: float32 for floats, the space's own type otherwise."""
    if isinstance(space, spaces.Discrete):
        return np.dtype(np.int64)
    return np.dtype(np.float32) if np.issubdtype(space.dtype, np.floating) else np.dtype(space.dtype)


def is_picture(space: spaces.Space[Any]) -> bool:
    """Return whether values of `space` are stored as compressed pictures."""
    return space.dtype == np.uint8 and len(space.shape or ()) == 3


def space_to_dict(space: spaces.Space[Any]) -> dict[str, Any]:
    """Return `space` as plain JSON values; equal bounds become one number, infinite ones null. Raises `UserError` for other kinds."""
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "spaces": {key: space_to_dict(part) for key, part in space.spaces.items()}}
    if isinstance(space, spaces.Box):
        bounds = {"low": _bound(space.low), "high": _bound(space.high)}
        return {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype)} | bounds
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": int(space.n) if isinstance(space.n, int) else list(space.shape)}
    raise UserError(f"space {type(space).__name__} cannot be written to a dataset; expected one of: Box, Dict, Discrete, MultiBinary")


def space_from_dict(description: Mapping[str, Any]) -> spaces.Space[Any]:
    """Build the space that `space_to_dict` described; raises KeyError or ValueError for anything else."""
    kind = description["type"]
    if kind == "Dict":
        return spaces.Dict({key: space_from_dict(part) for key, part in description["spaces"].items()})
    if kind == "Box":
        shape, dtype = tuple(description["shape"]), np.dtype(description["dtype"])
        low, high = _unbound(description["low"], -np.inf, shape, dtype), _unbound(description["high"], np.inf, shape, dtype)
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(description["n"], start=description["start"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(description["n"])
    raise ValueError(f"unknown space type '{kind}'")


def _bound(values: Any) -> Any:
    bounds: list[Any] = np.asarray(np.where(np.isfinite(values), values, None)).ravel().tolist()
    if len(set(bounds)) == 1:
        return bounds[0]
    return np.array(bounds, dtype=object).reshape(np.shape(values)).tolist()


def _unbound(values: Any, infinity: float, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    filled = np.array(values, dtype=object)
    filled = np.where(filled == None, infinity, filled)  # noqa: E711 (an elementwise test)
    return np.broadcast_to(filled.astype(dtype), shape).copy()
