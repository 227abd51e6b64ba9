"""robomimic's HDF5 (version 0.3, `SequenceDataset`): a group a demonstration, each observation at this step and at the next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.data.formats.api import Done, Episode, episodes
from gcrl.data.reader import Reader
from representations.api import Rows

GYM_TYPE = 2  # robomimic's number for "a Gym environment"


class Exporter:
    """Writes a file for robomimic.

    ``dones`` says that an episode ended, ``terminated`` and ``truncated`` (which robomimic reads when named in ``dataset_keys``) by what.
    The goal is an observation like others. Splits become filter keys. Attributes of a demonstration keep seed, epoch, task_id, provenance.
    """

    suffix = ".hdf5"
    marker = ""
    growth = 2.5  # every frame is stored twice
    default_keys = None

    def losses(self, reader: Reader, chosen: Rows, keys: Sequence[str]) -> list[str]:
        """Return nothing: there is a place for all; raises `UserError` for actions that are no vectors."""
        space = reader.header.action_space
        if isinstance(space, spaces.Discrete):
            raise UserError(f"{reader.path} has actions of {space}; robomimic expects vectors")
        return []

    def write(self, reader: Reader, chosen: Rows, keys: Sequence[str], out: Path, name: Path, done: Done) -> None:
        """Write the HDF5 file `out`."""
        header = reader.header
        arguments = {"env_name": header.env_id, "type": GYM_TYPE, "env_kwargs": header.env_arguments}
        splits: dict[str, list[str]] = {}
        with h5py.File(out, "w") as file:
            data = file.create_group("data")
            for index, episode in enumerate(episodes(reader, chosen, keys)):
                self._write(data.create_group(f"demo_{index}"), episode)
                for split in episode.splits:
                    splits.setdefault(split, []).append(f"demo_{index}")
                done(1)
            data.attrs["total"] = int(reader.lengths[chosen].sum())
            data.attrs["env_args"] = json.dumps(arguments)
            data.attrs["gcrl"] = json.dumps(header.as_json())
            for split, names in splits.items():
                file[f"mask/{split}"] = np.array(names, dtype="S")

    @staticmethod
    def _write(group: Any, episode: Episode) -> None:
        group.attrs["num_samples"] = episode.steps
        for name in ("seed", "epoch", "task_id", "provenance", "goal_row", "goal_params"):
            group.attrs[name] = getattr(episode, name)
        group["actions"] = episode.actions.astype(np.float32)
        group["rewards"] = episode.rewards
        group["dones"] = (episode.terminated | episode.truncated).astype(np.int64)
        group["terminated"] = episode.terminated.astype(np.int64)
        group["truncated"] = episode.truncated.astype(np.int64)
        for key, values in episode.observations.items():
            _store(group, f"obs/{key}", values[:-1])
            if values.strides[0] == 0:  # the same in every frame
                group[f"next_obs/{key}"] = group[f"obs/{key}"]
            else:
                _store(group, f"next_obs/{key}", values[1:])


def _store(group: Any, name: str, values: NDArray[Any]) -> None:
    """Write rows; pictures compressed one by one, or all at once where they are the same."""
    if values.ndim == 4 and values.dtype == np.uint8:
        rows = len(values) if values.strides[0] == 0 else 1
        group.create_dataset(name, data=values, chunks=(rows, *values.shape[1:]), compression="gzip", compression_opts=1)
    else:
        group.create_dataset(name, data=values)
