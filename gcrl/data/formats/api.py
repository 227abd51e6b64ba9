"""What a dataset format must be able to do, and how exporters see an episode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gcrl.data.reader import Reader
from gcrl.data.schema import PROVENANCES
from representations.api import Rows

Done = Callable[[int], object]  # told how many episodes more are through


class Exporter(Protocol):
    """Writes episodes in another package's format."""

    suffix: str  # what the output's name ends in, where it is a file
    marker: str  # where the output is a folder: a file in it by which one is told from other folders; "" where it is a file
    growth: float  # bytes written, at most about so many times those of our file
    default_keys: str | None  # which observations are exported unless chosen: None all; else the first of these, comma-separated, there is

    def losses(self, reader: Reader, chosen: Rows, keys: Sequence[str]) -> list[str]:
        """Return in words what of the episodes `chosen` the format, as its own reader gives it, has no place for.

        `keys` are the observations to be exported. Raises `UserError` where the format cannot hold the episodes at all.
        """
        ...

    def write(self, reader: Reader, chosen: Rows, keys: Sequence[str], out: Path, name: Path, done: Done) -> None:
        """Write the episodes `chosen` to the file (or into the empty folder) `out`, which `name` will be the path of."""
        ...


class Importer(Protocol):
    """Reads another package's format."""

    def open(self, path: Path) -> Import:
        """Return what stands at `path`; raises `UserError` for what cannot be read."""
        ...


class Import(Protocol):
    """An opened dataset of another package's, ready to be written as ours."""

    episodes: int
    expected_bytes: int  # about what our file will take

    def losses(self) -> list[str]:
        """Return in words what of it our format has no place for."""
        ...

    def write(self, out: Path, provenance: str, done: Done) -> None:
        """Write it to the new dataset `out`; `provenance` is used where the source does not know one."""
        ...


@dataclass
class Episode:
    """One episode of T steps: observations {key: (T+1, ...)} with the goal in each frame, actions, rewards and ends (T, ...).

    goal_params (k,), goal_row, seed, epoch, task_id, provenance and splits are as in our format.
    """

    number: int
    observations: dict[str, NDArray[Any]]
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    goal_params: NDArray[np.float32]
    goal_row: int
    seed: int
    epoch: int
    task_id: int
    provenance: str
    splits: list[str]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.rewards)


def observation_keys(reader: Reader) -> list[str]:
    """Return what an exported observation can hold: what is stored, ``desired_goal``, and ``goal_image`` where goals have pictures."""
    keys = [key for key in reader.header.observation_space.spaces if key not in ("desired_goal", "goal_image")]
    return [*keys, "desired_goal", *["goal_image"] * reader.header.image_goal]


def episodes(reader: Reader, chosen: Rows, keys: Sequence[str]) -> Iterator[Episode]:
    """Yield the episodes `chosen` with the observations `keys`; a goal stands in every frame, without taking memory for each."""
    masks = {split: reader.mask(split) for split in reader.file["mask"]}
    columns = {name: reader.column(name) for name in ("seed", "epoch", "task_id", "provenance")}
    provenances = {code: name for name, code in PROVENANCES.items()}
    goals = {"desired_goal": "achieved", "goal_image": "image"}
    for number in chosen.tolist():
        start, length = int(reader.starts[number]), int(reader.lengths[number])
        rows = np.arange(start, start + length + 1)
        observations = {}
        for key in keys:
            if key in goals:
                goal = reader.file["goals"][goals[key]][number]
                observations[key] = np.broadcast_to(goal, (length + 1, *goal.shape))
            else:
                observations[key] = reader.read(key, rows)
        yield Episode(
            number,
            observations,
            actions=reader.read("action", rows[:-1]),
            rewards=reader.read("reward", rows[:-1]),
            terminated=reader.read("terminated", rows[:-1]),
            truncated=reader.read("truncated", rows[:-1]),
            goal_params=reader.file["goals/params"][number],
            goal_row=int(reader.file["goals/row"][number]),
            seed=int(columns["seed"][number]),
            epoch=int(columns["epoch"][number]),
            task_id=int(columns["task_id"][number]),
            provenance=provenances.get(int(columns["provenance"][number]), reader.header.provenance),
            splits=[split for split, mask in masks.items() if mask[number]],
        )
