"""Measure datasets: frames written per second, time of a random minibatch beside Minari on the same data, size on disk; or crash safety.

    python benchmarks/dataset_speed.py [--sizes 48 84] [--frames 100000] [--out results/dataset_speed.json]
    python benchmarks/dataset_speed.py --crash 12    (Linux with strace)

The frames look rendered: a lit plane, a moving box, no noise. A minibatch is 256 frames drawn at random from the whole file: by row from
ours; from Minari, which reads whole episodes, by `sample_episodes(256)` and a random frame of each. Minari has the data twice: as it
writes them itself by default (JPEG, lossy), and as our lossless export. A time is the median over the rounds, which alternate.

With --crash N, N epochs are written under strace, the file is built up again one write of the HDF5 library at a time, and after each
plain h5py must read every episode reported by then.
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
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from gymnasium import spaces
from minari import MinariDataset
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from gcrl.data import Header, Reader, Writer
from gcrl.data.exchange import export
from gcrl.episodes import Episodes

EPISODE, EPOCH, BATCH = 50, 16, 256
REQUIRED = {"batch_ms": 25.0, "ratio": 100.0, "written": 5_000.0}
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


def speed(size: int, frames: int, rounds: int = 15) -> dict[str, float]:
    """Return the figures of one dataset of at least `frames` pictures of `size` pixels."""
    with tempfile.TemporaryDirectory() as folder:
        path, spent, epochs = Path(folder) / "d.h5", [], -(-frames // (EPOCH * (EPISODE + 1)))
        storage = minari_storage(Path(folder) / "theirs", size)
        their_spent = 0.0
        with Writer(path, header(size)) as writer:
            for index in range(epochs):
                some = epoch(index * EPOCH, size)
                begin = time.perf_counter()
                writer.append(some)
                spent.append(time.perf_counter() - begin)
                begin = time.perf_counter()
                storage.update_episodes(minari_buffers(some))
                their_spent += time.perf_counter() - begin
        theirs = {"minari_jpeg": storage.data_path, "minari_lossless": export(path, Path(folder) / "export", "minari") / "data"}
        datasets = {name: MinariDataset(data) for name, data in theirs.items()}
        generator = np.random.default_rng(0)
        times: dict[str, list[float]] = {name: [] for name in ("ours", "episode", *datasets)}
        with Reader(path) as reader:
            warm(reader)
            for turn in range(rounds):
                rows, one = generator.integers(0, reader.rows, BATCH), generator.integers(0, len(reader), 1)
                times["ours"].append(seconds(lambda: reader.read("image", rows)))  # noqa: B023 (called at once)
                times["episode"].append(seconds(lambda: reader.episodes(one)))  # noqa: B023
                if turn % 5 == 0:
                    for name, dataset in datasets.items():
                        times[name].append(seconds(lambda: minari_batch(dataset, generator)))  # noqa: B023
            stored = reader.rows
        median = {name: 1e3 * float(np.median(values)) for name, values in times.items()}
        return {
            "frames": stored,
            "written_frames_per_s": EPOCH * (EPISODE + 1) / float(np.median(spent)),
            "minari_written_frames_per_s": stored / their_spent,
            "random_batch_of_256_ms": median["ours"],
            "episode_ms": median["episode"],
            **{f"{name}_batch_of_256_ms": median[name] for name in datasets},
            **{f"times_faster_than_{name}": median[name] / median["ours"] for name in datasets},
            "file_mb": path.stat().st_size / 1e6,
            **{f"{name}_mb": (data / "main_data.hdf5").stat().st_size / 1e6 for name, data in theirs.items()},
            "raw_mb": stored * size * size * 3 / 1e6,
        }


def seconds(work: Callable[[], Any]) -> float:
    """Return how long `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def warm(reader: Reader) -> None:
    """Read the whole file once, so that all of it may be in the page cache."""
    with reader.path.open("rb") as file:
        while file.read(1 << 24):
            pass


def minari_storage(folder: Path, size: int) -> Any:
    """Return an empty Minari storage for the same data, with Minari's defaults."""
    folder.mkdir()
    storage = MinariStorage.new(folder / "data", observation_space=space(size), action_space=ACTIONS)
    storage.update_metadata({"dataset_id": "benchmark/theirs-v0", "minari_version": version("minari")})
    return storage


def minari_buffers(some: Episodes) -> list[Any]:
    """Return the episodes as Minari takes them."""
    ends = np.arange(EPISODE) == EPISODE - 1
    return [
        EpisodeBuffer(
            seed=int(some.seeds[index]),
            observations={key: values[index] for key, values in some.observations.items()}
            | {"desired_goal": np.broadcast_to(some.goals[index], (EPISODE + 1, 3))},
            actions=some.actions[index],
            rewards=np.zeros(EPISODE).tolist(),
            terminations=np.zeros(EPISODE, bool).tolist(),
            truncations=ends.tolist(),
        )
        for index in range(len(some))
    ]


def minari_batch(dataset: Any, generator: np.random.Generator) -> np.ndarray:
    """Return 256 random frames by Minari's own means."""
    episodes = dataset.sample_episodes(min(BATCH, dataset.total_episodes))
    return np.stack([episode.observations["image"][generator.integers(len(episode) + 1)] for episode in episodes])


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
        command = [sys.executable, __file__, "--write", str(path), "--crash", str(epochs), "--sizes", str(size)]
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


def met(figures: dict[str, Any]) -> dict[str, bool]:
    """Return whether each requirement holds at every size."""
    sizes = list(figures.values())
    return {
        "batch within 25 ms": all(one["random_batch_of_256_ms"] <= REQUIRED["batch_ms"] for one in sizes),
        "100 x Minari": all(one["times_faster_than_minari_jpeg"] >= REQUIRED["ratio"] for one in sizes),
        "100 x Minari, lossless": all(one["times_faster_than_minari_lossless"] >= REQUIRED["ratio"] for one in sizes),
        "5,000 frames written/s": all(one["written_frames_per_s"] >= REQUIRED["written"] for one in sizes),
    }


def show(figures: dict[str, Any]) -> None:
    """Print figures in columns."""
    for name, value in figures.items():
        print(f"{name:<36}{str(value) if isinstance(value, bool) else f'{value:,.1f}':>12}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[48, 84], help="pixels on a side")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--crash", type=int, help="epochs to write for the crash sweep")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write_epochs(given.write, given.crash, given.sizes[0])
        return 0
    if given.crash:
        figures: dict[str, Any] = crash(given.crash)
        show(figures)
    else:
        figures = {}
        for size in given.sizes:
            print(f"{size} pixels")
            figures[f"{size}_pixels"] = speed(size, given.frames)
            show(figures[f"{size}_pixels"])
        figures["met"] = met(figures)
        show(figures["met"])
    if given.out:
        versions = {name: version(name) for name in ("numpy", "h5py", "minari", "pillow")} | {
            "hdf5": h5py.version.hdf5_version,
            "python": platform.python_version(),
        }
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(figures | {"versions": versions, "command": shlex.join(["python", *sys.argv])}, indent=1) + "\n")
    return 1 if figures.get("unreadable") else 0


if __name__ == "__main__":
    raise SystemExit(main())
