"""A dataset to learn from before and while practising: a second replay beside the practised one."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from envs.api import TaskEnv
from envs.errors import UserError
from gcrl.data import Reader
from gcrl.data.schema import Header
from gcrl.parts import build_replay
from gcrl.replay import Replay
from gcrl.settings import Settings
from representations.api import Representation

CHUNK = 64  # episodes read at a time
BLOCK = 1 << 22  # bytes


def load_offline(settings: Settings, env: TaskEnv, representation: Representation) -> Replay:
    """Return a replay that holds the episodes of ``settings.dataset``; latents are zero until `Replay.reencode`.

    The goals that its episodes were commanded, where it knows them, become theirs here too. Raises `UserError` for a file that is
    missing, damaged, of another environment, with other actions or pictures of another size, or empty.
    """
    path = Path(settings.dataset)
    with Reader(path) as reader:
        check_same(path, reader.header, settings.env_id, env)
        if not len(reader):
            raise UserError(f"dataset={path} holds no episodes; expected some to learn from")
        horizon = int(reader.lengths.max())
        replay = build_replay(settings, env, representation, horizon=horizon, capacity=reader.rows + horizon + 1)
        for low in range(0, len(reader), CHUNK):
            episodes = reader.episodes(np.arange(low, min(low + CHUNK, len(reader))))
            commanded = np.isfinite(episodes.goal_achieved).all(1) if episodes.goal_achieved is not None else np.zeros(len(episodes), bool)
            # Parameters belong to the representation that made the file; re-encoding takes them from pictures or achieved goals.
            params = np.where(commanded[:, None], np.float32(0), np.float32(np.nan)) * np.ones(representation.latent_dim, np.float32)
            replay.add(dataclasses.replace(episodes, goals=params, goal_rows=np.full(len(episodes), -1)))
    return replay


def check_same(path: Path, header: Header, env_id: str, env: TaskEnv) -> None:
    """Raise `UserError` naming the first thing in which a dataset's environment differs from the run's: id, actions, an observation."""
    mine: dict[str, Any] = {"env_id": env_id, "action_space": env.action_space, **env.observation_space.spaces}
    theirs = {"env_id": header.env_id, "action_space": header.action_space, **header.observation_space.spaces}
    for name in [*mine, *theirs]:
        if mine.get(name) != theirs.get(name):
            has = f"has {name} {theirs[name]}" if name in theirs else f"lacks {name}"
            raise UserError(f"dataset={path} {has}; expected {mine.get(name, f'no {name}')}, as in this run's environment")


def digest(path: str | Path) -> str:
    """Return a name of a file's contents."""
    found = hashlib.blake2b(digest_size=16)
    with Path(path).open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()
