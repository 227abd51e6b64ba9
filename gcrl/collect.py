"""``gcrl collect``: a dataset of episodes, made in order by one or several processes, and gone on with where it was broken off."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs.api import TaskEnv
from envs.errors import UserError
from gcrl.arguments import at_least, parse, share
from gcrl.collecting import Collection, EpisodeMaker, choose_policy
from gcrl.config import read_settings
from gcrl.data import Header, Reader, Writer
from gcrl.faults import fault
from gcrl.interrupt import Interrupt
from gcrl.output import check_output, clear_output, require_room, row_bytes
from gcrl.progress import Progress
from gcrl.workers import Workers

PAUSE = 10.0  # s between lines of progress away from a terminal


@dataclass
class Arguments:
    """What is typed after ``gcrl collect``, the environment aside; see `Collection` for what shapes the episodes."""

    out: str
    episodes: int
    policy: str = "scripted"
    seed: int = 0
    workers: int = 1  # processes; the episodes are the same whatever their number
    simulators: int = 8
    noise: float = 0.3
    random_share: float = 0.1
    random_hold: int = 1
    play_goals: int = 10
    explore: bool = False
    states: bool = False
    resume: bool = False
    overwrite: bool = False


def collect(overrides: Sequence[str]) -> dict[str, Any]:
    """Make the dataset that `overrides` describe (``env=door policy=scripted episodes=100 out=data.h5``).

    Returns {file, episodes, steps, success_rate, policy}: success by the task's test at each episode's last step, on its commanded goal.
    Ctrl-C ends it after the pieces in progress, with `KeyboardInterrupt`; the file is whole and can be resumed.
    Raises `UserError` for bad arguments, an output that exists, a file of other settings to resume, a full disk.
    """
    with Interrupt("stopping after the episodes in progress") as interrupt:
        return _collect(overrides, interrupt)


def _collect(overrides: Sequence[str], interrupt: Interrupt) -> dict[str, Any]:
    given, environment = parse(Arguments, overrides, "collect")
    at_least(1, episodes=given.episodes, workers=given.workers, simulators=given.simulators)
    at_least(1, random_hold=given.random_hold, play_goals=given.play_goals)
    at_least(0, seed=given.seed)
    share(noise=given.noise, random_share=given.random_share)
    what = _collection(given, environment)
    path = Path(given.out)
    resume = check_output(path, given.resume, given.overwrite)
    maker = EpisodeMaker(dataclasses.replace(what, simulators=1), 1)  # what is wrong shows before anything is written
    try:
        if not maker.env.capabilities.copies:
            _require_one(given, what.env_id)
        header = maker.header(what)
        row = 8 * header.state_dim + row_bytes(maker.env) + (row_bytes(maker.env) // max(1, maker.env.horizon) if maker.draws_goals else 0)
        with _writer(path, header, what, given, resume) as writer:
            progress = Progress(given.episodes, len(writer), unit="episode", pause=PAUSE)
            left = given.episodes - len(writer)
            if left:
                require_room(path, left * (maker.env.horizon + 1) * (row + 64), f"{left:,} episodes")
            if not maker.env.capabilities.copies:
                maker.close()  # lets go of the robot, which those who act take hold of
            _fill(writer, what, given, progress, interrupt)
        return {"file": str(path), **_summary(path, maker.env), "policy": given.policy}
    finally:
        maker.close()


def _collection(given: Arguments, environment: tuple[str, dict[str, Any]] | None) -> Collection:
    folder = choose_policy(given.policy)
    if environment is None and folder:
        settings = read_settings(Path(folder) / "config.yaml")
        environment = settings.env_id, settings.env_arguments
    if environment is None:
        raise UserError("missing env=NAME, the environment to collect in; `gcrl list env` shows them")
    named = ("policy", "seed", "simulators", "noise", "random_share", "random_hold", "play_goals", "explore", "states")
    return Collection(*environment, **{name: getattr(given, name) for name in named}, run=folder)


def _require_one(given: Arguments, env_id: str) -> None:
    """Raise `UserError` where several were to act and there is only one robot."""
    for name in ("simulators", "workers"):
        if getattr(given, name) > 1:
            raise UserError(f"{name}={getattr(given, name)}, but there is only one of {env_id}; expected simulators=1 workers=1")


def _writer(path: Path, header: Header, what: Collection, given: Arguments, resume: bool) -> Writer:
    """Return the writer of a new file, or of the existing one cut back to whole pieces."""
    if not resume:
        if given.overwrite:
            clear_output(path)
        return Writer(path, header)
    writer = Writer(path)
    try:
        _require_same(path, writer.header, header)
        if len(writer) > given.episodes:
            raise UserError(f"{path} holds {len(writer)} episodes already; expected episodes={len(writer)} or more to go on with it")
        if len(writer) < given.episodes:  # the last piece may be shorter than it will be now
            writer.truncate(len(writer) // what.piece * what.piece)
    except UserError:
        writer.close()
        raise
    return writer


def _require_same(path: Path, found: Header, expected: Header) -> None:
    """Raise `UserError` naming the first setting in which a file differs from what was asked for."""
    for name in ("env_id", "env_arguments", "observation_space", "action_space", "goal_dim", "image_goal", "state_dim"):
        mine, theirs = getattr(expected, name), getattr(found, name)
        if mine != theirs:
            raise UserError(f"{path} was made with another {name}: {theirs}; expected {mine} to resume it")
    if "collect" not in found.config:
        raise UserError(f"{path} was not made by gcrl collect; expected a file of it to resume")
    for name, mine in expected.config["collect"].items():
        theirs = found.config["collect"].get(name)
        if mine != theirs:
            raise UserError(f"{path} was made with {name}={theirs}; expected that to resume it, not {name}={mine}")


def _fill(writer: Writer, what: Collection, given: Arguments, progress: Progress, interrupt: Interrupt) -> None:
    """Append what is missing, piece by piece in order, until Ctrl-C."""
    pieces = range(len(writer) // what.piece, -(-given.episodes // what.piece)) if len(writer) < given.episodes else range(0)
    workers = Workers(functools.partial(EpisodeMaker, what, given.episodes), given.workers)
    steps = 0
    interrupt.say = progress.say
    try:
        for episodes in workers.results(pieces, stop=lambda: interrupt.asked):
            fault("collect:piece")
            writer.append(episodes)
            fault("collect:appended")
            steps += episodes.steps
            progress.advance(len(episodes), steps)
        if len(writer) < given.episodes:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        progress.say(f"{len(writer)} of {given.episodes} episodes are in {writer.path}; the same command with resume=true makes the others")
        raise
    finally:
        progress.close()
    if workers.restarts:
        progress.say(f"{workers.restarts} worker processes died and were replaced")


def _summary(path: Path, env: TaskEnv) -> dict[str, Any]:
    with Reader(path) as reader:
        ends = reader.read("achieved_goal", reader.starts + reader.lengths)
        reached = env.success(ends, reader.file["goals/achieved"][: len(reader)])
        return {"episodes": len(reader), "steps": int(reader.lengths.sum()), "success_rate": float(np.mean(reached))}
