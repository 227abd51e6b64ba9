"""Pictures from foreign environments' own cameras."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from envs.api import Images
from envs.errors import UserError
from envs.foreign_inside import first_line, load_entry, mujoco_viewer, runs_on_mujoco
from envs.signatures import keywords

_SIZES = ("width", "height", "render_width", "render_height")


def drawing_arguments(env_id: str, size: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to build `env_id` with so that it draws, at `size` pixels where it can be told (faster than shrinking)."""
    takes = keywords(load_entry(gymnasium.spec(env_id))) - set(given)
    return {"render_mode": "rgb_array", **{name: size for name in _SIZES if name in takes}}


def draw(env: gymnasium.Env[Any, Any], env_id: str, size: int) -> Images:
    """Return the (size, size, 3) uint8 picture of `env`'s own camera. Raises `UserError` where there is no renderer."""
    from PIL import Image

    if runs_on_mujoco(env) and not _mujoco_can_draw():
        raise _no_pictures(env_id, "MuJoCo has no OpenGL context without a display")
    try:
        viewer = mujoco_viewer(env)
        if viewer is not None:
            viewer.make_context_current()  # or it draws black once another environment of this process has drawn, or was closed
        frame = env.render()
    except Exception as error:  # every renderer fails in its own way; all of them mean the same to the user
        raise _no_pictures(env_id, error) from error
    if not isinstance(frame, np.ndarray) or frame.ndim != 3:
        raise _no_pictures(env_id, f"render() returned {type(frame).__name__}")
    return np.asarray(Image.fromarray(np.asarray(frame[..., :3], np.uint8)).resize((size, size), Image.Resampling.BOX), np.uint8)


def put_away(env: gymnasium.Env[Any, Any]) -> None:
    """Free what `env` drew with, then close it.

    Left to the garbage collector, a MuJoCo viewer would free its buffers by their numbers in whichever OpenGL context is current by
    then: another environment's, which draws black from there on.
    """
    viewer = mujoco_viewer(env)
    if viewer is not None:
        viewer.make_context_current()
        viewer.con.free()
    env.close()


def _mujoco_can_draw() -> bool:
    """Return false where MuJoCo is bound to fail: its default library needs a display, and a second failure ends the process."""
    headless = sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return not headless or os.environ.get("MUJOCO_GL", "").lower() in ("egl", "osmesa")


def _no_pictures(env_id: str, error: object) -> UserError:
    return UserError(
        f"{env_id} draws no pictures here ({first_line(error)}); expected image_size=0, or a renderer: set MUJOCO_GL=egl (or osmesa) first"
    )
