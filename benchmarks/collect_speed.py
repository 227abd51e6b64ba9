"""Measure ``gcrl collect`` with two workers against one: simulators, pictures, compression, writing.

    python benchmarks/collect_speed.py [--out results/collect_speed.json]

A rate is that of a command under way: each round also times the first SHORT episodes, which is mostly starting, and takes them off. The
time to start stands beside it. So does what the machine itself gives: two commands of one worker each, side by side, against one alone.
Rounds alternate; figures are medians over them. Needs two idle cores.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gcrl.system import system

REQUIRED = 1.6  # two workers against one
SHORT = 16  # episodes
TASKS = ("push", "door")


def start(task: str, episodes: int, workers: int, out: Path) -> subprocess.Popen[bytes]:
    """Start collecting `episodes` of noisy expert practice with 48-pixel pictures."""
    given = [f"env={task}", "policy=noisy-scripted", f"episodes={episodes}", f"workers={workers}", f"out={out}", "overwrite=true"]
    return subprocess.Popen([sys.executable, "-m", "gcrl", "collect", *given], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seconds(commands: list[tuple[str, int, int, Path]]) -> float:
    """Return how long `commands`, started together, take until the last one ends."""
    began = time.perf_counter()
    codes = [process.wait() for process in [start(*command) for command in commands]]
    if any(codes):
        raise RuntimeError(f"gcrl collect ended with {codes}")
    return time.perf_counter() - began


def measure(task: str, episodes: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Return episodes per second under way of one worker, two workers, and two commands side by side, and their ratios to one worker."""
    ways = {"one_worker": ((1,), ("one",)), "two_workers": ((2,), ("two",)), "two_commands": ((1, 1), ("left", "right"))}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    starts: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (workers, files) in ways.items():
            short, whole = (
                seconds([(task, count, crew, folder / f"{file}.h5") for crew, file in zip(workers, files)]) for count in (SHORT, episodes)
            )
            starts[name].append(short)
            rates[name].append((episodes - SHORT) * len(workers) / (whole - short))
    one = np.array(rates["one_worker"])
    figures = {f"{name}_per_s": float(np.median(values)) for name, values in rates.items()}
    figures |= {f"{name}_first_s": float(np.median(values)) for name, values in starts.items()}
    ratios = {name: np.array(values) / one for name, values in rates.items() if name != "one_worker"}
    return figures | {name: {"ratio": float(np.median(values)), "rounds": values.round(3).tolist()} for name, values in ratios.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--episodes", type=int, default=416)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    figures: dict[str, Any] = {"episodes": given.episodes, "required": REQUIRED}
    passed = True
    with tempfile.TemporaryDirectory() as folder:
        for task in TASKS:
            found = figures[task] = measure(task, given.episodes, given.rounds, Path(folder))
            two, bound = found["two_workers"]["ratio"], found["two_commands"]["ratio"]
            print(f"{task}: {found['one_worker_per_s']:.1f} episodes/s with one worker, {found['two_workers_per_s']:.1f} with two")
            print(f"  two workers {two:.2f} x one (required: {REQUIRED}); two commands side by side {bound:.2f} x")
            passed &= two >= REQUIRED
    if given.out:
        versions = {name: version(name) for name in ("numpy", "pybullet", "h5py")} | {"python": platform.python_version()}
        figures |= {"passed": passed, "versions": versions, "system": system(), "command": shlex.join(["python", *sys.argv])}
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
