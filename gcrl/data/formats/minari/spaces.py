"""Spaces as Minari writes them in ``metadata.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.errors import UserError


def to_minari(space: spaces.Space[Any]) -> dict[str, Any]:
    """Return a Box, Discrete, MultiBinary or Dict of them as JSON values; bounds in full."""
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "subspaces": {key: to_minari(part) for key, part in space.spaces.items()}}
    if isinstance(space, spaces.Box):
        bounds = {"low": space.low.tolist(), "high": space.high.tolist()}
        return {"type": "Box", "dtype": str(space.dtype), "shape": list(space.shape)} | bounds
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "dtype": "int64", "start": int(space.start), "n": int(space.n)}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    raise UserError(f"space {type(space).__name__} cannot be written for Minari; expected one of: Box, Dict, Discrete, MultiBinary")


def from_minari(described: Mapping[str, Any]) -> spaces.Space[Any]:
    """Build the space that Minari described. Raises `UserError` for kinds that our format has no place for, KeyError for nonsense."""
    kind = described["type"]
    if kind == "Dict":
        return spaces.Dict({key: from_minari(part) for key, part in described["subspaces"].items()})
    if kind == "Box":
        dtype = np.dtype(described["dtype"])
        low, high = np.array(described["low"], dtype), np.array(described["high"], dtype)
        return spaces.Box(low, high, tuple(described["shape"]), dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(described["n"], start=described["start"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(described["n"])
    raise UserError(f"a space of kind {kind} cannot be imported; expected one of: Box, Dict, Discrete, MultiBinary")
