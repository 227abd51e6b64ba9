"""Tiny runs for tests of the loop: started in processes that can be killed, and compared file by file."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gcrl import checkpoint
from gcrl.config import load_settings
from gcrl.metrics_log import read_metrics
from gcrl.settings import Settings

COMMON = [
    "practice.epochs=4",
    "practice.episodes_per_epoch=8",
    "practice.simulators=4",
    "practice.eval_every=2",
    "practice.eval_episodes=4",
    "practice.final_goals=4",
    "practice.film_goals=1",
    "practice.collector_process=false",
]
BITFLIP = [
    "experiment=bitflip",
    "env.n=5",
    "agent.hidden=[16]",
    "agent.batch_size=16",
    "practice.updates_per_epoch=20",
    *COMMON,
    "practice.epochs=5",  # the last with an evaluation on tuning goals
]
DOOR = [
    "experiment=door",
    "env.image_size=48",
    "env.horizon=10",
    "representation.latent_dim=4",
    "representation.first_steps=20",
    "representation.refit_steps=10",
    "representation.batch_size=32",
    "goal_sampler.candidates=256",
    "agent.hidden=[16,16]",
    "agent.batch_size=32",
    *COMMON,
    "practice.updates_per_epoch=10",
    "practice.random_epochs=1",
    "practice.refit_every=2",
]

_SERVER = multiprocessing.get_context("forkserver")  # processes that have everything imported already
_SERVER.set_forkserver_preload(
    ["gcrl.cli", "gcrl.practice", "gcrl.report", "envs.door", "torch.utils.tensorboard", "hydra", "matplotlib.figure"]
)


def settings(overrides: list[str], folder: Path, *more: str) -> Settings:
    """Return the settings of a tiny run in `folder`."""
    return load_settings([*overrides, *more, f"run_dir={folder}"])


def _command(arguments: list[str], fault: str, said: str, file_limit: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests started in the background inherit an ignored Ctrl-C
    with open(said, "wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    if fault:
        os.environ["GCRL_FAULT"] = fault
    if file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    from gcrl import cli

    cli.main(arguments)


class Command:
    """One `gcrl` command in a process of its own; `said` is what it printed."""

    def __init__(self, folder: Path, *arguments: str, fault: str = "", file_limit: int = 0) -> None:
        self._said = folder.parent / f"{folder.name}.said"
        self.process: Any = _SERVER.Process(target=_command, args=(list(arguments), fault, str(self._said), file_limit))
        self.process.start()

    def wait(self) -> int:
        """Return the exit code; -9 for a killed process."""
        self.process.join(120)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            raise TimeoutError(self.said)
        return int(code)

    @property
    def said(self) -> str:
        return self._said.read_text()


def practise(folder: Path, overrides: list[str], *more: str, **faults: Any) -> Command:
    """Start `gcrl practice` in `folder`."""
    return Command(folder, "practice", *overrides, *more, f"run_dir={folder}", **faults)


def resume(folder: Path) -> None:
    """Run `gcrl resume` to its end."""
    command = Command(folder, "resume", str(folder))
    assert command.wait() == 0, command.said


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    """Return {path: leaf} of nested dicts and lists."""
    if isinstance(tree, dict | list | tuple):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {name: leaf for key, value in items for name, leaf in flat(value, f"{path}/{key}").items()}
    return {path: tree}


def outcome(folder: Path) -> dict[str, Any]:
    """Return all that must not depend on faults: the final checkpoint's leaves, the metrics, the dataset; times and restarts left out."""
    leaves = {name: leaf for name, leaf in flat(checkpoint.load(folder / "checkpoint")).items() if name not in ("/wall_s", "/restarts")}
    timed = ("time/", "wall_s", "collector/")
    rows = [{key: value for key, value in row.items() if not key.startswith(timed)} for row in read_metrics(folder)]
    with h5py.File(folder / "practice.h5") as file:
        columns: dict[str, Any] = {}
        file.visititems(lambda name, item: columns.update({f"h5/{name}": item[()]}) if isinstance(item, h5py.Dataset) else None)
    return leaves | columns | {f"metrics/{row['epoch']}/{key}": value for row in rows for key, value in row.items()}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names under which two outcomes differ by as much as a bit."""
    names = [*one, *(name for name in other if name not in one)]
    return [name for name in names if name not in one or name not in other or not _same(one[name], other[name])]


def _same(one: Any, other: Any) -> bool:
    if hasattr(one, "detach"):
        one, other = one.detach().numpy(), other.detach().numpy()
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(type(one) is type(other) and (one == other or (one != one and other != other)))  # NaN is like NaN


def finish_steps(run: Any) -> None:
    """Run a `Practice` to its last epoch and close it; the evaluation and the report that follow are left out."""
    while run.epoch < run.practice.epochs:
        run.step()
    run.close()
