"""Writes datasets that ``minari.MinariDataset`` and ``minari.load_dataset`` read (0.5.4 or newer: older ones know JPEG only)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
from gymnasium import spaces

import envs
from gcrl.data.formats.api import Done, Episode, episodes
from gcrl.data.formats.minari.folder import dataset_id
from gcrl.data.formats.minari.spaces import to_minari
from gcrl.data.reader import Reader
from gcrl.data.schema import Header, stored_dtype
from representations.api import Rows

MINARI_VERSION = "0.5.4"  # the first that reads pictures which are not JPEG
FRAMES_PER_CHUNK = 32  # Minari reads whole episodes


class Exporter:
    """Writes a Minari dataset without loss: pictures uncompressed by JPEG, the goal in each observation, the rest as episode metadata.

    Episode metadata: ``seed``, ``gcrl/{epoch,task_id,provenance,goal_row,goal_params}`` and ``split/<name>``. Where the folder lies in
    Minari's own (``MINARI_DATASETS_PATH``), ``minari.load_dataset`` finds it by its path from there.
    """

    suffix = ""
    marker = "data/metadata.json"
    growth = 2.0
    default_keys = None

    def losses(self, reader: Reader, chosen: Rows, keys: Sequence[str]) -> list[str]:
        """Return nothing: there is a place for all."""
        return []

    def write(self, reader: Reader, chosen: Rows, keys: Sequence[str], out: Path, name: Path, done: Done) -> None:
        """Write the dataset into the folder `out`."""
        data = out / "data"
        data.mkdir()
        with h5py.File(data / "main_data.hdf5", "w") as file:
            for index, episode in enumerate(episodes(reader, chosen, keys)):
                _write(file.create_group(f"episode_{index}"), index, episode)
                done(1)
        steps = int(reader.lengths[chosen].sum())
        metadata = {"total_episodes": len(chosen), "total_steps": steps, "dataset_id": dataset_id(name)}
        metadata |= _describe(reader.header, keys)
        metadata["dataset_size"] = round((data / "main_data.hdf5").stat().st_size / 1e6, 1)
        (data / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


def _describe(header: Header, keys: Sequence[str]) -> dict[str, Any]:
    """Return the parts of ``metadata.json`` that the header knows."""
    space = header.observation_space
    sources = {key: "achieved_goal" if key == "desired_goal" else "image" if key == "goal_image" else key for key in keys}
    observation_space = spaces.Dict({key: _as_stored(space[source]) for key, source in sources.items()})
    described = {
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "minari_version": MINARI_VERSION,
        "observation_space": json.dumps(to_minari(observation_space)),
        "action_space": json.dumps(to_minari(_as_stored(header.action_space))),
        "algorithm_name": header.sampler or header.provenance,
        "gcrl": header.as_json(),
    }
    spec = _spec(header)
    return described if spec is None else described | {"env_spec": spec}


def _as_stored(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Return `space` in the type that its values are stored in."""
    if not isinstance(space, spaces.Box):
        return space
    dtype = stored_dtype(space)
    with np.errstate(over="ignore"):  # the bounds of float64 are infinite in float32
        return spaces.Box(space.low.astype(dtype), space.high.astype(dtype), space.shape, dtype.type)


def _spec(header: Header) -> str | None:
    """Return the environment's registration as JSON, from which Minari rebuilds it; None where Gymnasium does not know it."""
    with contextlib.suppress(gymnasium.error.Error, TypeError):
        spec = gymnasium.spec(header.env_id)
        if header.env_id in envs.available():  # a foreign environment's arguments may be our wrapper's
            spec = gymnasium.envs.registration.EnvSpec(spec.id, entry_point=spec.entry_point, kwargs=header.env_arguments)
        return str(spec.to_json())
    return None


def _write(group: Any, index: int, episode: Episode) -> None:
    group.attrs["id"] = index
    group.attrs["total_steps"] = episode.steps
    if episode.seed >= 0:
        group.attrs["seed"] = episode.seed
    for name in ("epoch", "task_id", "provenance", "goal_row", "goal_params"):
        group.attrs[f"gcrl/{name}"] = getattr(episode, name)
    for split in episode.splits:
        group.attrs[f"split/{split}"] = True
    for key, values in episode.observations.items():
        packing = {}
        if values.ndim == 4 and values.dtype == np.uint8:
            packing = {"chunks": (min(len(values), FRAMES_PER_CHUNK), *values.shape[1:]), "compression": "gzip", "compression_opts": 1}
        group.create_dataset(f"observations/{key}", data=values, **packing)
    group["actions"] = episode.actions
    group["rewards"] = episode.rewards
    group["terminations"] = episode.terminated
    group["truncations"] = episode.truncated
    group.create_group("infos")
