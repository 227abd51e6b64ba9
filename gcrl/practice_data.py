"""The dataset that a run writes while it practises, and the room that it needs."""

from __future__ import annotations

import shutil
from pathlib import Path

from envs.api import TaskEnv
from envs.errors import UserError
from gcrl.config import plain_settings
from gcrl.data import Header, Writer
from gcrl.output import row_bytes
from gcrl.settings import Settings
from gcrl.system import git_revision


def open_writer(path: Path, settings: Settings, env: TaskEnv, goal_dim: int, keep_episodes: int) -> Writer:
    """Return the run's dataset writer: a new file, or the existing one cut back to its first `keep_episodes` episodes.

    Raises:
        UserError: the file is no dataset, is of another environment, or holds fewer episodes.
    """
    header = header_of(settings, env, goal_dim)
    if not path.exists():
        if keep_episodes:
            raise UserError(f"{path} is missing; expected the dataset of {keep_episodes} episodes that the checkpoint counts on")
        return Writer(path, header)
    writer = Writer(path)
    try:
        check_origin(path, writer.header, header)
        writer.truncate(keep_episodes)
    except UserError:
        writer.close()
        raise
    return writer


def header_of(settings: Settings, env: TaskEnv, goal_dim: int) -> Header:
    """Return what the run's dataset says about itself."""
    return Header(
        env_id=settings.env_id,
        env_arguments=settings.env_arguments,
        observation_space=env.observation_space,
        action_space=env.action_space,
        goal_dim=goal_dim,
        image_goal=env.capabilities.images,
        factors=list(env.factors),
        config=plain_settings(settings),
        git_revision=git_revision() or "",
        sampler=settings.goal_sampler.target,
    )


def check_origin(path: Path, found: Header, expected: Header) -> None:
    """Raise `UserError` where a dataset's header is not of this run's environment and goals."""
    for name in ("env_id", "env_arguments", "observation_space", "action_space", "goal_dim", "image_goal"):
        mine, theirs = getattr(expected, name), getattr(found, name)
        if mine != theirs:
            raise UserError(f"{path} is of another run: its {name} is {theirs}; expected {mine}, as in this run's config.yaml")


def expected_bytes(settings: Settings, env: TaskEnv) -> int:
    """Return about how many bytes the whole run will write: dataset, latents in two checkpoints, networks."""
    practice = settings.practice
    rows = practice.epochs * practice.episodes_per_epoch * (env.horizon + 1)
    return rows * (row_bytes(env) + 64) + 50_000_000


def require_space(folder: Path, settings: Settings, env: TaskEnv) -> int:
    """Return about how many bytes the run will write; raise `UserError` where the disk has less free."""
    needed = expected_bytes(settings, env)
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise UserError(f"run_dir={folder} has {free / 1e6:.0f} MB free; expected {needed / 1e6:.0f} MB, about what this run will write")
    return needed
