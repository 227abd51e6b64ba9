"""The bytes of a PyBullet task's exact state: a mark, its variables as JSON, then the simulator's own file."""

from __future__ import annotations

import json
import struct
from typing import Any

from envs.errors import UserError

MAGIC = b"gcrl-state-1"


def write_state(variables: dict[str, Any], world: bytes) -> bytes:
    """Return `variables` (what JSON can hold, with ``task``) and a simulation's `world` as bytes."""
    head = json.dumps(variables).encode()
    return MAGIC + struct.pack("<I", len(head)) + head + struct.pack("<I", len(world)) + world


def read_state(task: str, state: bytes) -> tuple[dict[str, Any], bytes]:
    """Return what `write_state` was given. Raises `UserError` for bytes that are foreign, cut short or of another task than `task`."""
    start = len(MAGIC) + 4
    if len(state) < start or not state.startswith(MAGIC):
        raise UserError(f"not a simulator state: {len(state)} bytes that do not begin with {MAGIC!r}; expected what get_state() returned")
    end = start + struct.unpack("<I", state[len(MAGIC) : start])[0]
    size = struct.unpack("<I", state[end : end + 4])[0] if len(state) >= end + 4 else -1
    if len(state) != end + 4 + size:
        raise UserError(f"a simulator state of {len(state)} bytes is cut short or altered; expected all that get_state() returned")
    variables = json.loads(state[start:end])
    if variables["task"] != task:
        raise UserError(f"simulator state of task '{variables['task']}'; expected one of '{task}'")
    return variables, state[end + 4 :]
