"""The fault storm of `make soak` for the commands that make data: twenty `kill -9` at random times, and the files are the same."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from file_cases import differing
from run_cases import Command

KILLS = int(os.environ.get("GCRL_SOAK_KILLS", "20"))
LONGEST = 6.0  # s from one kill to the next, at most; starting takes some of it
COMMANDS = {
    "collect": ["env=push", "env.image_size=48", "episodes=96", "simulators=4", "policy=noisy-scripted"],
    "play": ["env=door", "env.image_size=48", "episodes=600", "play_goals=6", "policy=play"],
    "goals": ["env=push", "env.image_size=48", "n=96"],
}


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_random_kills_change_nothing(tmp_path: Path, name: str) -> None:
    """Kill the command or one of its workers, and resume, until `KILLS` kills have struck; all files must equal the undisturbed one."""
    verb, arguments = ("collect" if name == "play" else name), COMMANDS[name]
    undisturbed = tmp_path / "undisturbed.h5"
    command = Command(tmp_path / "undisturbed", verb, *arguments, f"out={undisturbed}")
    assert command.wait() == 0, command.said
    generator = np.random.default_rng(21)
    struck = {"command": 0, "worker": 0}
    files = resumed = 0
    while sum(struck.values()) < KILLS:
        path = tmp_path / f"file_{files}.h5"
        kept = 0
        while True:
            workers = 1 if (files + resumed) % 3 == 0 else 2
            command = Command(tmp_path / "run", verb, *arguments, f"out={path}", "resume=true", f"workers={workers}")
            storm(command, generator, struck)
            code = command.wait()
            if code == 0:
                break
            assert code == -signal.SIGKILL, command.said
            resumed += 1
            if verb == "collect" and path.exists():
                with h5py.File(path, "r") as file:  # plain h5py reads what a killed process left
                    start, length = file["episodes/start"][()], file["episodes/length"][: len(file["episodes/start"])]
                    assert len(start) >= kept
                    kept = len(start) // 12 * 12
                    assert len(file["steps/action"]) >= (start + length + 1).max(initial=0)
        assert differing(undisturbed, path) == []
        files += 1
    print(f"{name}: {struck['command']} kills of the command, {struck['worker']} of a worker over {files} files, {resumed} resumed")


def storm(command: Command, generator: np.random.Generator, struck: dict[str, int]) -> None:
    """Wait and kill the command or, every other time and where it has one, a worker; return when the command is dead or done."""
    while sum(struck.values()) < KILLS:
        command.process.join(generator.uniform(0, LONGEST))
        if command.process.exitcode is not None:
            return
        crew = workers_of(command.process.pid)
        victim = "worker" if crew and generator.random() < 0.5 else "command"
        try:
            os.kill(crew[generator.integers(len(crew))].pid if victim == "worker" else command.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        struck[victim] += 1
        print(f"{time.strftime('%H:%M:%S')} kill {sum(struck.values())}: {victim}", flush=True)
        if victim == "command":
            return


def workers_of(pid: int) -> list[psutil.Process]:
    """Return the worker processes of a command."""
    try:
        return [child for child in psutil.Process(pid).children() if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []
