"""What our header says about a dataset that comes from Minari."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gymnasium import spaces

from envs.errors import UserError
from gcrl.data.schema import NOT_STORED, Header


def header_of(path: Path, metadata: dict[str, Any], space: spaces.Dict, action_space: spaces.Space[Any]) -> Header:
    """Return the header: our own where our exporter wrote it down, else one made from Minari's metadata.

    Raises `UserError` for spaces that our format has no place for.
    """
    nested = [key for key, part in space.items() if isinstance(part, spaces.Dict)]
    if nested or isinstance(action_space, spaces.Dict):
        what = f"observation {nested[0]}" if nested else "action"
        raise UserError(f"{path}: its {what} is a mapping of several parts; expected an array")
    if "gcrl" in metadata:
        ours = _ours(path, metadata["gcrl"], space)
        if ours is not None:
            return ours
    aliases = {}
    parts = dict(space.spaces)
    if "achieved_goal" not in parts:
        observation = parts.get("observation")
        if observation is None or len(observation.shape or ()) != 1:
            raise UserError(f"{path} has neither achieved_goal nor a vector observation to stand for it; it has {', '.join(parts)}")
        parts["achieved_goal"], aliases = observation, {"achieved_goal": "observation"}
    parts.setdefault("desired_goal", parts["achieved_goal"])
    if parts["desired_goal"].shape != parts["achieved_goal"].shape:
        shapes = f"{parts['desired_goal'].shape} and {parts['achieved_goal'].shape}"
        raise UserError(f"{path}: desired_goal and achieved_goal differ in shape ({shapes}); expected the same")
    spec = _spec(metadata)
    return Header(
        env_id=str(spec.get("id") or metadata.get("dataset_id", "")),
        env_arguments=dict(spec.get("kwargs") or {}),
        observation_space=spaces.Dict(parts),
        action_space=action_space,
        goal_dim=_size(parts["achieved_goal"]),
        image_goal=_has_goal_pictures(parts),
        aliases=aliases,
        config={"minari": {key: value for key, value in metadata.items() if key not in ("observation_space", "action_space", "env_spec")}},
        provenance="scripted",
    )


def _ours(path: Path, attributes: dict[str, Any], space: spaces.Dict) -> Header | None:
    """Return the header that our exporter wrote down, less observations that it was told to leave out; None without achieved goals."""
    try:
        header = Header.from_attributes(attributes)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: its gcrl metadata are damaged ({type(error).__name__}: {error})") from error
    if "achieved_goal" not in space.spaces:
        return None
    kept = {key: part for key, part in header.observation_space.items() if key in space.spaces or key in NOT_STORED}
    aliases = {alias: key for alias, key in header.aliases.items() if alias in kept and key in kept}
    image_goal = header.image_goal and "goal_image" in space.spaces and "image" in kept
    return replace(header, observation_space=spaces.Dict(kept), aliases=aliases, image_goal=image_goal)


def _has_goal_pictures(parts: dict[str, Any]) -> bool:
    return "image" in parts and "goal_image" in parts and parts["image"].shape == parts["goal_image"].shape


def _size(space: spaces.Space[Any]) -> int:
    size = 1
    for side in space.shape or ():
        size *= side
    return size


def _spec(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the environment's registration as plain values; it is never executed."""
    try:
        spec = json.loads(metadata.get("env_spec") or "{}")
    except (ValueError, TypeError):
        return {}
    return spec if isinstance(spec, dict) else {}
