"""A run's folder: begun once, refused where another run lives, and told apart from one that was damaged."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from envs.api import TaskEnv
from envs.errors import UserError
from gcrl.config import read_settings, write_settings
from gcrl.practice_data import require_space
from gcrl.settings import Settings
from gcrl.system import write_system


def refuse_used(folder: Path) -> None:
    """Raise `UserError` where `folder` holds a run, or is no folder."""
    if (folder / "config.yaml").exists():
        raise UserError(f"run_dir={folder} already holds a run; `gcrl resume {folder}` goes on, or choose another run_dir")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"run_dir={folder} is a file; expected a new folder")


def require_alike(settings: Settings, start: Path) -> None:
    """Raise `UserError` where the run in folder `start` has another agent, or another environment, than `settings` names."""
    if not (start / "config.yaml").exists():
        raise UserError(f"init_from={start} is not a run folder: it has no config.yaml; expected one that `gcrl practice` made")
    other = read_settings(start / "config.yaml")
    for name, has, wanted in (("agent", other.agent.target, settings.agent.target), ("env.id", other.env_id, settings.env_id)):
        if has != wanted:
            raise UserError(f"init_from={start} has {name}={has}; expected {wanted}, as in this run")


def start_folder(folder: Path, settings: Settings, env: TaskEnv) -> int:
    """Make a run's folder with its settings, command line and system; return about how many bytes the run will write.

    Raises:
        UserError: the disk has less free, or the folder cannot be made.
    """
    needed = require_space(folder, settings, env)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"run_dir={folder} cannot be made: {error.strerror}; expected a folder that may be written to") from error
    (folder / "command.txt").write_text(shlex.join(["gcrl", *sys.argv[1:]]) + "\n", encoding="utf-8")
    write_system(folder)
    keep_settings(folder, settings)  # last: a folder with this file is a run
    return needed


def keep_settings(folder: Path, settings: Settings) -> None:
    """Write a run's settings into its folder, at once."""
    write_settings(settings, folder / "config.yaml.tmp")
    os.replace(folder / "config.yaml.tmp", folder / "config.yaml")


@contextlib.contextmanager
def checkpoint_of(folder: Path) -> Iterator[None]:
    """Turn what a checkpoint with missing or altered entries makes the body raise into a `UserError` of one line."""
    try:
        yield
    except UserError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise UserError(
            f"the checkpoint in {folder}/checkpoint does not fit this run: {reason}; expected one that this run wrote"
        ) from error
