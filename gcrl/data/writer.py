"""Appends episodes to a dataset so that a process killed at any instant leaves every earlier episode readable by plain h5py.

What that takes (measured by opening the file after every single write of the HDF5 library):
- *What earlier episodes need is never moved.* Version-1 B-trees, h5py's default chunk index, split their nodes, and for a moment on disk
  some old chunks are out of reach. Extensible arrays (format 1.10) only grow. So only chunks that are written once are compressed
  (a picture each); partly filled chunks of vectors are uncompressed and rewritten in place.
- *No flag says "open for writing".* A version-3 superblock carries one that makes plain h5py refuse the file of a killed process; version 2
  does not. The file is therefore created with the bounds of 1.8 and everything in it with those of 1.10.
- *Space first.* Disk space is allocated before HDF5 writes, see `_reserve`.
- *Order.* Rows, goals and all other columns reach the file before `/episodes/start` grows, and readers count episodes by that alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError, unknown
from gcrl.data.reader import open_file
from gcrl.data.schema import EPISODE_COLUMNS, PROVENANCES, STEP_COLUMNS, Header, is_picture, stored_dtype
from gcrl.episodes import Episodes
from gcrl.faults import fault

Columns = dict[str, NDArray[Any]]
ROWS_PER_CHUNK = 1024
INDEX_BYTES = 1 << 20  # more than the indexes grow by in one append
SPARE_BYTES = 16 << 20  # left free beside what an append needs: checkpoints and logs want some too


class Writer:
    """Appends whole episodes to the dataset at `path`; as a context manager it closes the file.

    `header` creates a new file (an existing one raises `UserError`); without it an existing dataset is continued, and rows that a killed
    process left behind are dropped.
    """

    def __init__(self, path: str | Path, header: Header | None = None) -> None:
        self.path = Path(path)
        if header is not None:
            _create(self.path, header)
        self.file, self.header = open_file(self.path, mode="r+")
        self._columns = [item for group in ("steps", "goals", "episodes") for item in _datasets(self.file[group])]
        self._failed = False
        if header is None:
            self.truncate(len(self))

    def __len__(self) -> int:
        return len(self.file["episodes/start"])

    def append(self, episodes: Episodes) -> None:
        """Write `episodes`; when it returns they survive the death of the process.

        Raises `UserError` where the disk is full (the episodes before stay readable), ValueError where shapes do not fit the header.
        """
        if not len(episodes):
            return
        real = np.arange(episodes.actions.shape[1] + 1) <= episodes.lengths[:, None]  # (n, T+1): rows that are stored
        self.append_columns(self._step_rows(episodes, real), self._goal_rows(episodes), self._episode_rows(episodes))

    def append_columns(self, steps: Columns, goals: Columns, columns: Columns) -> None:
        """Write at least one episode given as columns, named as in ``/steps``, ``/goals`` and ``/episodes`` (without ``start``).

        Rows of `steps` stand episode by episode, T + 1 each. Raises as `append` does.
        """
        rows = columns["length"] + 1
        start = self._end() + np.cumsum(rows) - rows
        try:
            self._reserve(sum(values.nbytes for values in [*steps.values(), *goals.values()]))
            self._extend("steps", steps)
            fault("dataset:rows")
            self._extend("goals", goals)
            self._extend("episodes", columns)
            self.file.flush()
            self._reserve(0)
            self._extend("episodes", {"start": start})
            self.file.flush()
            os.truncate(self._descriptor(), self.file.id.get_filesize())
            os.fsync(self._descriptor())
        except (OSError, RuntimeError) as error:  # h5py reports a failed flush as either
            self._failed = True
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise UserError(f"cannot write to {self.path}: {reason}; expected free disk space; earlier episodes are intact") from error

    def truncate(self, n_episodes: int) -> None:
        """Keep the first `n_episodes` only, as on resuming from a checkpoint; raises `UserError` where there are fewer."""
        if n_episodes > len(self):
            raise UserError(f"{self.path} holds {len(self)} episodes; expected at least {n_episodes}, as the checkpoint says")
        # First what readers count by: a crash after this line leaves a file of n_episodes, whatever else is still in it.
        self.file["episodes/start"].resize(n_episodes, axis=0)
        self.file.flush()
        for group, size in (("steps", self._end()), ("goals", n_episodes), ("episodes", n_episodes)):
            for dataset in _datasets(self.file[group]):
                if len(dataset) > size:
                    dataset.resize(size, axis=0)
        self.file.flush()

    def set_mask(self, split: str, chosen: NDArray[np.bool_]) -> None:
        """Write ``/mask/<split>``: (episodes,) bool, which episodes belong to `split` ("train", "valid", ...)."""
        if chosen.shape != (len(self),):
            raise UserError(f"mask '{split}' has shape {chosen.shape}; expected ({len(self)},), one entry an episode")
        if split in self.file["mask"]:
            del self.file["mask"][split]
        self.file["mask"].create_dataset(split, data=np.asarray(chosen, dtype=np.bool_))
        self.file.flush()

    def close(self) -> None:
        """Close the file. After a failed write, what could not be written is given up silently: it was reported then."""
        with contextlib.suppress(*((OSError, RuntimeError) if self._failed else ())):
            self.file.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _end(self) -> int:
        """Return the first free row."""
        n = len(self)
        return int(self.file["episodes/start"][n - 1] + self.file["episodes/length"][n - 1]) + 1 if n else 0

    def _step_rows(self, episodes: Episodes, real: NDArray[np.bool_]) -> Columns:
        n, horizon = episodes.actions.shape[:2]
        last = np.arange(horizon) == episodes.lengths[:, None] - 1
        rewards = np.full((n, horizon), np.nan, np.float32) if episodes.rewards is None else episodes.rewards
        per_step = {
            "action": episodes.actions,
            "reward": rewards,
            "terminated": episodes.terminated,
            "truncated": last & ~episodes.terminated,
            "valid": np.arange(horizon) < episodes.lengths[:, None],
        }
        rows = {f"observation/{key}": episodes.observations[key][real] for key in self.header.stored_keys()}
        for alias, key in self.header.aliases.items():
            if not np.array_equal(episodes.observations[alias][real], episodes.observations[key][real]):
                raise ValueError(f"observation '{alias}' is declared an alias of '{key}', but their values differ")
        for name, values in per_step.items():
            padded = np.zeros((n, horizon + 1, *values.shape[2:]), dtype=values.dtype)
            padded[:, :horizon] = values
            padded[np.arange(n), episodes.lengths] = 0  # the last frame of an episode has no action
            rows[name] = padded[real]
        if self.header.state_dim:
            if episodes.states is None:
                raise ValueError("this dataset keeps the environment's state with every row, but the episodes have none")
            rows["state"] = episodes.states[real]
        return rows

    def _goal_rows(self, episodes: Episodes) -> Columns:
        achieved = episodes.goal_achieved
        shape = (len(episodes), *(self.header.observation_space["achieved_goal"].shape or ()))
        goals: Columns = {
            "params": episodes.goals,
            "row": episodes.goal_rows,
            "achieved": np.full(shape, np.nan, np.float32) if achieved is None else achieved,
        }
        if self.header.image_goal:
            if episodes.goal_images is None:
                raise ValueError("this dataset keeps a goal picture with every episode, but the episodes have none")
            goals["image"] = episodes.goal_images
        return goals

    def _episode_rows(self, episodes: Episodes) -> Columns:
        if episodes.provenance not in PROVENANCES:
            raise unknown("provenance", episodes.provenance, PROVENANCES)
        n = len(episodes)
        return {
            "length": episodes.lengths,
            "seed": episodes.seeds,
            "task_id": np.zeros(n, np.int32),
            "epoch": np.full(n, episodes.epoch, np.int32),
            "provenance": np.full(n, PROVENANCES[episodes.provenance], np.int8),
        }

    def _extend(self, group: str, columns: Columns) -> None:
        for name, values in columns.items():
            dataset = self.file[group][name]
            if values.shape[1:] != dataset.shape[1:]:
                raise ValueError(f"/{group}/{name} holds rows of shape {dataset.shape[1:]}; got {values.shape[1:]}")
            # Where columns differ in length after a failed append, the trusted end counts.
            end = self._end() if group == "steps" else len(self)
            dataset.resize(end + len(values), axis=0)
            dataset[end:] = values

    def _reserve(self, raw_bytes: int) -> None:
        """Allocate disk space for all that an append of `raw_bytes` can take, or raise `UserError`, before HDF5 writes anything.

        HDF5 does not survive a full disk: h5py drops the errors of chunks written late, counts their rows as stored, and crashes on close.
        """
        chunks = sum(int(np.prod(item.chunks)) * item.dtype.itemsize for item in self._columns)
        needed = raw_bytes + raw_bytes // 50 + chunks + INDEX_BYTES
        free = shutil.disk_usage(self.path.parent).free
        if free < needed + SPARE_BYTES:
            raise UserError(
                f"disk full: {free >> 20} MiB are free for {self.path}; expected at least {(needed + SPARE_BYTES) >> 20} MiB for the next "
                "episodes; earlier episodes are intact"
            )
        os.posix_fallocate(self._descriptor(), os.fstat(self._descriptor()).st_size, needed)

    def _descriptor(self) -> int:
        return int(self.file.id.get_vfd_handle())


def _create(path: Path, header: Header) -> None:
    """Write an empty dataset under a temporary name and put it in place at once."""
    if path.exists():
        raise UserError(f"{path} exists already; expected the path of a new dataset")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is not a folder; expected an existing one for the dataset {path.name}")
    temporary = path.with_name(path.name + ".new")
    with h5py.File(temporary, "w", libver=("v108", "v108")):
        pass
    with h5py.File(temporary, "r+", libver=("v110", "v110")) as file:
        file.attrs.update(header.attributes())
        steps, goals, episodes = file.create_group("steps"), file.create_group("goals"), file.create_group("episodes")
        file.create_group("mask")
        for key in header.stored_keys():
            space = header.observation_space[key]
            _column(steps, f"observation/{key}", space.shape or (), stored_dtype(space), picture=is_picture(space))
        for alias, key in header.aliases.items():
            steps[f"observation/{alias}"] = h5py.SoftLink(f"/steps/observation/{key}")
        _column(steps, "action", header.action_space.shape or (), stored_dtype(header.action_space))
        for name, dtype in STEP_COLUMNS.items():
            _column(steps, name, (), np.dtype(dtype))
        if header.state_dim:
            _column(steps, "state", (header.state_dim,), np.dtype(np.float64))
        _column(goals, "params", (header.goal_dim,), np.dtype(np.float32))
        _column(goals, "achieved", header.observation_space["achieved_goal"].shape or (), np.dtype(np.float32))
        _column(goals, "row", (), np.dtype(np.int64))
        if header.image_goal:
            _column(goals, "image", header.observation_space["image"].shape or (), np.dtype(np.uint8), picture=True)
        for name, dtype in EPISODE_COLUMNS.items():
            _column(episodes, name, (), np.dtype(dtype))
        _column(episodes, "provenance", (), h5py.enum_dtype(PROVENANCES, basetype=np.int8))
        _column(episodes, "start", (), np.dtype(np.int64))
    os.replace(temporary, path)


def _column(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, picture: bool = False) -> None:
    rows = 1 if picture else ROWS_PER_CHUNK
    packing = {"compression": "gzip", "compression_opts": 1} if picture else {}
    group.create_dataset(name, (0, *shape), maxshape=(None, *shape), chunks=(rows, *shape), dtype=dtype, **packing)


def _datasets(group: Any) -> list[Any]:
    """Return all datasets below `group`, each once."""
    found: list[Any] = []
    group.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    return found
