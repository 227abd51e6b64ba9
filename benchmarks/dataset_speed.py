"""Measure the practice dataset: frames written per second, time of a random batch, size on disk; and, on request, its crash safety.

    python benchmarks/dataset_speed.py [--size 84] [--frames 20000] [--out results/dataset_speed.json]
    python benchmarks/dataset_speed.py --crash 12    (Linux with strace)

The frames look rendered: a lit plane, a moving box, no noise. With --crash N, N epochs are written under strace, the file is
built up again one write of the HDF5 library at a time, and after each plain h5py must read every episode reported by then.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from gymnasium import spaces

from gcrl.data import Header, Reader, Writer
from gcrl.episodes import Episodes

EPISODE, EPOCH, BATCH = 50, 16, 256
ACTIONS = spaces.Box(-1, 1, (3,), np.float32)


def space(size: int) -> spaces.Dict:
    """Return the observation space of a visual task."""
    vectors = {key: spaces.Box(-10, 10, (3,), np.float32) for key in ("observation", "achieved_goal", "desired_goal")}
    return spaces.Dict(vectors | {"image": spaces.Box(0, 255, (size, size, 3), np.uint8)})


def epoch(first: int, size: int) -> Episodes:
    """Return an epoch of episodes numbered from `first`; a frame's achieved goal is its episode, its time and their code."""
    numbers, times = np.arange(first, first + EPOCH), np.arange(EPISODE + 1)
    names = np.stack(np.broadcast_arrays(numbers[:, None], times, numbers[:, None] * 100 + times), axis=-1).astype(np.float32)
    ground = np.linspace(90, 160, size, dtype=np.uint8)[:, None, None] * np.ones((1, size, 3), np.uint8)
    images = np.empty((EPOCH, EPISODE + 1, size, size, 3), np.uint8)
    for index, number in enumerate(numbers):
        for t in times:
            frame = ground.copy()
            x, y = (number * 7 + t) % (size - 12), (number * 3 + t // 2) % (size - 12)
            frame[y : y + 12, x : x + 12] = (200, 60 + (number + t) % 100, 40)
            images[index, t] = frame
    goals = names[:, 0].copy()
    return Episodes(
        observations={"observation": names, "achieved_goal": names, "image": images},
        actions=np.zeros((EPOCH, EPISODE, 3), np.float32),
        terminated=np.zeros((EPOCH, EPISODE), np.bool_),
        lengths=np.full(EPOCH, EPISODE),
        seeds=numbers,
        goals=goals,
        goal_rows=np.full(EPOCH, -1),
        goal_images=images[:, 0],
        goal_achieved=goals,
        rewards=np.zeros((EPOCH, EPISODE), np.float32),
        epoch=first // EPOCH,
    )


def header(size: int) -> Header:
    """Return the header of the benchmark's dataset."""
    return Header("benchmark", {}, space(size), ACTIONS, goal_dim=3, image_goal=True)


def speed(size: int, frames: int) -> dict[str, float]:
    """Return the figures of one dataset of at least `frames` pictures of `size` pixels."""
    with tempfile.TemporaryDirectory() as folder:
        path, spent, epochs = Path(folder) / "d.h5", [], -(-frames // (EPOCH * (EPISODE + 1)))
        with Writer(path, header(size)) as writer:
            for index in range(epochs):
                some = epoch(index * EPOCH, size)
                begin = time.perf_counter()
                writer.append(some)
                spent.append(time.perf_counter() - begin)
        generator, batches, whole = np.random.default_rng(0), [], []
        with Reader(path) as reader:
            for _ in range(30):
                rows = generator.integers(0, reader.rows, BATCH)
                begin = time.perf_counter()
                reader.read("image", rows)
                batches.append(time.perf_counter() - begin)
                begin = time.perf_counter()
                reader.episodes(generator.integers(0, len(reader), 1))
                whole.append(time.perf_counter() - begin)
            stored = reader.rows
        return {
            "frames": stored,
            "written_frames_per_s": EPOCH * (EPISODE + 1) / float(np.median(spent)),
            "random_batch_of_256_ms": 1e3 * float(np.median(batches)),
            "episode_ms": 1e3 * float(np.median(whole)),
            "file_mb": path.stat().st_size / 1e6,
            "raw_mb": stored * size * size * 3 / 1e6,
        }


def write_epochs(path: Path, count: int, size: int) -> None:
    """Write `count` epochs and say after each how many episodes there are: the process that --crash traces."""
    with Writer(path) if path.exists() else Writer(path, header(size)) as writer:
        for index in range(len(writer) // EPOCH, count):
            writer.append(epoch(index * EPOCH, size))
            print(len(writer), flush=True)


def traced(command: list[str], log: Path) -> list[tuple[str, bytes, int, int]]:
    """Run `command` under strace; return what happened to its file in order: (kind, data, offset or size, episodes reported so far)."""
    calls = "trace=pwrite64,ftruncate,fallocate,write"
    subprocess.run(["strace", "-f", "-xx", "-s", "100000000", "-e", calls, "-o", str(log), *command], check=True, capture_output=True)
    data = r'"((?:\\x..)*)"'
    changes: list[tuple[str, bytes, int, int]] = []
    reported = 0
    with log.open() as lines:
        for line in lines:
            if match := re.search(rf"pwrite64\(\d+, {data}, \d+, (\d+)\)", line):
                changes.append(("write", bytes.fromhex(match[1].replace("\\x", "")), int(match[2]), reported))
            elif match := re.search(r"fallocate\(\d+, 0, (\d+), (\d+)", line):
                changes.append(("size", b"", int(match[1]) + int(match[2]), reported))
            elif match := re.search(r"ftruncate\(\d+, (\d+)\)", line):
                changes.append(("size", b"", int(match[1]), reported))
            elif match := re.search(rf"write\(1, {data}", line):
                said = bytes.fromhex(match[1].replace("\\x", "")).split()
                reported = int(said[-1]) if said and said[-1].isdigit() else reported  # tools that imports call speak too
    return changes


def readable(path: Path, at_least: int) -> bool:
    """Return whether plain h5py reads all that the file shows, `at_least` so many episodes."""
    try:
        with h5py.File(path, "r") as file:
            starts = file["episodes/start"][:]
            count = len(starts)
            rows = np.arange(count * (EPISODE + 1))
            names = file["steps/observation/achieved_goal"][: len(rows)]
            expected = np.stack([rows // (EPISODE + 1), rows % (EPISODE + 1)], axis=1)
            sampled = np.unique(np.linspace(0, len(rows) - 1, 30).astype(int)) if count else rows
            return bool(
                count >= at_least
                and (file["episodes/length"][:count] == EPISODE).all()
                and (file["episodes/seed"][:count] == np.arange(count)).all()
                and (names[:, :2] == expected).all()
                and all(200 in file["steps/observation/image"][row] for row in sampled)
            )
    except (OSError, KeyError, RuntimeError):
        return False


def crash(epochs: int, size: int = 16) -> dict[str, int]:
    """Return after how many of the file's changes it was not readable."""
    with tempfile.TemporaryDirectory() as folder:
        path, copy = Path(folder) / "d.h5", Path(folder) / "copy.h5"
        write_epochs(path, 1, size)
        copy.write_bytes(path.read_bytes())
        command = [sys.executable, __file__, "--write", str(path), "--crash", str(epochs), "--size", str(size)]
        changes, unreadable = traced(command, Path(folder) / "log"), 0
        descriptor = os.open(copy, os.O_RDWR)
        for kind, data, place, reported in changes:
            if kind == "write":
                os.pwrite(descriptor, data, place)
            else:
                os.ftruncate(descriptor, place)
            unreadable += not readable(copy, max(reported, EPOCH))
        os.close(descriptor)
        return {"epochs": epochs, "changes": len(changes), "unreadable": unreadable}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=48, help="pixels on a side")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--crash", type=int, help="epochs to write for the crash sweep")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write_epochs(given.write, given.crash, given.size)
        return 0
    figures: dict[str, Any] = dict(crash(given.crash) if given.crash else speed(given.size, given.frames))
    for name, value in figures.items():
        print(f"{name:<24}{value:>12,.1f}")
    if given.out:
        versions = {name: version(name) for name in ("numpy", "h5py")} | {
            "hdf5": h5py.version.hdf5_version,
            "python": platform.python_version(),
        }
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(figures | {"versions": versions, "command": shlex.join(["python", *sys.argv])}, indent=1) + "\n")
    return 1 if figures.get("unreadable") else 0


if __name__ == "__main__":
    raise SystemExit(main())
