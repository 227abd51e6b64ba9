"""The fault storm of `make soak`: twenty `kill -9` at random times, of learner and collector in turn, and nothing to show for it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
from run_cases import DOOR, Command, differences, outcome, practise

from gcrl import checkpoint
from gcrl.metrics_log import read_metrics

KILLS = int(os.environ.get("GCRL_SOAK_KILLS", "20"))
LONGEST = 12.0  # s from one kill to the next, at most; starting takes some of it
RUN = [*DOOR, "practice.reset_every=0", "practice.collector_process=true", "practice.epochs=30", "practice.updates_per_epoch=100"]


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_random_kills_change_nothing(tmp_path: Path) -> None:
    """Kill and resume until `KILLS` kills have struck; every run that finished must equal the undisturbed one."""
    undisturbed = tmp_path / "undisturbed"
    command = practise(undisturbed, RUN)
    assert command.wait() == 0, command.said
    expected = outcome(undisturbed)
    storm = Storm(np.random.default_rng(20), tmp_path)
    runs = 0
    while storm.kills < KILLS:
        folder = tmp_path / f"run_{runs}"
        storm.finish(folder)
        assert differences(expected, outcome(folder)) == []
        runs += 1
    print(
        f"{storm.kills} kills ({storm.struck['learner']} of the learner, {storm.struck['collector']} of the collector) over {runs} runs of"
    )
    print(
        f"{len(read_metrics(undisturbed))} epochs, {storm.resumed} resumed; {len(expected)} figures, tensors and columns equal bit for bit"
    )


class Storm:
    """Kills at random times, learner and collector in turn."""

    def __init__(self, generator: np.random.Generator, place: Path) -> None:
        self.generator, self.place = generator, place
        self.kills = self.resumed = 0
        self.struck = {"learner": 0, "collector": 0}

    def finish(self, folder: Path) -> None:
        """Bring the run in `folder` to its end through the storm."""
        saved = 0
        command = practise(folder, RUN)
        while True:
            struck = self.strike(command)
            if struck == "collector":
                continue
            if struck is None:
                code = command.wait()
                assert code == 0, command.said
                return
            command.wait()
            epochs = epochs_saved(folder)
            assert saved <= epochs
            assert len(read_metrics(folder)) - 1 <= epochs  # no more than the epoch in flight is lost
            assert_readable(folder, epochs)
            saved = epochs
            self.resumed += 1
            # Killed before there was a run, it is begun again.
            command = Command(folder, "resume", str(folder)) if (folder / "config.yaml").exists() else practise(folder, RUN)

    def strike(self, command: Command) -> str | None:
        """Wait and kill; return who was killed, or None where the command has ended by itself or the storm is over."""
        if self.kills >= KILLS:
            return None
        command.process.join(self.generator.uniform(0, LONGEST))
        if command.process.exitcode is not None:
            return None
        victim = "learner" if self.kills % 2 == 0 else "collector"
        pid = command.process.pid if victim == "learner" else collector_of(command.process.pid)
        if pid is None:  # not started yet
            return "collector"
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return "collector"
        self.kills += 1
        self.struck[victim] += 1
        print(f"{time.strftime('%H:%M:%S')} kill {self.kills}: {victim}", flush=True)
        return victim


def collector_of(pid: int) -> int | None:
    """Return the process id of a learner's collector."""
    try:
        for child in psutil.Process(pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                return int(child.pid)
    except psutil.Error:
        pass
    return None


def epochs_saved(folder: Path) -> int:
    """Return the epoch of the newest checkpoint, 0 without one."""
    return int(checkpoint.load(folder / "checkpoint")["epoch"]) if (folder / "checkpoint" / checkpoint.INDEX).exists() else 0


def assert_readable(folder: Path, epochs: int) -> None:
    """Read all that a killed run wrote with nothing but h5py."""
    if not epochs:
        return
    with h5py.File(folder / "practice.h5", "r") as file:
        columns: dict[str, Any] = {}
        file.visititems(lambda name, item: columns.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    assert len(columns["episodes/start"]) >= 8 * epochs
    assert len(columns["steps/observation/image"]) >= 8 * epochs * 11
