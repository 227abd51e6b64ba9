"""PyTorch datasets that read minibatches straight from disk, also from several DataLoader workers.

An index may be a number or a whole batch of them, so that a worker reads a minibatch in one go::

    frames = Frames("data.h5", keys=("image",), split="train")
    for batch in DataLoader(frames, sampler=Batches(len(frames), 256, seed=0), batch_size=None, num_workers=2):
        batch["image"]  # (256, H, W, 3) uint8
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from envs.errors import UserError, unknown
from gcrl.data.formats.api import observation_keys
from gcrl.data.reader import Reader
from representations.api import Rows

Index = int | Sequence[int] | NDArray[np.integer[Any]]
Item = dict[str, torch.Tensor]
GOALS = {"desired_goal": "achieved", "goal_image": "image"}


class _Stored(Dataset[Item]):
    """What is common: which episodes, which observations, and one open file a process.

    HDF5 handles survive neither a fork nor pickling, so each process opens the file when it first reads. Episodes that are appended later
    are not seen.
    """

    def __init__(self, path: str | Path, keys: Sequence[str] | None = None, split: str | None = None) -> None:
        self.path = Path(path).absolute()  # a spawned worker may start in another folder
        with Reader(self.path) as reader:
            known = observation_keys(reader)
            self.keys = tuple(known if keys is None else keys)
            for key in self.keys:
                if key not in known:
                    raise unknown("observation", key, known)
            self.episodes: Rows = np.flatnonzero(reader.mask(split)) if split else np.arange(len(reader))
            self.starts, self.lengths = reader.starts[self.episodes], reader.lengths[self.episodes]
        if not len(self.episodes):
            raise UserError(f"{path} has no episodes{f' in split {split}' if split else ''}")
        self._reader: Reader | None = None
        self._process = -1

    @property
    def reader(self) -> Reader:
        """This process's own open file."""
        if self._reader is None or self._process != os.getpid():
            self._reader, self._process = Reader(self.path), os.getpid()
        return self._reader

    def close(self) -> None:
        """Close this process's file; the next read opens it again."""
        if self._reader is not None and self._process == os.getpid():
            self._reader.close()
        self._reader = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_reader": None, "_process": -1}

    def _observations(self, rows: Rows, numbers: Rows, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return {key: (n, ...)} at `rows`, which belong to the episodes `numbers`."""
        found = {}
        for key in keys:
            if key in GOALS:
                distinct, place = np.unique(numbers, return_inverse=True)
                found[key] = self.reader.goal(GOALS[key], distinct)[place]
            else:
                found[key] = self.reader.read(key, rows)
        return found


class Frames(_Stored):
    """All frames of the dataset at `path`, T + 1 of each episode: item ``{key: value, "episode", "step"}``.

    keys: observations, ``desired_goal`` and ``goal_image`` among them; by default all. split: only the episodes of this split. Raises
    `UserError` as `Reader` does, for unknown keys and splits and where there are no episodes.
    """

    def __init__(self, path: str | Path, keys: Sequence[str] | None = None, split: str | None = None) -> None:
        super().__init__(path, keys, split)
        self._ends = np.cumsum(self.lengths + 1)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: Index) -> Item:
        place, step = _locate(index, self._ends)
        rows, numbers = self.starts[place] + step, self.episodes[place]
        return _item(index, self._observations(rows, numbers, self.keys) | {"episode": numbers, "step": step})


class Transitions(_Stored):
    """All transitions of the dataset at `path`: item ``{key: value, "next_" + key: value, "action", "reward", "terminated", "truncated",
    "episode", "step"}``; goals have no next. Arguments as for `Frames`.
    """

    def __init__(self, path: str | Path, keys: Sequence[str] | None = None, split: str | None = None) -> None:
        super().__init__(path, keys, split)
        self._ends = np.cumsum(self.lengths)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: Index) -> Item:
        place, step = _locate(index, self._ends)
        rows, numbers = self.starts[place] + step, self.episodes[place]
        item = self._observations(rows, numbers, self.keys)
        after = self._observations(rows + 1, numbers, [key for key in self.keys if key not in GOALS])
        item |= {f"next_{key}": values for key, values in after.items()}
        item |= {name: self.reader.read(name, rows) for name in ("action", "reward", "terminated", "truncated")}
        return _item(index, item | {"episode": numbers, "step": step})


class EpisodeWindows(_Stored):
    """Episodes, or pieces of `window` steps drawn from them: item ``{key: (T + 1, ...), "action": (T, ...), "reward", "terminated",
    "truncated", "valid": (T,), "length", "episode", "start"}``, goals once.

    A batch is padded to its longest episode, or to `window`: the last frame is repeated, ``valid`` is false and the rest 0. Where in its
    episode a window lies is drawn from `seed`, `epoch` (set it before each pass) and the index, whatever the number of workers. Other
    arguments as for `Frames`.
    """

    def __init__(
        self, path: str | Path, keys: Sequence[str] | None = None, split: str | None = None, *, window: int | None = None, seed: int = 0
    ) -> None:
        super().__init__(path, keys, split)
        if window is not None and window < 1:
            raise UserError(f"window={window}: expected at least 1 step")
        self.window, self.seed, self.epoch = window, seed, 0

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, index: Index) -> Item:
        place = np.atleast_1d(np.asarray(index, dtype=np.int64))
        lengths = self.lengths[place]
        begin = np.zeros(len(place), np.int64)
        if self.window is not None:
            begin = np.array([self._begin(int(one)) for one in place], dtype=np.int64)
            lengths = np.minimum(lengths - begin, self.window)
        horizon = int(lengths.max()) if self.window is None else self.window
        steps = begin[:, None] + np.minimum(np.arange(horizon + 1), lengths[:, None])
        rows = self.starts[place][:, None] + steps
        valid = np.arange(horizon) < lengths[:, None]
        flat = np.unique(rows)
        where = np.searchsorted(flat, rows)
        numbers = self.episodes[place]
        frames = self._observations(flat, numbers, [key for key in self.keys if key not in GOALS])
        item = {key: values[where] for key, values in frames.items()}
        item |= self._observations(rows[:, 0], numbers, [key for key in self.keys if key in GOALS])
        for name in ("action", "reward", "terminated", "truncated"):
            item[name] = self.reader.read(name, flat)[where[:, :-1]]
            item[name][~valid] = 0
        return _item(index, item | {"valid": valid, "length": lengths, "episode": numbers, "start": begin})

    def _begin(self, place: int) -> int:
        room = int(self.lengths[place]) - int(self.window or 0)
        return int(np.random.default_rng((self.seed, self.epoch, place)).integers(room + 1)) if room > 0 else 0


class Batches(Sampler[list[int]]):
    """Random minibatches of the indices 0 to n − 1, each once an epoch, drawn by `seed`; the order does not depend on workers.

    Every pass is another epoch; `epoch` may be set to go back to one. drop_last: leave out a last batch that is not full.
    """

    def __init__(self, n: int, batch_size: int, *, seed: int = 0, drop_last: bool = False) -> None:
        if n < 1 or batch_size < 1:
            raise UserError(f"cannot make batches of {batch_size} from {n}; expected at least 1 of both")
        self.n, self.batch_size, self.seed, self.drop_last, self.epoch = n, batch_size, seed, drop_last, 0

    def __len__(self) -> int:
        return self.n // self.batch_size if self.drop_last else -(-self.n // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.n)
        self.epoch += 1
        for index in range(len(self)):
            yield order[index * self.batch_size : (index + 1) * self.batch_size].tolist()


def _locate(index: Index, ends: Rows) -> tuple[Rows, Rows]:
    """Return (n,) the episode's place and (n,) the step of each flat `index`; raises IndexError beyond the last."""
    flat = np.atleast_1d(np.asarray(index, dtype=np.int64))
    if len(flat) and not 0 <= flat.min() <= flat.max() < ends[-1]:
        raise IndexError(f"index {flat.min()} to {flat.max()}; expected 0 to {ends[-1] - 1}")
    place = np.searchsorted(ends, flat, side="right")
    return place, flat - np.where(place > 0, ends[place - 1], 0)


def _item(index: Index, arrays: dict[str, NDArray[Any]]) -> Item:
    """Return tensors: of a batch as they are, of a single index without the batch axis."""
    single = np.ndim(index) == 0
    return {key: torch.as_tensor(values[0] if single else np.ascontiguousarray(values)) for key, values in arrays.items()}
